//! JSON to messages, as Go writes them: fields by number; values that are no pointers always, though they are empty;
//! maps by key.

use std::borrow::Cow;

use api_types::{
    jiff::Timestamp,
    schema::{Field, Kind, Label, Type, named},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use prost::encoding::WireType;
use smallvec::SmallVec;

use super::{tape::Value, wire::Backwards};

/// JSON that is no object of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A field is something else than its type says.
    #[error("{0} is of another type")]
    Field(String),
    /// The text is no JSON.
    #[error(transparent)]
    Text(#[from] crate::json::Malformed),
}

/// Puts the fields of a message in front; without a value, those of its zero value.
pub(super) fn message(schema: &Type, value: Option<Value<'_>>, out: &mut Backwards) -> Result<(), Mismatch> {
    let fields = schema.fields();
    let mut found: SmallVec<[Option<Value<'_>>; 32]> = SmallVec::from_elem(None, fields.len());
    if let Some(value) = value {
        if !value.is_object() {
            return Err(Mismatch::Field(schema.full_name()));
        }
        for child in value.children() {
            if let Some(place) = schema.position(&child.name()) {
                found[place] = (!child.is_null()).then_some(child);
            }
        }
    }
    for (place, field) in fields.iter().enumerate().rev() {
        if field.number == 0 {
            break;
        }
        let value = if field.is_inlined() { value } else { found[place] };
        member(field, value, out).map_err(|error| error.or_in(field))?;
    }
    Ok(())
}

impl Mismatch {
    /// Names the field, where the value did not know it.
    fn or_in(self, field: &Field) -> Self {
        match self {
            Self::Field(name) if name.is_empty() => Self::Field(field.name.to_string()),
            other => other,
        }
    }
}

fn mismatch() -> Mismatch {
    Mismatch::Field(String::new())
}

fn member(field: &Field, value: Option<Value<'_>>, out: &mut Backwards) -> Result<(), Mismatch> {
    match (field.label, value) {
        (Label::One, Some(value)) => self::value(field.number, field.kind, value, out),
        (Label::One, None) if field.pointer => Ok(()),
        (Label::One, None) => zero(field.number, field.kind, out),
        (_, None) => Ok(()),
        (Label::List, Some(list)) if list.is_array() => list.reversed().try_for_each(|item| element(field, item, out)),
        (Label::Map, Some(map)) if map.is_object() => entries(field, map, out),
        _ => Err(mismatch()),
    }
}

fn element(field: &Field, item: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    if item.is_null() { zero(field.number, field.kind, out) } else { value(field.number, field.kind, item, out) }
}

fn entries(field: &Field, map: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    let mut entries: Vec<(Cow<'_, str>, Value<'_>)> = map.children().map(|entry| (entry.name(), entry)).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, entry) in entries.into_iter().rev() {
        let end = out.len();
        if entry.is_null() {
            zero(2, field.kind, out)?;
        } else {
            value(2, field.kind, entry, out)?;
        }
        out.field(1, name.as_bytes());
        out.close(field.number, end);
    }
    Ok(())
}

/// Puts the zero value of a kind in front. Of lists and bytes, nothing is written.
fn zero(number: u32, kind: Kind, out: &mut Backwards) -> Result<(), Mismatch> {
    match kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 => out.number_field(number, 0),
        Kind::Double => double(number, 0.0, out),
        Kind::Bytes | Kind::Strings | Kind::Any => {}
        Kind::Quantity => wrapped(number, b"0", out),
        Kind::IntOrString => int_or_string(number, 0, "", out),
        Kind::Message(_) => return nested(number, kind.message(), None, out),
        Kind::String
        | Kind::Time
        | Kind::MicroTime
        | Kind::RawExtension
        | Kind::FieldsV1
        | Kind::Json
        | Kind::SchemaOrArray
        | Kind::SchemaOrBool
        | Kind::SchemaOrStrings => out.field(number, b""),
    }
    Ok(())
}

