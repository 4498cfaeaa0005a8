//! What can go wrong in a store. Nothing here knows HTTP: the edge turns these into `Status` objects.

use std::{error::Error, path::PathBuf, sync::Arc};

use super::types::{Item, Key, Revision};

/// The underlying error, shared because one failed commit or connection fails many requests.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a store operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A create found a value.
    #[error("key {key} exists")]
    Exists {
        /// The key that has a value already.
        key: Key,
    },
    /// There is no value at the key.
    #[error("key {key} not found")]
    NotFound {
        /// The key without a value.
        key: Key,
    },
    /// The value is not of the expected revision.
    #[error("key {} was changed at revision {}, expected {expected}", current.key, current.revision)]
    Conflict {
        /// The revision that the writer had seen.
        expected: Revision,
        /// What the key holds now, so that a writer can retry without reading.
        current: Box<Item>,
    },
    /// The history does not reach back that far any more.
    #[error("revision {requested} has been compacted, the oldest is {oldest}")]
    Compacted {
        /// The revision that was asked for.
        requested: Revision,
        /// The oldest that can be asked for.
        oldest: Revision,
    },
    /// That revision has not happened yet.
    #[error("revision {requested} is in the future, the current one is {current}")]
    FutureRevision {
        /// The revision that was asked for.
        requested: Revision,
        /// The revision of the latest write.
        current: Revision,
    },
    /// The value exceeds what the store takes in one write.
    #[error("value of {size} bytes at {key} is too large, the limit is {limit}")]
    TooLarge {
        /// The key of the write.
        key: Key,
        /// The size of the value in bytes.
        size: usize,
        /// The greatest size in bytes.
        limit: usize,
    },
    /// The store takes no more. What is deleted and compacted makes room.
    #[error("database space exceeded: {cause}")]
    Full {
        /// How full it is.
        #[source]
        cause: Cause,
    },
    /// The store did not answer. A write certainly did not happen.
    #[error("{operation}: store unavailable: {cause}")]
    Unavailable {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The store did not answer after it was sent a write, which may or may not have happened.
    #[error("{operation}: outcome unknown: {cause}")]
    Undetermined {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// One value cannot be read; the store is well otherwise.
    #[error("{name} cannot be read: {cause}")]
    Unreadable {
        /// The key of the value, or what is known of it.
        name: Arc<str>,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// What the store holds cannot be read.
    #[error("{operation}: damaged data: {cause}")]
    Corrupt {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The store cannot be opened.
    #[error("cannot open store {}: {cause}", path.display())]
    Open {
        /// The file of the store.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Cause,
    },
}

impl StoreError {
    /// An operation that failed before anything was written.
    pub fn unavailable(operation: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { operation, cause: cause.into().into() }
    }

    /// A write for which there is no room.
    pub fn full(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Full { cause: cause.into().into() }
    }

    /// A write whose answer was lost.
    pub fn undetermined(operation: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Undetermined { operation, cause: cause.into().into() }
    }

    /// Data that does not have the shape in which it was written.
    pub fn corrupt(operation: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt { operation, cause: cause.into().into() }
    }

    /// A value that is not what was written.
    pub fn unreadable(name: impl Into<Arc<str>>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreadable { name: name.into(), cause: cause.into().into() }
    }

    /// Whether the store is at fault, rather than the request in disagreement with what is stored.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Undetermined { .. } | Self::Corrupt { .. } | Self::Open { .. })
    }
}
