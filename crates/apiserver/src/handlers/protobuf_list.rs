//! A list in protocol buffers: its objects are transcoded one by one while it is sent, and never all in memory.

use std::{sync::Arc, vec};

use api_types::{
    StatusError,
    schema::{self, Type},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http::StatusCode;

use super::{
    Answer,
    list::{ListMeta, SHORT},
};
use crate::{
    protobuf::{Encoder, ListHead, ProtobufError},
    registry::Rest,
    request::Encoding,
    serving::{Body, BodyError, respond},
    storage::cache::Entry,
};

/// The list of these objects. Its size stands before it: objects whose size is not known yet are transcoded once to
/// find it.
pub(super) async fn answer(rest: &Rest, meta: &ListMeta, entries: Vec<Arc<Entry>>) -> Answer {
    /// So many objects are measured before other requests get their turn.
    const TURN: usize = 32;
    let schema = schema::of(&rest.row.group, &rest.row.version, &rest.row.kind);
    let mut writer = Writer { schema, encoder: Encoder::default(), json: BytesMut::new() };
    let mut size = 0;
    let mut shown = Vec::with_capacity(entries.len());
    for turn in entries.chunks(TURN) {
        for entry in turn {
            let Some(own) = rest.shown(entry.item(), writer.size(entry)) else { continue };
            size += own;
            shown.push(entry.clone());
        }
        tokio::task::yield_now().await;
    }
    let (kind, api_version, metadata) = (rest.row.list_kind(), rest.row.api_version(), meta.to_json());
    let head = ListHead { api_version: &api_version, kind: &kind, metadata: metadata.as_bytes() };
    let (head, tail) = writer.encoder.list(&head, size).map_err(StatusError::internal)?;
    let chunks = Chunks { head: Some(head), tail: Some(tail), entries: shown.into_iter(), writer };
    if size > SHORT {
        return Ok(respond::stream(Encoding::Protobuf, Body::stream(stream::iter(chunks))));
    }
    let whole: Result<Vec<Bytes>, BodyError> = chunks.collect();
    let whole = whole.map_err(StatusError::internal)?.concat();
    Ok(respond::with_type(StatusCode::OK, respond::PROTOBUF, Body::from(whole)))
}

/// Transcodes objects.
struct Writer {
    schema: &'static Type,
    encoder: Encoder,
    json: BytesMut,
}

impl Writer {
    fn item(&mut self, entry: &Entry) -> Result<&[u8], ProtobufError> {
        self.json.clear();
        entry.write_json(entry.revision(), &mut self.json);
        self.encoder.item(self.schema, &self.json)
    }

    fn size(&mut self, entry: &Entry) -> Result<usize, ProtobufError> {
        if let Some(size) = entry.translated_size() {
            return Ok(size);
        }
        let size = self.item(entry)?.len();
        entry.set_translated_size(size);
        Ok(size)
    }
}

/// The pieces of the list.
struct Chunks {
    head: Option<Bytes>,
    entries: vec::IntoIter<Arc<Entry>>,
    tail: Option<Bytes>,
    writer: Writer,
}

impl Iterator for Chunks {
    type Item = Result<Bytes, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(head) = self.head.take() {
            return Some(Ok(head));
        }
        let mut chunk = BytesMut::new();
        while chunk.len() < SHORT {
            let Some(entry) = self.entries.next() else { break };
            match self.writer.item(&entry) {
                Ok(item) => chunk.put_slice(item),
                Err(error) => return Some(Err(error.into())),
            }
        }
        if chunk.is_empty() { self.tail.take().map(Ok) } else { Some(Ok(chunk.freeze())) }
    }
}
