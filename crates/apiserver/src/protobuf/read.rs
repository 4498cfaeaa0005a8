//! Messages to JSON. Fields that the table does not know are left out, as upstream leaves them out, whatever
//! `fieldValidation` says.

use std::{borrow::Cow, collections::BTreeMap};

use api_types::{
    jiff::Timestamp,
    schema::{Field, Kind, Label, Type, named},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use super::{
    envelope::{find_last, is_object, write_json},
    wire::{Fields, Payload, packed},
    write::SCHEMA,
};

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end in the middle of a field.
    #[error("unexpected EOF")]
    Truncated,
    /// Not the wire format.
    #[error("proto: {0}")]
    Wire(#[from] prost::DecodeError),
    /// A field of another sort than its type.
    #[error("proto: wrong wireType for field {0}")]
    WireType(String),
    /// A string that is no UTF-8, or raw JSON that is none.
    #[error("malformed text")]
    Text,
    /// Messages within messages beyond all measure.
    #[error("message is nested too deeply")]
    Depth,
}

type Read = Result<(), Malformed>;

/// Writes a whole object.
pub(super) fn object(
    schema: &Type,
    api_version: &str,
    kind: &str,
    bytes: &[u8],
    depth: usize,
    out: &mut Vec<u8>,
) -> Read {
    let mut members = Members::open(out);
    members.name("kind");
    string(kind, members.out);
    members.name("apiVersion");
    string(api_version, members.out);
    fields(schema, bytes, depth, &mut members)?;
    members.close();
    Ok(())
}

/// The last field of bytes with this number; empty when there is none.
pub(super) fn last_bytes(message: &[u8], number: u32) -> Result<&[u8], Malformed> {
    find_last(message, number).map(Option::unwrap_or_default)
}

/// Bytes as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Text)
}

/// The members of an object that is being written.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Members<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        string(name, self.out);
        self.out.push(b':');
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn nested(schema: Option<&Type>, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Read {
    let mut members = Members::open(out);
    if let Some(schema) = schema {
        fields(schema, bytes, depth, &mut members)?;
    }
    members.close();
    Ok(())
}

/// Writes what a message has, field by field; a field may come several times, and others in between.
fn fields(schema: &Type, bytes: &[u8], depth: usize, members: &mut Members<'_>) -> Read {
    let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    let mut found: Vec<(u32, Payload<'_>)> = Vec::new();
    for field in Fields(bytes) {
        let (number, payload) = field?;
        if schema.numbered(number).is_some() {
            found.push((number, payload));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    for payloads in found.chunk_by(|(a, _), (b, _)| a == b) {
        let Some(field) = schema.numbered(payloads[0].0) else { continue };
        match field.label {
            _ if field.is_inlined() => inlined(field, payloads, depth, members)?,
            Label::One => one(field, payloads, depth, members)?,
            Label::List => list(field, payloads, depth, members)?,
            Label::Map => map(field, payloads, depth, members)?,
        }
    }
    Ok(())
}

type Payloads<'a, 'b> = &'a [(u32, Payload<'b>)];

fn inlined(field: &Field, payloads: Payloads<'_, '_>, depth: usize, members: &mut Members<'_>) -> Read {
    field.message().map_or(Ok(()), |schema| fields(schema, &whole(payloads), depth, members))
}

/// A message that may have come in parts.
fn whole<'b>(payloads: Payloads<'_, 'b>) -> Cow<'b, [u8]> {
    let mut parts = payloads.iter().filter_map(|(_, payload)| match payload {
        Payload::Bytes(bytes) => Some(*bytes),
        _ => None,
    });
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        None => Cow::Borrowed(first),
        Some(second) => {
            let mut all = [first, second].concat();
            parts.for_each(|part| all.extend_from_slice(part));
            Cow::Owned(all)
        }
    }
}

fn one(field: &Field, payloads: Payloads<'_, '_>, depth: usize, members: &mut Members<'_>) -> Read {
    let Some((_, last)) = payloads.last() else { return Ok(()) };
    if is_absent(field.kind, *last)? || (!field.pointer && is_zero(field.kind, *last)) {
        return Ok(());
    }
    members.name(&field.name);
    match (field.kind, last) {
        (Kind::Message(_), Payload::Bytes(_)) => nested(field.message(), &whole(payloads), depth, members.out),
        _ => value(field, *last, depth, members.out),
    }
}

fn list(field: &Field, payloads: Payloads<'_, '_>, depth: usize, members: &mut Members<'_>) -> Read {
    members.name(&field.name);
    members.out.push(b'[');
    let mut first = true;
    let mut item = |payload, out: &mut Vec<u8>| {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        value(field, payload, depth, out)
    };
    for (_, payload) in payloads {
        match (field.kind, payload) {
            (Kind::Bool | Kind::Int32 | Kind::Int64, Payload::Bytes(numbers)) => {
                packed(numbers).try_for_each(|number| item(Payload::Number(number?), members.out))?;
            }
            _ => item(*payload, members.out)?,
        }
    }
    members.out.push(b']');
    Ok(())
}

fn map(field: &Field, payloads: Payloads<'_, '_>, depth: usize, members: &mut Members<'_>) -> Read {
    let mut entries = BTreeMap::new();
    for (_, payload) in payloads {
        let Payload::Bytes(entry) = payload else { return Err(wrong(field)) };
        let (mut key, mut held) = ("", None);
        for part in Fields(entry) {
            match part? {
                (1, Payload::Bytes(bytes)) => key = text(bytes)?,
                (2, payload) => held = Some(payload),
                _ => {}
            }
        }
        entries.insert(key, held);
    }
    members.name(&field.name);
    let mut inner = Members::open(members.out);
    for (key, held) in entries {
        inner.name(key);
        value(field, held.unwrap_or(nothing(field.kind)), depth, inner.out)?;
    }
    inner.close();
    Ok(())
}

/// What an entry of a map holds that says nothing.
fn nothing(kind: Kind) -> Payload<'static> {
    match kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 => Payload::Number(0),
        Kind::Double => Payload::Fixed64(0),
        _ => Payload::Bytes(&[]),
    }
}

