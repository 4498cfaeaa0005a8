//! Watch events in the forms in which they are sent.

use serde_json::Value;

/// A form of watch events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Partial,
    Table,
    Protobuf,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub kind: String,
    /// Namespace and name; empty for bookmarks.
    pub key: String,
    pub revision: u64,
    /// Whether it is the bookmark that ends the initial events.
    pub ends_initial: bool,
}

const ENDS_INITIAL: &str = "k8s.io/initial-events-end";

impl Form {
    pub fn accept(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Partial => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Self::Table => "application/json;as=Table;g=meta.k8s.io;v=v1",
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }

    /// Takes the first event from the buffer, when it has arrived whole.
    pub fn take(self, buffer: &mut Vec<u8>) -> Option<Told> {
        if self == Self::Protobuf {
            let length = u32::from_be_bytes(buffer.get(..4)?.try_into().unwrap()) as usize;
            let frame: Vec<u8> = buffer.get(4..4 + length)?.to_vec();
            buffer.drain(..4 + length);
            return Some(protobuf(&frame));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = buffer.drain(..=end).collect();
        Some(json(&serde_json::from_slice(&line).unwrap()))
    }
}

fn told(kind: &str, namespace: &str, name: &str, revision: &str, ends_initial: bool) -> Told {
    let key = if name.is_empty() { String::new() } else { format!("{namespace}/{name}") };
    Told { kind: kind.to_owned(), key, revision: revision.parse().unwrap_or_default(), ends_initial }
}

fn json(event: &Value) -> Told {
    let object = &event["object"];
    let row = &object["rows"][0]["object"];
    let metadata = if row["metadata"]["name"].is_string() { &row["metadata"] } else { &object["metadata"] };
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    let ends_initial = metadata["annotations"][ENDS_INITIAL] == "true";
    let kind = event["type"].as_str().unwrap();
    assert_ne!(kind, "ERROR", "{event}");
    told(kind, text("namespace"), text("name"), text("resourceVersion"), ends_initial)
}

/// `WatchEvent` of `meta/v1`, around `Unknown` of `runtime`, around an object whose first field is its metadata.
fn protobuf(frame: &[u8]) -> Told {
    let kind = text(field(frame, 1));
    let raw = field(field(frame, 2), 1).strip_prefix(b"k8s\0").expect("an object has its mark");
    let object = field(raw, 2);
    assert_ne!(kind, "ERROR", "{}", String::from_utf8_lossy(object));
    let metadata = field(object, 1);
    let annotations = field(metadata, 12);
    let ends_initial = text(field(annotations, 1)) == ENDS_INITIAL;
    told(kind, text(field(metadata, 3)), text(field(metadata, 1)), text(field(metadata, 6)), ends_initial)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The bytes of the first field with this number; none when it is not there.
fn field(mut message: &[u8], number: u64) -> &[u8] {
    while !message.is_empty() {
        let tag = varint(&mut message);
        match tag & 7 {
            0 => drop(varint(&mut message)),
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                let (value, rest) = message.split_at(length);
                if tag >> 3 == number {
                    return value;
                }
                message = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    &[]
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
