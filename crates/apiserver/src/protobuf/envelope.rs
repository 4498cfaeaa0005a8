//! The envelopes around messages: `runtime.Unknown`, which tells the kind; lists; and events of a watch.

use api_types::schema::{self, Type};
use bytes::Bytes;
use prost::encoding::WireType;

use super::{
    MAX_DEPTH, Malformed, ProtobufError,
    read::{self, last_bytes, text},
    tape::{Node, Tape, Value},
    wire::{Backwards, Fields, Payload},
    write,
};

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every object begins with.
pub(super) const MAGIC: &[u8] = b"k8s\0";

/// The fields of `runtime.Unknown`.
const TYPE_META: u32 = 1;
const RAW: u32 = 2;
const CONTENT_ENCODING: u32 = 3;
const CONTENT_TYPE: u32 = 4;

/// The fields of every list.
const LIST_META: u32 = 1;
const ITEMS: u32 = 2;

/// An object as JSON.
///
/// # Errors
/// When the bytes are no object, or one of a kind that is no message.
pub fn to_json(bytes: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    write_json(bytes, MAX_DEPTH, &mut out)?;
    Ok(out)
}

pub(super) fn write_json(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
    let unknown = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    let type_meta = last_bytes(unknown, TYPE_META)?;
    let api_version = text(last_bytes(type_meta, 1)?)?;
    let kind = text(last_bytes(type_meta, 2)?)?;
    let message = message_of(api_version, kind)?;
    read::object(message, api_version, kind, last_bytes(unknown, RAW)?, depth, out)?;
    Ok(())
}

fn message_of(api_version: &str, kind: &str) -> Result<&'static Type, ProtobufError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let found = schema::find(group, version, kind).filter(|schema| schema.is_message());
    found.ok_or_else(|| ProtobufError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })
}

/// Writes JSON as messages, one after the other in the same memory.
#[derive(Debug, Default)]
pub struct Encoder {
    nodes: Vec<Node>,
    out: Backwards,
}

impl Encoder {
    /// An object in its envelope; its JSON tells what it is.
    ///
    /// # Errors
    /// When it is of a kind that is no message, or not as its kind says.
    pub fn object(&mut self, json: &[u8]) -> Result<&[u8], ProtobufError> {
        self.with(json, envelope)
    }

    /// An object as an item of a list.
    ///
    /// # Errors
    /// When it is not as its schema says.
    pub fn item(&mut self, schema: &Type, json: &[u8]) -> Result<&[u8], ProtobufError> {
        self.with(json, |object, out| {
            write::message(schema, Some(object), out)?;
            out.close(ITEMS, 0);
            Ok(())
        })
    }

    /// An event of a watch as a frame: its length in four bytes, and the event, in which an object stands in its
    /// envelope.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn watch_frame(&mut self, json: &[u8]) -> Result<Bytes, ProtobufError> {
        let frame = self.with(json, |event, out| {
            if let Some(object) = event.member("object") {
                envelope(object, out)?;
                out.close(1, 0);
                out.close(2, 0);
            }
            let name = event.member("type").and_then(Value::string).unwrap_or_default();
            out.field(1, name.as_bytes());
            let length = u32::try_from(out.len()).map_err(|_| Malformed::Truncated)?;
            out.bytes(&length.to_be_bytes());
            Ok(())
        });
        frame.map(Bytes::copy_from_slice)
    }

    /// What stands before and behind the items of a list, which have this size together.
    ///
    /// # Errors
    /// When the metadata is not JSON of a list's metadata.
    pub fn list(&mut self, list: &ListHead<'_>, items: usize) -> Result<(Bytes, Bytes), ProtobufError> {
        let schema = schema::named("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
        let schema = schema.ok_or_else(|| unknown(list.api_version, list.kind))?;
        let head = self.with(list.metadata, |metadata, out| {
            write::message(schema, Some(metadata), out)?;
            out.close(LIST_META, 0);
            out.number((out.len() + items) as u64);
            out.key(RAW, WireType::LengthDelimited);
            type_meta(list.api_version, list.kind, out);
            Ok(())
        });
        let head = head.map(Bytes::copy_from_slice)?;
        self.out.clear();
        tail(&mut self.out);
        Ok((head, Bytes::copy_from_slice(self.out.written())))
    }

    fn with(
        &mut self,
        json: &[u8],
        write: impl FnOnce(Value<'_>, &mut Backwards) -> Result<(), ProtobufError>,
    ) -> Result<&[u8], ProtobufError> {
        let tape = Tape::read(json, std::mem::take(&mut self.nodes)).map_err(write::Mismatch::from)?;
        self.out.clear();
        write(tape.root(), &mut self.out)?;
        self.nodes = tape.into_nodes();
        Ok(self.out.written())
    }
}

/// What a list says of itself.
#[derive(Clone, Copy, Debug)]
pub struct ListHead<'a> {
    /// Such as `v1`.
    pub api_version: &'a str,
    /// Such as `PodList`.
    pub kind: &'a str,
    /// Its metadata in JSON.
    pub metadata: &'a [u8],
}

fn unknown(api_version: &str, kind: &str) -> ProtobufError {
    ProtobufError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() }
}

fn envelope(object: Value<'_>, out: &mut Backwards) -> Result<(), ProtobufError> {
    let word = |name| object.member(name).and_then(Value::string).unwrap_or_default();
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    let schema = message_of(&api_version, &kind)?;
    tail(out);
    let end = out.len();
    write::message(schema, Some(object), out)?;
    out.close(RAW, end);
    type_meta(&api_version, &kind, out);
    Ok(())
}

fn tail(out: &mut Backwards) {
    out.field(CONTENT_TYPE, b"");
    out.field(CONTENT_ENCODING, b"");
}

fn type_meta(api_version: &str, kind: &str, out: &mut Backwards) {
    let end = out.len();
    out.field(2, kind.as_bytes());
    out.field(1, api_version.as_bytes());
    out.close(TYPE_META, end);
    out.bytes(MAGIC);
}

/// Whether bytes are an object in its envelope.
#[must_use]
pub fn is_object(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The last field of bytes with this number in a message; nothing when there is none.
pub(super) fn find_last(message: &[u8], number: u32) -> Result<Option<&[u8]>, Malformed> {
    let mut found = None;
    for field in Fields(message) {
        if let (at, Payload::Bytes(bytes)) = field?
            && at == number
        {
            found = Some(bytes);
        }
    }
    Ok(found)
}
