//! Objects in protocol buffers, as newer clients send them, made into JSON. Nothing is ever answered in this form.

mod schema;
mod wire;

use api_types::jiff::Timestamp;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use schema::{Field, Label, Message, Type};
pub use wire::Malformed;
use wire::{Fields, Payload};

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Messages within messages within messages; upstream's deepest type has fewer than half as many levels.
const MAX_DEPTH: usize = 64;

/// Why bytes are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// Not Kubernetes' envelope.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// Not the wire format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An object of a kind that is not served.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// Its version.
        api_version: String,
        /// Its kind.
        kind: String,
    },
}

/// An object as JSON.
///
/// # Errors
/// When the bytes are no object, or one of a kind that is not served.
pub fn to_json(bytes: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let envelope = Envelope::read(bytes.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?)?;
    let message = schema::of_kind(&envelope.api_version, &envelope.kind);
    let message = message.ok_or_else(|| ProtobufError::UnknownKind {
        api_version: envelope.api_version.clone(),
        kind: envelope.kind.clone(),
    })?;
    let mut object = Map::new();
    object.insert("apiVersion".into(), envelope.api_version.into());
    object.insert("kind".into(), envelope.kind.into());
    read(message, envelope.raw, &mut object, MAX_DEPTH)?;
    Ok(Value::Object(object).to_string().into_bytes())
}

/// `runtime.Unknown`: what an object is, and its bytes.
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut envelope = Self { api_version: String::new(), kind: String::new(), raw: &[] };
        for field in Fields(bytes) {
            match field? {
                (1, Payload::Bytes(type_meta)) => envelope.read_type(type_meta)?,
                (2, Payload::Bytes(raw)) => envelope.raw = raw,
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn read_type(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        for field in Fields(bytes) {
            match field? {
                (1, Payload::Bytes(version)) => self.api_version = text(version)?,
                (2, Payload::Bytes(kind)) => self.kind = text(kind)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads a message's fields into an object. Fields that the table does not know are left out.
fn read(message: &Message, bytes: &[u8], object: &mut Map<String, Value>, depth: usize) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    for field in Fields(bytes) {
        let (number, payload) = field?;
        let Some(field) = message.get(&number) else { continue };
        match (field, payload) {
            (Field { name: "", r#type: Type::Message(inner), .. }, Payload::Bytes(bytes)) => {
                if let Some(inner) = schema::message(inner) {
                    read(inner, bytes, object, depth)?;
                }
            }
            (Field { label: Label::Map, .. }, Payload::Bytes(entry)) => read_entry(field, entry, object, depth)?,
            (Field { label: Label::List, .. }, payload) => read_element(field, payload, object, depth)?,
            (field, payload) => {
                let value = value(field.r#type, payload, depth)?;
                if let Some(value) = value.filter(|value| field.label == Label::Pointer || !is_zero(value)) {
                    object.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(())
}

/// Empty texts and zeros are written even when they mean absence.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

fn read_entry(field: &Field, entry: &[u8], object: &mut Map<String, Value>, depth: usize) -> Result<(), Malformed> {
    let (mut key, mut held) = (String::new(), None);
    for part in Fields(entry) {
        match part? {
            (1, Payload::Bytes(bytes)) => key = text(bytes)?,
            (2, payload) => held = value(field.r#type, payload, depth)?,
            _ => {}
        }
    }
    let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(map) = map {
        map.insert(key, held.unwrap_or_else(|| Value::String(String::new())));
    }
    Ok(())
}

fn read_element(
    field: &Field,
    payload: Payload<'_>,
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), Malformed> {
    let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else { return Ok(()) };
    if let (Type::Integer, Payload::Bytes(packed)) = (field.r#type, payload) {
        let mut numbers = Fields(packed);
        while let Some(number) = numbers.next_number() {
            list.push(number?.cast_signed().into());
        }
        return Ok(());
    }
    list.extend(value(field.r#type, payload, depth)?);
    Ok(())
}

/// What a field holds, in JSON; `None` for what JSON leaves out.
fn value(kind: Type, payload: Payload<'_>, depth: usize) -> Result<Option<Value>, Malformed> {
    let value = match (kind, payload) {
        (Type::Boolean, Payload::Number(number)) => Value::Bool(number != 0),
        (Type::Integer, Payload::Number(number)) => number.cast_signed().into(),
        (Type::Double, Payload::Fixed64(bits)) => f64::from_bits(bits).into(),
        (Type::Text, Payload::Bytes(bytes)) => text(bytes)?.into(),
        (Type::Bytes, Payload::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Type::RawJson, Payload::Bytes(bytes)) => return raw_json(bytes),
        (Type::Quantity, Payload::Bytes(bytes)) => Message1::read(bytes)?.text.into(),
        (Type::IntOrString, Payload::Bytes(bytes)) => Message1::read(bytes)?.int_or_string(),
        (Type::Time, Payload::Bytes(bytes)) => return Ok(time(bytes, Precision::Seconds)?.map(Value::String)),
        (Type::MicroTime, Payload::Bytes(bytes)) => return Ok(time(bytes, Precision::Micros)?.map(Value::String)),
        (Type::Message(name), Payload::Bytes(bytes)) => {
            let mut inner = Map::new();
            if let Some(message) = schema::message(name) {
                read(message, bytes, &mut inner, depth)?;
            }
            Value::Object(inner)
        }
        _ => return Err(Malformed::WireType),
    };
    Ok(Some(value))
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Text)
}

/// `RawExtension` and `FieldsV1` carry JSON in their first field.
fn raw_json(bytes: &[u8]) -> Result<Option<Value>, Malformed> {
    for field in Fields(bytes) {
        if let (1, Payload::Bytes(json)) = field? {
            return serde_json::from_slice(json).map(Some).map_err(|_| Malformed::Text);
        }
    }
    Ok(None)
}

/// The small messages that JSON writes as one value: `Quantity` and `IntOrString`.
#[derive(Default)]
struct Message1 {
    text: String,
    /// 0 for a number, 1 for a text.
    sort: u64,
    number: i64,
}

impl Message1 {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1 | 3, Payload::Bytes(bytes)) => read.text = text(bytes)?,
                (1, Payload::Number(sort)) => read.sort = sort,
                (2, Payload::Number(number)) => read.number = number.cast_signed(),
                _ => {}
            }
        }
        Ok(read)
    }

    fn int_or_string(self) -> Value {
        if self.sort == 0 { self.number.into() } else { self.text.into() }
    }
}

enum Precision {
    Seconds,
    Micros,
}

/// A point in time; `None` for Go's zero time, which is an empty message.
fn time(bytes: &[u8], precision: Precision) -> Result<Option<String>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
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
    Ok(Some(match precision {
        Precision::Seconds => whole.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Precision::Micros => whole.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    }))
}

#[cfg(test)]
mod tests;
