//! The body of a list: stored objects joined as they are, in chunks, without decoding and without ever holding the
//! whole text.

use std::{sync::Arc, vec};

use bytes::{BufMut, Bytes, BytesMut};

use super::entry::Entry;

/// The size from which on a chunk is handed out, in bytes: some TLS records, and small beside the objects themselves.
const CHUNK: usize = 64 << 10;

/// Yields a list as chunks of JSON: a head, the objects separated by commas, `]}`.
pub struct ListBody {
    /// Text that has not been handed out.
    buffer: BytesMut,
    entries: vec::IntoIter<Arc<Entry>>,
    /// What the objects begin with and items of a list do not.
    said: Bytes,
    stage: Stage,
}

/// How much of the list has been written.
#[derive(PartialEq, Eq)]
enum Stage {
    /// The head, up to and including `"items":[`.
    Head,
    /// At least one object.
    Items,
    /// Everything.
    Done,
}

impl ListBody {
    /// A list that begins with `head`, which ends in `"items":[`. Its items do not begin with what objects have `said`.
    pub fn new(head: &[u8], said: Bytes, entries: Vec<Arc<Entry>>) -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK.min(head.len() + 2 + size(&entries)));
        buffer.put_slice(head);
        Self { buffer, entries: entries.into_iter(), said, stage: Stage::Head }
    }

    /// How long the whole body can at most be, in bytes.
    pub fn size_bound(&self) -> usize {
        self.buffer.len() + 2 + size(self.entries.as_slice())
    }
}

fn size(entries: &[Arc<Entry>]) -> usize {
    entries.iter().map(|entry| entry.json_size() + 1).sum()
}

impl Iterator for ListBody {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.stage == Stage::Done {
            return None;
        }
        while self.buffer.len() < CHUNK {
            let Some(entry) = self.entries.next() else {
                self.buffer.put_slice(b"]}");
                self.stage = Stage::Done;
                return Some(self.buffer.split().freeze());
            };
            if self.stage == Stage::Items {
                self.buffer.put_u8(b',');
            }
            self.stage = Stage::Items;
            entry.write_item(&self.said, &mut self.buffer);
        }
        let chunk = self.buffer.split().freeze();
        self.buffer.reserve(CHUNK + (CHUNK >> 3));
        Some(chunk)
    }
}
