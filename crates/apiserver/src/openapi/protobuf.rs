//! Swagger 2.0 in protocol buffers, as kubectl before 1.28 insists on it: the JSON document, written by a
//! table of field numbers (those of gnostic's `OpenAPIv2.proto`).

use prost::encoding::encode_varint;
use serde_json::Value;

/// How a JSON value is written.
#[derive(Clone, Copy)]
enum Form {
    /// A string.
    Text,
    /// A boolean.
    Bool,
    /// A string, or a list of strings, each a field of its own.
    Texts,
    /// A message.
    Message(&'static Message),
    /// Messages inside messages that only hold them, by their field numbers from without; chosen by the value.
    Wrapped(fn(&Value) -> (&'static [u32], &'static Message)),
}

struct Message {
    fields: &'static [(&'static str, u32, Form)],
    /// Where `x-*` members go.
    extensions: Option<u32>,
    /// Where an object goes whose members all have names of their own: field number and message.
    entries: Option<(u32, &'static Message)>,
}

const fn message(fields: &'static [(&'static str, u32, Form)]) -> Message {
    Message { fields, extensions: None, entries: None }
}

static DOCUMENT: Message = message(&[
    ("swagger", 1, Form::Text),
    ("info", 2, Form::Message(&INFO)),
    ("paths", 8, Form::Message(&PATHS)),
    ("definitions", 9, Form::Message(&DEFINITIONS)),
]);
static INFO: Message = message(&[("title", 1, Form::Text), ("version", 2, Form::Text)]);
static PATHS: Message = Message { fields: &[], extensions: None, entries: Some((2, &PATH)) };
static PATH: Message = message(&[
    ("get", 2, Form::Message(&OPERATION)),
    ("put", 3, Form::Message(&OPERATION)),
    ("post", 4, Form::Message(&OPERATION)),
    ("delete", 5, Form::Message(&OPERATION)),
    ("options", 6, Form::Message(&OPERATION)),
    ("head", 7, Form::Message(&OPERATION)),
    ("patch", 8, Form::Message(&OPERATION)),
    ("parameters", 9, Form::Wrapped(parameter)),
]);
static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Form::Texts),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("consumes", 7, Form::Texts),
        ("parameters", 8, Form::Wrapped(parameter)),
        ("responses", 9, Form::Message(&RESPONSES)),
    ],
    extensions: Some(13),
    entries: None,
};
static BODY_PARAMETER: Message = message(&[
    ("name", 2, Form::Text),
    ("in", 3, Form::Text),
    ("required", 4, Form::Bool),
    ("schema", 5, Form::Message(&SCHEMA)),
]);
static QUERY_PARAMETER: Message = message(&[("in", 2, Form::Text), ("name", 4, Form::Text), ("type", 6, Form::Text)]);
static PATH_PARAMETER: Message =
    message(&[("required", 1, Form::Bool), ("in", 2, Form::Text), ("name", 4, Form::Text), ("type", 5, Form::Text)]);
static RESPONSES: Message = Message { fields: &[], extensions: None, entries: Some((1, &RESPONSE_VALUE)) };
static RESPONSE_VALUE: Message = message(&[("", 1, Form::Message(&RESPONSE))]);
static RESPONSE: Message = message(&[("description", 1, Form::Text)]);
static DEFINITIONS: Message = Message { fields: &[], extensions: None, entries: Some((1, &SCHEMA)) };
static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("description", 4, Form::Text),
        ("required", 19, Form::Texts),
        ("additionalProperties", 21, Form::Message(&SCHEMA_ITEM)),
        ("type", 22, Form::Message(&TYPE)),
        ("items", 23, Form::Message(&SCHEMA_ITEM)),
        ("properties", 25, Form::Message(&DEFINITIONS)),
    ],
    extensions: Some(31),
    entries: None,
};
static SCHEMA_ITEM: Message = message(&[("", 1, Form::Message(&SCHEMA))]);
static TYPE: Message = message(&[("", 1, Form::Texts)]);

fn parameter(value: &Value) -> (&'static [u32], &'static Message) {
    match value.get("in").and_then(Value::as_str) {
        Some("body") => (&[1, 1], &BODY_PARAMETER),
        Some("path") => (&[1, 2, 4], &PATH_PARAMETER),
        _ => (&[1, 2, 3], &QUERY_PARAMETER),
    }
}

/// The document in protocol buffers.
#[must_use]
pub fn encode(document: &Value) -> Vec<u8> {
    DOCUMENT.encode(document)
}

impl Message {
    fn encode(&self, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, number, form) in self.fields {
            // A nameless field holds the value itself.
            if let Some(value) = if name.is_empty() { Some(value) } else { value.get(name) } {
                form.write(&mut out, *number, value);
            }
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            if let Some((number, entry)) = self.entries {
                bytes(&mut out, number, &named(name, &entry.encode(value)));
            } else if let (Some(number), true) = (self.extensions, name.starts_with("x-")) {
                let mut any = Vec::new();
                bytes(&mut any, 2, value.to_string().as_bytes());
                bytes(&mut out, number, &named(name, &any));
            }
        }
        out
    }
}

impl Form {
    fn write(self, out: &mut Vec<u8>, number: u32, value: &Value) {
        let items = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        match self {
            Self::Text => bytes(out, number, value.as_str().unwrap_or_default().as_bytes()),
            Self::Texts => items.iter().filter_map(Value::as_str).for_each(|text| bytes(out, number, text.as_bytes())),
            Self::Bool => {
                encode_varint(u64::from(number) << 3, out);
                encode_varint(u64::from(value == &Value::Bool(true)), out);
            }
            Self::Message(message) => bytes(out, number, &message.encode(value)),
            Self::Wrapped(choose) => {
                for item in items {
                    let (path, message) = choose(item);
                    let inner = path.iter().rev().fold(message.encode(item), |inner, number| {
                        let mut outer = Vec::new();
                        bytes(&mut outer, *number, &inner);
                        outer
                    });
                    bytes(out, number, &inner);
                }
            }
        }
    }
}

/// A pair of a name and a message.
fn named(name: &str, value: &[u8]) -> Vec<u8> {
    let mut pair = Vec::new();
    bytes(&mut pair, 1, name.as_bytes());
    bytes(&mut pair, 2, value);
    pair
}

fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_varint(u64::from(number) << 3 | 2, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}
