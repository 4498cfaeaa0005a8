//! One cached object: its bytes as stored, and the small header by which it is found and selected.

use std::{
    str,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::storage::{Item, Key, Revision};

/// A string of the object: where it stands in the stored bytes, or its text when it is escaped there or is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Start and length in the stored bytes.
    Span(u32, u32),
    /// The text itself.
    Owned(Box<str>),
}

impl Text {
    /// Whether it has no characters.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Owned(text) => text.is_empty(),
            Self::Span(_, length) => *length == 0,
        }
    }

    fn resolve<'a>(&'a self, value: &'a [u8]) -> &'a str {
        match self {
            Self::Owned(text) => text,
            Self::Span(start, length) => {
                let start = *start as usize;
                value.get(start..start + *length as usize).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
            }
        }
    }
}

/// Where `metadata.resourceVersion` is put into the stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The offset behind the opening brace of `metadata`.
    pub offset: u32,
    /// What follows the inserted member.
    pub separator: Separator,
}

/// What has to stand between the inserted member and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `metadata` has other members.
    Comma,
    /// `metadata` is otherwise empty.
    Nothing,
}

/// What is known about an object without decoding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `metadata.labels`, in the order in which they are stored.
    pub labels: Box<[(Text, Text)]>,
    /// The selectable fields, in the order of the extractor's paths.
    pub fields: Box<[Text]>,
    /// Where the revision belongs.
    pub splice: Splice,
}

/// A cached object. It is shared, never copied and never changed.
#[derive(Debug)]
pub struct Entry {
    /// The stored value, its key and revisions.
    item: Item,
    /// What was found in the value.
    header: Header,
    /// How long it is in the encoding that is not stored; 0 until somebody has found out.
    translated_size: AtomicU32,
}

impl Entry {
    /// An object and the header that was extracted from its value.
    pub fn new(item: Item, header: Header) -> Self {
        Self { item, header, translated_size: AtomicU32::new(0) }
    }

    /// The key in the store.
    pub fn key(&self) -> &Key {
        &self.item.key
    }

    /// The revision of the last write: the object's `metadata.resourceVersion`.
    pub fn revision(&self) -> Revision {
        self.item.revision
    }

    /// The stored bytes, without `metadata.resourceVersion`.
    pub fn value(&self) -> &Bytes {
        &self.item.value
    }

    /// The value as the store gave it.
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels().find_map(|(label, value)| (label == name).then_some(value))
    }

    /// All labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let value = &self.item.value;
        self.header.labels.iter().map(|(name, text)| (name.resolve(value), text.resolve(value)))
    }

    /// The selectable field at this place in the extractor's list; empty for a place that is not in the list.
    pub fn field(&self, index: usize) -> &str {
        self.header.fields.get(index).map_or("", |text| text.resolve(&self.item.value))
    }

    /// How long the object is as an item of a list in the other encoding, if that is known.
    pub fn translated_size(&self) -> Option<usize> {
        let size = self.translated_size.load(Ordering::Relaxed);
        (size != 0).then_some(size as usize)
    }

    /// Remembers how long it is in the other encoding.
    pub fn set_translated_size(&self, size: usize) {
        self.translated_size.store(u32::try_from(size).unwrap_or(0), Ordering::Relaxed);
    }

    /// The object as a client reads it.
    pub fn json(&self) -> Bytes {
        self.json_at(self.item.revision)
    }

    /// The object as a client reads it, with another `metadata.resourceVersion` than its own.
    pub fn json_at(&self, revision: Revision) -> Bytes {
        let mut out = BytesMut::with_capacity(self.json_size());
        self.write_json(revision, &mut out);
        out.freeze()
    }

    /// An upper bound for the size of [`Entry::json`], in bytes.
    pub fn json_size(&self) -> usize {
        self.item.value.len() + MEMBER.len() + MAX_DIGITS + 2
    }

    /// Appends the object with the given `metadata.resourceVersion`. A deleted object carries the revision of its
    /// deletion, not its own.
    pub fn write_json(&self, revision: Revision, out: &mut BytesMut) {
        write_spliced(&self.item.value, self.header.splice, revision, out);
    }

    /// Appends the object as an item of a list, which does not say again what all items have `said` at their beginning.
    pub fn write_item(&self, said: &[u8], out: &mut BytesMut) {
        let rest = self.item.value.strip_prefix(said).filter(|_| !said.is_empty());
        let offset = u32::try_from(said.len()).ok().and_then(|said| self.header.splice.offset.checked_sub(said));
        match (rest, offset) {
            (Some(rest), Some(offset)) => {
                out.put_u8(b'{');
                write_spliced(rest, Splice { offset, ..self.header.splice }, self.item.revision, out);
            }
            _ => self.write_json(self.item.revision, out),
        }
    }
}

const MEMBER: &[u8] = b"\"resourceVersion\":\"";

/// The number of digits of the greatest revision.
const MAX_DIGITS: usize = 20;

/// Appends stored bytes with the revision put in.
pub fn write_spliced(value: &[u8], splice: Splice, revision: Revision, out: &mut BytesMut) {
    let (before, after) = value.split_at((splice.offset as usize).min(value.len()));
    out.put_slice(before);
    out.put_slice(MEMBER);
    write_number(revision.0, out);
    match splice.separator {
        Separator::Comma => out.put_slice(b"\","),
        Separator::Nothing => out.put_slice(b"\""),
    }
    out.put_slice(after);
}

/// Appends a number in decimal, without the detour through `fmt`, which would show in large lists.
pub fn write_number(mut number: u64, out: &mut BytesMut) {
    let mut digits = [0_u8; MAX_DIGITS];
    let mut start = MAX_DIGITS;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[start..]);
}
