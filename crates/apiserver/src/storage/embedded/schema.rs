//! How the store lies on disk.
//!
//! Values are kept by revision, appended at the right edge of one B-tree, each with the revision that it replaced: the
//! versions of a key form a chain from the newest back to the last compaction. So a write stores its value once, a
//! watch from an old revision is a range, and a list as of an old revision follows the chains.

use bytes::Bytes;
use redb::{ReadableTable, TableDefinition};

use crate::storage::{Event, EventKind, Item, Key, Revision, StoreError};

/// Every version of every key: revision → [`Record`].
pub const RECORDS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("records");

/// The newest version of every key, deleted ones included until they are compacted: key → [`Latest`].
pub const INDEX: TableDefinition<'static, &'static str, (u64, u64, u64)> = TableDefinition::new("index");

/// When keys end: (milliseconds since 1970, key).
pub const DEADLINES: TableDefinition<'static, (u64, &'static str), ()> = TableDefinition::new("deadlines");

/// Numbers about the whole store.
pub const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// The version of this schema.
pub const FORMAT: u64 = 1;

/// In [`META`]: the version of the schema that the file has.
pub const META_FORMAT: &str = "format";
/// In [`META`]: the revision of the latest write.
pub const META_REVISION: &str = "revision";
/// In [`META`]: the history before this revision may be gone.
pub const META_COMPACTED: &str = "compacted";
/// In [`META`]: up to here compacted records have been removed.
pub const META_SWEPT: &str = "swept";

/// The revision of an empty store, as etcd's: a first write is never revision 0 or 1, which mean something to clients.
pub const FIRST_REVISION: u64 = 1;

/// The newest version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its revision.
    pub revision: u64,
    /// The revision of its creation; 0 when it is deleted.
    pub created: u64,
    /// When it ends, in milliseconds since 1970; 0 when it does not.
    pub deadline: u64,
}

impl Latest {
    /// Whether the key has a value.
    pub fn is_live(self) -> bool {
        self.created != 0
    }

    /// As it is stored.
    pub fn encode(self) -> (u64, u64, u64) {
        (self.revision, self.created, self.deadline)
    }

    /// From what is stored.
    pub fn decode((revision, created, deadline): (u64, u64, u64)) -> Self {
        Self { revision, created, deadline }
    }
}

/// One version of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The revision of the key's creation; 0 when this is its deletion.
    pub created: u64,
    /// The revision of the version that this one replaced; 0 when there was none.
    pub previous: u64,
    /// The key.
    pub key: &'a str,
    /// The value; empty for a deletion.
    pub value: &'a [u8],
}

impl<'a> Record<'a> {
    /// As it is stored: three little-endian numbers, the key, the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + self.key.len() + self.value.len());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(self.value);
        out
    }

    /// From what is stored.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it was not made by [`Record::encode`].
    pub fn decode(revision: u64, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::unreadable(format!("record {revision}"), "it does not have the shape of a record");
        Self::parse(bytes).ok_or_else(damaged)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (created, bytes) = bytes.split_first_chunk()?;
        let (previous, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let (key, value) = bytes.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Self {
            created: u64::from_le_bytes(*created),
            previous: u64::from_le_bytes(*previous),
            key: std::str::from_utf8(key).ok()?,
            value,
        })
    }

    /// Whether this is a value and not a deletion.
    pub fn is_live(&self) -> bool {
        self.created != 0
    }

    /// The value at its revision.
    pub fn item(&self, revision: u64) -> Item {
        Item {
            key: self.key.into(),
            value: Bytes::copy_from_slice(self.value),
            revision: Revision(revision),
            created: Revision(self.created),
        }
    }

    /// The change that this version was, given the version before.
    pub fn event(&self, revision: u64, before: Option<&Item>) -> Event {
        let kind = match (self.is_live(), before) {
            (false, _) => EventKind::Deleted,
            (true, None) => EventKind::Created,
            (true, Some(_)) => EventKind::Modified,
        };
        Event {
            key: before.map_or_else(|| self.key.into(), |item| item.key.clone()),
            revision: Revision(revision),
            kind,
            created: before.map_or(Revision(self.created), |item| item.created),
            value: self.is_live().then(|| Bytes::copy_from_slice(self.value)),
            previous: before.cloned(),
        }
    }
}

/// The value that was written at a revision; `None` when there is no such record, or it is a deletion.
///
/// # Errors
/// When the file cannot be read; [`StoreError::Unreadable`] when only this record cannot.
pub fn read_item(records: &impl ReadableTable<u64, &'static [u8]>, revision: u64) -> Result<Option<Item>, StoreError> {
    let Some(stored) = records.get(revision).map_err(|error| storage("read record", error))? else { return Ok(None) };
    let record = Record::decode(revision, stored.value())?;
    Ok(record.is_live().then(|| record.item(revision)))
}

/// The newest version of a key.
///
/// # Errors
/// When the file cannot be read.
pub fn read_latest(
    index: &impl ReadableTable<&'static str, (u64, u64, u64)>,
    key: &Key,
) -> Result<Option<Latest>, StoreError> {
    let stored = index.get(key.as_str()).map_err(|error| storage("read index", error))?;
    Ok(stored.map(|stored| Latest::decode(stored.value())))
}

/// A number about the store.
///
/// # Errors
/// When the file cannot be read.
pub fn read_meta(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, StoreError> {
    let stored = meta.get(name).map_err(|error| storage("read meta", error))?;
    Ok(stored.map_or(0, |stored| stored.value()))
}

/// What an error of the database means when nothing was being committed.
pub fn storage(operation: &'static str, error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        error @ redb::Error::Corrupted(_) => StoreError::corrupt(operation, error),
        error => StoreError::unavailable(operation, error),
    }
}
