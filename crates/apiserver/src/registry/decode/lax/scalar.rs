//! Values that are not taken apart: texts, numbers, times, quantities.

use api_types::{
    quantity::Quantity,
    schema::{Field, Kind, Label, Type},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{Context, Read, Reader, malformed, names};
use crate::registry::decode::times::{self, Precision};

/// Go's zero time: what is read where a time is absent that a type cannot be without.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";
const ZERO_MICRO_TIME: &str = "0001-01-01T00:00:00.000000Z";

/// The zero value.
pub(super) fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Any | Kind::RawExtension | Kind::Json | Kind::SchemaOrBool => Value::Null,
        Kind::String | Kind::Bytes => "".into(),
        Kind::Bool => false.into(),
        Kind::Int32 | Kind::Int64 | Kind::Double | Kind::IntOrString => 0.into(),
        Kind::Strings => Value::Array(Vec::new()),
        Kind::Time => ZERO_TIME.into(),
        Kind::MicroTime => ZERO_MICRO_TIME.into(),
        Kind::Quantity => "0".into(),
        Kind::FieldsV1 | Kind::SchemaOrArray | Kind::SchemaOrStrings | Kind::Message(_) => Value::Object(Map::new()),
    }
}

/// Whether Go leaves a field out that has this value.
pub(super) fn left_out(field: &Field, value: &Value) -> bool {
    field.omitted_when_empty
        && match (field.label, value) {
            (Label::List, Value::Array(items)) => items.is_empty(),
            (Label::Map, Value::Object(members)) => members.is_empty(),
            (Label::One, _) if field.pointer || !is_plain(field.kind) => false,
            (Label::One, Value::String(text)) => text.is_empty(),
            (Label::One, Value::Bool(yes)) => !yes,
            (Label::One, Value::Number(number)) => number.as_f64() == Some(0.0),
            (Label::One, Value::Array(items)) => items.is_empty(),
            _ => false,
        }
}

/// Whether Go knows the zero value from others when it leaves fields out; structures are always there.
fn is_plain(kind: Kind) -> bool {
    matches!(kind, Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bytes | Kind::Strings)
}

/// Times without which the decoder reads nothing.
pub(super) fn add_required_times(members: &mut Map<String, Value>, schema: &Type) {
    let times = schema.fields().iter().filter(|field| {
        field.required
            && !field.pointer
            && field.label == Label::One
            && matches!(field.kind, Kind::Time | Kind::MicroTime)
    });
    for field in times {
        if !members.contains_key(&*field.name) {
            members.insert(field.name.to_string(), zero(field.kind));
        }
    }
}

impl Reader<'_> {
    /// A value of such a kind. `null` changes nothing, but for types that read it themselves.
    pub(super) fn scalar(&mut self, old: Option<Value>, kind: Kind, context: Context<'_>) -> Read<Option<Value>> {
        if self.null()? {
            let itself = matches!(kind, Kind::Time | Kind::MicroTime | Kind::Quantity | Kind::IntOrString);
            return Ok(old.filter(|_| !itself));
        }
        match kind {
            Kind::Quantity => self.quantity().map(Some),
            Kind::Time => self.time(old, Precision::Seconds, context),
            Kind::MicroTime => self.time(old, Precision::Microseconds, context),
            Kind::IntOrString if self.cursor.peek() == Some(b'"') => Ok(Some(self.text()?.into())),
            Kind::IntOrString => self.number(old, Kind::Int32, context),
            Kind::Int32 | Kind::Int64 | Kind::Double => self.number(old, kind, context),
            Kind::Bool => match self.cursor.peek() {
                Some(first @ (b't' | b'f')) => {
                    self.cursor.skip_value().map_err(malformed)?;
                    Ok(Some(Value::Bool(first == b't')))
                }
                _ => self.mismatched(old, context, || names::kind(kind)),
            },
            Kind::Bytes => self.bytes(old, context),
            _ if self.cursor.peek() == Some(b'"') => Ok(Some(self.text()?.into())),
            _ => self.mismatched(old, context, || names::kind(kind)),
        }
    }

    fn number(&mut self, old: Option<Value>, kind: Kind, context: Context<'_>) -> Read<Option<Value>> {
        if !matches!(self.cursor.peek(), Some(b'-' | b'0'..=b'9')) {
            return self.mismatched(old, context, || names::kind(kind));
        }
        let literal = String::from_utf8_lossy(self.cursor.value().map_err(malformed)?);
        let number = match kind {
            Kind::Int32 => literal.parse::<i32>().ok().map(Value::from),
            Kind::Int64 => literal.parse::<i64>().ok().map(Value::from),
            _ => literal.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        };
        if number.is_none() {
            self.note(&format!("number {literal}"), context, &names::kind(kind));
        }
        Ok(number.or(old))
    }

    fn bytes(&mut self, old: Option<Value>, context: Context<'_>) -> Read<Option<Value>> {
        if self.cursor.peek() != Some(b'"') {
            return self.mismatched(old, context, || names::kind(Kind::Bytes));
        }
        let text = self.text()?.into_owned();
        let on_one_line = text.replace(['\r', '\n'], "");
        match STANDARD.decode(&on_one_line) {
            Ok(_) => Ok(Some(on_one_line.into())),
            Err(_) => {
                let fault = format!("illegal base64 data at input byte {}", base64_fault(&text));
                self.mismatch.get_or_insert(fault);
                Ok(old)
            }
        }
    }

    fn time(&mut self, old: Option<Value>, precision: Precision, context: Context<'_>) -> Read<Option<Value>> {
        if self.cursor.peek() != Some(b'"') {
            return self.mismatched(old, context, || names::kind(Kind::String));
        }
        let text = self.text()?.into_owned();
        match times::fault(&text, precision) {
            Some(fault) => Err(fault),
            None => Ok(Some(text.into())),
        }
    }

    /// A number, or a text without its quotes and spaces.
    fn quantity(&mut self) -> Read<Value> {
        let literal = self.cursor.value().map_err(malformed)?;
        let inside = literal.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(literal);
        let text = String::from_utf8_lossy(inside);
        let text = text.trim();
        match text.parse::<Quantity>() {
            Ok(_) => Ok(text.into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A number that no decoder can hold.
pub(super) fn unreadable(literal: &[u8], of: &str) -> String {
    format!("json: cannot unmarshal number {} into Go value of type {of}", String::from_utf8_lossy(literal))
}

/// Where Go gives up: at the first letter that does not belong there, or at the end.
fn base64_fault(text: &str) -> usize {
    let mut filled = 0;
    for (place, letter) in text.bytes().enumerate() {
        match letter {
            b'\r' | b'\n' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => filled += 1,
            b'=' if filled % 4 >= 2 => {
                let padding = 4 - filled % 4;
                let rest = text[place..].bytes().filter(|letter| !matches!(letter, b'\r' | b'\n'));
                return place + rest.take_while(|letter| *letter == b'=').count().min(padding);
            }
            _ => return place,
        }
    }
    // An incomplete group is told of by where it begins.
    text.len() - filled % 4
}
