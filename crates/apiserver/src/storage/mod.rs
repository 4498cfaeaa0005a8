//! Where objects live: a small trait with etcd's semantics, two stores behind it and the watch cache above them.
//!
//! Read in this order: the trait ([`Store`]) here and its vocabulary in [`types`] and [`error`], the two stores
//! ([`embedded`], [`etcd`]), what both use to feed watchers ([`feed`]), then the [`cache`] from which requests are served.

pub mod cache;
pub mod embedded;
pub mod encryption;
pub mod error;
pub mod etcd;
pub mod feed;
pub mod types;
pub mod unreadable;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use error::StoreError;
pub use types::{
    Event, EventKind, Item, Key, ListQuery, Page, Prefix, ProgressRequest, Revision, Ttl, Watch, WatchBatch,
};
pub use unreadable::Unreadable;

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A key-value store with one revision counter for everything, optimistic concurrency, and a history that can be
/// watched and listed back to the last compaction.
///
/// Values are opaque to the store: JSON without `metadata.resourceVersion`. Every operation is linearizable: it sees
/// all writes that were acknowledged, by any process, before it began. A write is acknowledged only when it is durable.
/// Every operation ends: when the store cannot answer, with [`StoreError::Unavailable`] (nothing was written) or
/// [`StoreError::Undetermined`] (the write may or may not have happened).
///
/// What cannot be read does not keep from the rest: lists and watches pass it over and tell [`Store::unreadable`].
pub trait Store: Send + Sync + 'static {
    /// The current value at `key`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>>;

    /// The values below a prefix in the order of their keys, all as of one revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] and [`StoreError::FutureRevision`] when the query names a revision that is gone or
    /// has not happened.
    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>>;

    /// Writes a value where there is none; answers the revision of the write. The key disappears by itself once `ttl`
    /// has passed.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the key has a value.
    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>>;

    /// Replaces the value that was written at revision `expected`; answers the revision of the write. The time to
    /// live starts anew, and ends when `ttl` is `None`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with the current value when it is not of that revision, [`StoreError::NotFound`] when
    /// there is none.
    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>>;

    /// Deletes the value that was written at revision `expected`; answers the revision of the deletion.
    ///
    /// # Errors
    /// As [`Store::update`].
    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>>;

    /// Every change below `prefix` with a revision greater than `after`, in the order of revisions, none left out. A
    /// lost connection is mended inside.
    ///
    /// # Errors
    /// [`StoreError::Compacted`], here or from the stream, when the history no longer reaches back to `after`. The
    /// stream ends after an error.
    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>>;

    /// The revision of the latest write.
    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>>;

    /// The same, when it can be told without asking anybody.
    fn revision_at_hand(&self) -> Option<Revision> {
        None
    }

    /// Whether the value at a key would be stored in another way if it were written now, although it is the same.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn needs_rewrite<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        let _ = key;
        Box::pin(async { Ok(false) })
    }

    /// How much room it takes, in bytes, when that can be told without asking anybody.
    fn size(&self) -> Option<u64> {
        None
    }

    /// Where whatever is passed over is named, here and by those who read from this store.
    fn unreadable(&self) -> &Unreadable;

    /// Forgets the history before `revision`: lists as of earlier revisions and watches from them are refused from
    /// then on. Compacting to an earlier revision than last time changes nothing.
    ///
    /// # Errors
    /// [`StoreError::FutureRevision`] when that revision has not happened.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>>;
}
