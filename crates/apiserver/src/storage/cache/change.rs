//! One change as watchers see it, and its frame on the wire, which is encoded once however many watchers there are.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    entry::{Entry, write_number},
    select::Selector,
};
use crate::storage::{EventKind, Revision};

/// What a watcher is told about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The object appeared in what is watched.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone from what is watched.
    Deleted,
}

impl ChangeKind {
    /// The `type` of the watch event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A change of one key, as the cache remembers it.
#[derive(Debug)]
pub(super) struct Recorded {
    /// The revision of the change.
    pub revision: Revision,
    /// The object after the change.
    pub current: Option<Arc<Entry>>,
    /// The object before the change.
    pub previous: Option<Arc<Entry>>,
}

impl Recorded {
    pub fn kind(&self) -> EventKind {
        match (&self.current, &self.previous) {
            (None, _) => EventKind::Deleted,
            (Some(_), None) => EventKind::Created,
            (Some(_), Some(_)) => EventKind::Modified,
        }
    }

    /// The size of what was replaced, which nothing but this keeps alive.
    pub fn replaced(&self) -> usize {
        self.previous.as_ref().map_or(0, |entry| entry.value().len())
    }

    pub fn entry(&self) -> Option<&Arc<Entry>> {
        self.current.as_ref().or(self.previous.as_ref())
    }

    /// What a watcher with this selector is told: an object that leaves what is selected is gone, in its last state
    /// inside; one that enters is new.
    pub fn seen_by(&self, selector: Option<&Selector>) -> Option<(ChangeKind, &Arc<Entry>)> {
        let selected = |entry: &&Arc<Entry>| selector.is_none_or(|selector| selector.matches(entry));
        let previous = self.previous.as_ref().filter(selected);
        match (self.current.as_ref().filter(selected), previous) {
            (Some(current), Some(_)) => Some((ChangeKind::Modified, current)),
            (Some(current), None) => Some((ChangeKind::Added, current)),
            (None, Some(previous)) => Some((ChangeKind::Deleted, previous)),
            (None, None) => None,
        }
    }
}

/// The encoded forms of one recorded change, each made when the first watcher needs it: as JSON, and in the other
/// encoding that there is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    added: [OnceLock<Bytes>; 2],
    modified: [OnceLock<Bytes>; 2],
    deleted: [OnceLock<Bytes>; 2],
}

const JSON: usize = 0;
const OTHER: usize = 1;

impl Frames {
    fn of(&self, kind: ChangeKind) -> &[OnceLock<Bytes>; 2] {
        match kind {
            ChangeKind::Added => &self.added,
            ChangeKind::Modified => &self.modified,
            ChangeKind::Deleted => &self.deleted,
        }
    }
}

/// One change for one watcher.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened, from where the watcher stands.
    pub kind: ChangeKind,
    /// The object: its new state, or its last one when it is gone.
    pub entry: Arc<Entry>,
    /// The `metadata.resourceVersion` that the object is shown with.
    pub revision: Revision,
    /// The frames that all watchers share; `None` when nobody else will ask for this one.
    pub(super) frames: Option<Arc<Frames>>,
}

impl Change {
    /// The watch event on the wire: a line of JSON. Shared by all watchers that are told the same.
    pub fn frame(&self) -> Bytes {
        match &self.frames {
            Some(frames) => frames.of(self.kind)[JSON].get_or_init(|| self.encode()).clone(),
            None => self.encode(),
        }
    }

    /// The watch event in the other encoding, which `translate` makes of a line of JSON. Shared as [`Self::frame`] is.
    ///
    /// # Errors
    /// That of `translate`.
    pub fn translated<E>(&self, translate: impl FnOnce(&[u8]) -> Result<Bytes, E>) -> Result<Bytes, E> {
        let Some(frames) = &self.frames else { return translate(&self.encode()) };
        let frames = frames.of(self.kind);
        if let Some(translated) = frames[OTHER].get() {
            return Ok(translated.clone());
        }
        let json = frames[JSON].get().cloned().unwrap_or_else(|| self.encode());
        let translated = translate(&json)?;
        Ok(frames[OTHER].get_or_init(|| translated).clone())
    }

    /// The watch event with the object in another form: a line of JSON.
    pub fn line(&self, object: &[u8]) -> Bytes {
        self.around(object.len(), |out| out.put_slice(object))
    }

    fn encode(&self) -> Bytes {
        self.around(self.entry.json_size(), |out| self.entry.write_json(self.revision, out))
    }

    /// The line around an object of at most this size.
    fn around(&self, size: usize, object: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::with_capacity(size + 40);
        out.put_slice(b"{\"type\":\"");
        out.put_slice(self.kind.as_str().as_bytes());
        out.put_slice(b"\",\"object\":");
        object(&mut out);
        out.put_slice(b"}\n");
        out.freeze()
    }
}

/// Tells a watcher how far it has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Everything up to this revision has been sent.
    pub revision: Revision,
    /// What the bookmark marks.
    pub mark: Mark,
}

/// What a bookmark marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Only progress.
    Progress,
    /// The initial state has been sent completely (annotation `k8s.io/initial-events-end`).
    InitialEventsEnd,
}

impl Bookmark {
    /// The watch event on the wire, with an otherwise empty object of this type.
    pub fn frame(&self, api_version: &str, kind: &str) -> Bytes {
        let mut out = BytesMut::with_capacity(192);
        out.put_slice(b"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"");
        out.put_slice(kind.as_bytes());
        out.put_slice(b"\",\"apiVersion\":\"");
        out.put_slice(api_version.as_bytes());
        out.put_slice(b"\",\"metadata\":{\"resourceVersion\":\"");
        write_number(self.revision.0, &mut out);
        out.put_slice(b"\"");
        if self.mark == Mark::InitialEventsEnd {
            out.put_slice(b",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
        }
        out.put_slice(b"}}}\n");
        out.freeze()
    }
}