fn value(number: u32, kind: Kind, value: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    match kind {
        Kind::Any => {}
        Kind::String => out.field(number, value.string().ok_or_else(mismatch)?.as_bytes()),
        Kind::Bool => out.number_field(number, u64::from(boolean(value)?)),
        Kind::Int32 | Kind::Int64 => out.number_field(number, integer(value)?.cast_unsigned()),
        Kind::Double => double(number, parsed(value)?, out),
        Kind::Bytes => {
            let text = value.string().ok_or_else(mismatch)?;
            out.field(number, &STANDARD.decode(&*text).map_err(|_| mismatch())?);
        }
        Kind::Quantity => match value.string() {
            Some(text) => wrapped(number, text.as_bytes(), out),
            None => wrapped(number, value.text(), out),
        },
        Kind::IntOrString => match value.string() {
            Some(text) => int_or_string(number, 1, &text, out),
            None => int_or_number(number, integer(value)?, out),
        },
        Kind::Time | Kind::MicroTime => time(number, kind, value, out)?,
        Kind::RawExtension | Kind::FieldsV1 | Kind::Json => wrapped(number, value.text(), out),
        Kind::Strings => strings(number, value, out)?,
        Kind::Message(_) => return nested(number, kind.message(), Some(value), out),
        Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrStrings => return choice(number, kind, value, out),
    }
    Ok(())
}

fn nested(number: u32, schema: Option<&Type>, value: Option<Value<'_>>, out: &mut Backwards) -> Result<(), Mismatch> {
    let end = out.len();
    message(schema.ok_or_else(mismatch)?, value, out)?;
    out.close(number, end);
    Ok(())
}

/// A message whose only field holds these bytes.
fn wrapped(number: u32, bytes: &[u8], out: &mut Backwards) {
    let end = out.len();
    out.field(1, bytes);
    out.close(number, end);
}

fn double(number: u32, value: f64, out: &mut Backwards) {
    out.bytes(&value.to_le_bytes());
    out.key(number, WireType::SixtyFourBit);
}

fn int_or_string(number: u32, sort: u64, text: &str, out: &mut Backwards) {
    let end = out.len();
    out.field(3, text.as_bytes());
    out.number_field(2, 0);
    out.number_field(1, sort);
    out.close(number, end);
}

fn int_or_number(number: u32, value: i64, out: &mut Backwards) {
    let end = out.len();
    out.field(3, b"");
    out.number_field(2, value.cast_unsigned());
    out.number_field(1, 0);
    out.close(number, end);
}

/// Seconds; and nanoseconds, which only micro times have.
fn time(number: u32, kind: Kind, value: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    let text = value.string().ok_or_else(mismatch)?;
    let time: Timestamp = text.parse().map_err(|_| mismatch())?;
    // Before 1970, the seconds are those of the second that the time is in.
    let (mut seconds, mut nanos) = (time.as_second(), i64::from(time.subsec_nanosecond()));
    if nanos < 0 {
        (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
    }
    let nanos = if kind == Kind::MicroTime { nanos / 1000 * 1000 } else { 0 };
    let end = out.len();
    out.number_field(2, nanos.cast_unsigned());
    out.number_field(1, seconds.cast_unsigned());
    out.close(number, end);
    Ok(())
}

fn strings(number: u32, list: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    let end = out.len();
    texts(1, list, out)?;
    out.close(number, end);
    Ok(())
}

fn texts(number: u32, list: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    for item in list.reversed() {
        out.field(number, item.string().ok_or_else(mismatch)?.as_bytes());
    }
    Ok(())
}

/// A JSON schema, or what may stand in its place.
fn choice(number: u32, kind: Kind, value: Value<'_>, out: &mut Backwards) -> Result<(), Mismatch> {
    let schema = named(SCHEMA);
    let end = out.len();
    match kind {
        Kind::SchemaOrBool if value.is_object() => {
            nested(2, schema, Some(value), out)?;
            out.number_field(1, 1);
        }
        Kind::SchemaOrBool => out.number_field(1, u64::from(boolean(value)?)),
        _ if value.is_object() => nested(1, schema, Some(value), out)?,
        Kind::SchemaOrArray => value.reversed().try_for_each(|item| nested(2, schema, Some(item), out))?,
        _ => texts(2, value, out)?,
    }
    out.close(number, end);
    Ok(())
}

/// What the choices are between.
pub(super) const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

fn boolean(value: Value<'_>) -> Result<bool, Mismatch> {
    match value.text() {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(mismatch()),
    }
}

fn integer(value: Value<'_>) -> Result<i64, Mismatch> {
    parsed(value)
}

fn parsed<T: std::str::FromStr>(value: Value<'_>) -> Result<T, Mismatch> {
    std::str::from_utf8(value.text()).ok().and_then(|text| text.parse().ok()).ok_or_else(mismatch)
}
