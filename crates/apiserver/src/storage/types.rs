//! The vocabulary of the stores.

use std::{
    borrow::Borrow,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use tokio::sync::Notify;

use super::Result;

/// A point in the history of the whole store. Every write gets the next one; `metadata.resourceVersion` is this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first write.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The revision before this one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one value, as upstream writes it: `/registry/pods/<namespace>/<name>`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A folder of keys: all that begin with this text, which ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// The folder of this name; a final `/` is added when missing, so that `/registry/pods` never means
    /// `/registry/podsecurity`.
    pub fn new(text: &str) -> Self {
        if text.ends_with('/') { Self(text.into()) } else { Self(format!("{text}/").into()) }
    }

    /// The text, with its final `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key lies in this folder or below.
    pub fn contains(&self, key: &Key) -> bool {
        key.as_str().starts_with(&*self.0)
    }

    /// The first text after every key in the folder: `/` is followed by `0` in ASCII.
    pub fn end(&self) -> String {
        let mut end = self.0[..self.0.len() - 1].to_owned();
        end.push('0');
        end
    }
}

/// How long a value lives after its last write, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(NonZeroU32);

impl Ttl {
    /// So many seconds, at least one.
    pub fn seconds(seconds: u32) -> Self {
        Self(NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN))
    }

    /// The number of seconds.
    pub const fn as_seconds(self) -> u32 {
        self.0.get()
    }
}

/// One value and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub key: Key,
    /// The JSON of the object, without `metadata.resourceVersion`.
    pub value: Bytes,
    /// The revision of its last write.
    pub revision: Revision,
    /// The revision of its creation; a key that was deleted and created again has a new one.
    pub created: Revision,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// The folder to list.
    pub prefix: Prefix,
    /// Only keys after this one.
    pub start_after: Option<Key>,
    /// At most so many; all when `None`.
    pub limit: Option<NonZeroUsize>,
    /// The state as of this revision; the current one when `None`.
    pub revision: Option<Revision>,
}

impl ListQuery {
    /// Everything in a folder as of now.
    pub fn all(prefix: Prefix) -> Self {
        Self { prefix, start_after: None, limit: None, revision: None }
    }
}

/// The answer to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The values, in the order of their keys.
    pub items: Vec<Item>,
    /// The revision as of which they were read.
    pub revision: Revision,
    /// How many follow the last one; zero when the list is complete.
    pub remaining: u64,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It had no value before.
    Created,
    /// Its value was replaced.
    Modified,
    /// Its value was deleted, or its time to live ended.
    Deleted,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which key changed.
    pub key: Key,
    /// The revision of the change.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
    /// When the value, or the one that was deleted, was created.
    pub created: Revision,
    /// The new value; `None` when deleted.
    pub value: Option<Bytes>,
    /// The value before, with its revision; `None` when created.
    pub previous: Option<Item>,
}

/// Changes that a watch saw together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// The changes in the order of their revisions; none when this only tells progress.
    pub events: Vec<Event>,
    /// No change at or below this revision is still to come.
    pub revision: Revision,
}

/// A running watch: a stream of batches. It ends after the first error; dropping it stops the watch.
pub struct Watch {
    /// Where the batches come from.
    batches: BoxStream<'static, Result<WatchBatch>>,
    /// Wakes the stream so that it tells how far it is.
    progress: ProgressRequest,
}

impl Watch {
    /// A watch that yields what the stream yields. The stream answers a progress request with a batch, empty if need
    /// be.
    pub fn new(stream: impl Stream<Item = Result<WatchBatch>> + Send + 'static, progress: ProgressRequest) -> Self {
        Self { batches: stream.boxed(), progress }
    }

    /// The next batch; `None` after an error. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<WatchBatch>> {
        self.batches.next().await
    }

    /// A handle with which to ask for progress while the watch is being read elsewhere.
    pub fn progress(&self) -> ProgressRequest {
        self.progress.clone()
    }
}

/// Asks a [`Watch`] to tell its revision. A watch is silent while nothing changes below its prefix, so whoever needs to
/// know that nothing is missing has to ask.
#[derive(Clone, Debug, Default)]
pub struct ProgressRequest(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    /// The greatest revision that somebody waits for.
    wanted: AtomicU64,
    /// Wakes the watch.
    wake: Notify,
}

impl ProgressRequest {
    /// Makes the watch yield a batch, empty if there is nothing else to tell, once it has seen everything up to this
    /// revision. Requests may be merged.
    pub fn send(&self, up_to: Revision) {
        self.0.wanted.fetch_max(up_to.0, Ordering::SeqCst);
        self.0.wake.notify_one();
    }

    /// The greatest revision that was asked for.
    pub fn wanted(&self) -> Revision {
        Revision(self.0.wanted.load(Ordering::SeqCst))
    }

    /// Makes the watch look whether there is something to tell; for those who implement watches.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Waits to be woken; for those who implement watches. Cancel safe.
    pub async fn woken(&self) {
        self.0.wake.notified().await;
    }
}