fn wrong(field: &Field) -> Malformed {
    Malformed::WireType(field.name.to_string())
}

/// Whether JSON leaves it out, pointer or not: the zero time, raw JSON without text.
fn is_absent(kind: Kind, payload: Payload<'_>) -> Result<bool, Malformed> {
    Ok(match (kind, payload) {
        (Kind::Time | Kind::MicroTime, Payload::Bytes(bytes)) => bytes.is_empty(),
        (Kind::RawExtension | Kind::FieldsV1 | Kind::Json, Payload::Bytes(bytes)) => find_last(bytes, 1)?.is_none(),
        _ => false,
    })
}

/// Empty texts and zeros are written even when they mean absence.
fn is_zero(kind: Kind, payload: Payload<'_>) -> bool {
    match payload {
        Payload::Number(number) => number == 0,
        Payload::Fixed64(bits) => bits == 0,
        Payload::Bytes(bytes) => matches!(kind, Kind::String | Kind::Bytes) && bytes.is_empty(),
    }
}

fn value(field: &Field, payload: Payload<'_>, depth: usize, out: &mut Vec<u8>) -> Read {
    match (field.kind, payload) {
        (Kind::Bool, Payload::Number(number)) => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
        (Kind::Int32, Payload::Number(number)) => {
            // Of a negative number, ten bytes may come as well as five.
            let number = number as i32;
            out.extend_from_slice(number.to_string().as_bytes());
        }
        (Kind::Int64, Payload::Number(number)) => out.extend_from_slice(number.cast_signed().to_string().as_bytes()),
        (Kind::Double, Payload::Fixed64(bits)) => drop(serde_json::to_writer(out, &f64::from_bits(bits))),
        (Kind::String, Payload::Bytes(bytes)) => string(text(bytes)?, out),
        (Kind::Bytes, Payload::Bytes(bytes)) => string(&STANDARD.encode(bytes), out),
        (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double, Payload::Bytes(_)) => return Err(wrong(field)),
        (_, Payload::Bytes(bytes)) => return message(field.kind, bytes, depth, out),
        _ => return Err(wrong(field)),
    }
    Ok(())
}

fn message(kind: Kind, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Read {
    match kind {
        Kind::RawExtension | Kind::FieldsV1 | Kind::Json => return raw_json(bytes, depth, out),
        Kind::Quantity => string(text(last_bytes(bytes, 1)?)?, out),
        Kind::IntOrString => return int_or_string(bytes, out),
        Kind::Time => return time(bytes, Precision::Seconds, out),
        Kind::MicroTime => return time(bytes, Precision::Micros, out),
        Kind::Strings => return strings(bytes, 1, out),
        Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrStrings => return choice(kind, bytes, depth, out),
        kind => return nested(kind.message(), bytes, depth, out),
    }
    Ok(())
}

/// `RawExtension` and its like carry JSON in their first field, or an object in its envelope.
fn raw_json(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Read {
    let raw = find_last(bytes, 1)?.unwrap_or(b"null");
    if is_object(raw) {
        let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
        return write_json(raw, depth, out).map_err(|_| Malformed::Text);
    }
    let json: &RawValue = serde_json::from_slice(raw).map_err(|_| Malformed::Text)?;
    out.extend_from_slice(json.get().as_bytes());
    Ok(())
}

fn int_or_string(bytes: &[u8], out: &mut Vec<u8>) -> Read {
    let (mut sort, mut number) = (0, 0);
    for field in Fields(bytes) {
        match field? {
            (1, Payload::Number(value)) => sort = value,
            (2, Payload::Number(value)) => number = value.cast_signed(),
            _ => {}
        }
    }
    if sort == 0 {
        out.extend_from_slice(number.to_string().as_bytes());
    } else {
        string(text(last_bytes(bytes, 3)?)?, out);
    }
    Ok(())
}

fn strings(bytes: &[u8], number: u32, out: &mut Vec<u8>) -> Read {
    let mut texts = Vec::new();
    for field in Fields(bytes) {
        match field? {
            (at, Payload::Bytes(bytes)) if at == number => texts.push(text(bytes)?),
            _ => {}
        }
    }
    let _ = serde_json::to_writer(out, &texts);
    Ok(())
}

/// A JSON schema, or what may stand in its place.
fn choice(kind: Kind, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Read {
    let (mut number, mut schema, mut many) = (0, None, Vec::new());
    let place = if kind == Kind::SchemaOrBool { 2 } else { 1 };
    for field in Fields(bytes) {
        match field? {
            (1, Payload::Number(value)) => number = value,
            (at, Payload::Bytes(bytes)) if at == place => schema = Some(bytes),
            (_, Payload::Bytes(bytes)) => many.push(bytes),
            _ => {}
        }
    }
    match (kind, schema) {
        (Kind::SchemaOrStrings, _) if !many.is_empty() => return strings(bytes, 2, out),
        (_, _) if !many.is_empty() => {
            for (index, schema) in many.into_iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                nested(named(SCHEMA), schema, depth, out)?;
            }
            out.push(b']');
        }
        (_, Some(schema)) => return nested(named(SCHEMA), schema, depth, out),
        (Kind::SchemaOrBool, None) => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
        (_, None) => out.extend_from_slice(b"null"),
    }
    Ok(())
}

enum Precision {
    Seconds,
    Micros,
}

/// A point in time; Go's zero time is an empty message.
fn time(bytes: &[u8], precision: Precision, out: &mut Vec<u8>) -> Read {
    if bytes.is_empty() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields(bytes) {
        match field? {
            (1, Payload::Number(number)) => seconds = number.cast_signed(),
            (2, Payload::Number(number)) => nanos = i32::try_from(number.cast_signed()).unwrap_or(0),
            _ => {}
        }
    }
    let whole = Timestamp::new(seconds, nanos).map_err(|_| Malformed::Text)?;
    let text = match precision {
        Precision::Seconds => whole.strftime("%Y-%m-%dT%H:%M:%SZ"),
        Precision::Micros => whole.strftime("%Y-%m-%dT%H:%M:%S.%6fZ"),
    };
    string(&text.to_string(), out);
    Ok(())
}
