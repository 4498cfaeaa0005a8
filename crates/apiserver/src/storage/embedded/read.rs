//! Reads of the embedded store. Each sees one committed state.

use std::{num::NonZeroUsize, ops::Bound, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use parking_lot::RwLock;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::schema::{
    INDEX, Latest, META, META_COMPACTED, META_REVISION, RECORDS, Record, read_item, read_latest, read_meta, storage,
};
use crate::storage::{
    Item, Key, ListQuery, Page, Prefix, Result, Revision, StoreError, Unreadable, WatchBatch, feed::Backfill,
};

/// How much of the history is read at a time: records, and bytes of their values.
const HISTORY_CHUNK: (usize, usize) = (512, 1 << 20);

/// How many records are looked through at a time for those that matter.
const HISTORY_LOOK: usize = 16_384;

/// The readers' side of the database.
pub struct Reads {
    /// `None` while a database that failed cannot be opened again.
    database: RwLock<Option<Database>>,
    unreadable: Unreadable,
}

/// One committed state.
struct Snapshot {
    index: ReadOnlyTable<&'static str, (u64, u64, u64)>,
    records: ReadOnlyTable<u64, &'static [u8]>,
    revision: u64,
    compacted: u64,
}

impl Snapshot {
    fn of(transaction: &ReadTransaction) -> Result<Self> {
        let open = |error| storage("open table", error);
        let meta = transaction.open_table(META).map_err(open)?;
        Ok(Self {
            index: transaction.open_table(INDEX).map_err(open)?,
            records: transaction.open_table(RECORDS).map_err(open)?,
            revision: read_meta(&meta, META_REVISION)?,
            compacted: read_meta(&meta, META_COMPACTED)?,
        })
    }

    fn check(&self, requested: u64) -> Result<()> {
        let (requested, current) = (Revision(requested), Revision(self.revision));
        let oldest = Revision(self.compacted);
        if requested > current {
            return Err(StoreError::FutureRevision { requested, current });
        }
        if requested < oldest {
            return Err(StoreError::Compacted { requested, oldest });
        }
        Ok(())
    }

    /// The version of a key that was current at a revision: back along the chain from the newest.
    fn version_at(&self, latest: Latest, revision: u64) -> Result<Option<u64>> {
        let mut version = latest.revision;
        if version <= revision {
            return Ok(latest.is_live().then_some(version));
        }
        while version > revision {
            version = match self.records.get(version).map_err(|error| storage("read record", error))? {
                Some(stored) => Record::decode(version, stored.value())?.previous,
                None => 0,
            };
        }
        Ok((version != 0).then_some(version))
    }
}

impl Reads {
    /// Reads of this database.
    pub fn new(database: Database) -> Self {
        Self { database: RwLock::new(Some(database)), unreadable: Unreadable::default() }
    }

    /// Where what is passed over is named.
    pub fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// What was read; nothing when it has to be passed over.
    fn readable<T>(&self, name: &str, revision: u64, read: Result<Option<T>>) -> Result<Option<T>> {
        match read {
            Err(error @ StoreError::Unreadable { .. }) => {
                self.unreadable.pass_over(name, Revision(revision), &error);
                Ok(None)
            }
            read => read,
        }
    }

    /// One committed state, as long as it is held.
    pub fn begin_read(&self) -> Result<ReadTransaction> {
        match &*self.database.read() {
            Some(database) => database.begin_read().map_err(|error| storage("begin read", error)),
            None => Err(closed()),
        }
    }

    /// A transaction for the writer; `None` when the database has failed, and refuses everything until it is opened
    /// again.
    pub fn begin_write(&self) -> Result<Option<WriteTransaction>> {
        let database = self.database.read();
        let Some(database) = &*database else { return Ok(None) };
        match database.begin_write().map_err(redb::Error::from) {
            Ok(transaction) => Ok(Some(transaction)),
            Err(redb::Error::PreviousIo) => Ok(None),
            Err(error) => Err(storage("begin write", error)),
        }
    }

    /// Closes the database and opens it again. Whoever is reading goes on with what was. When it cannot be opened, it is
    /// tried again with the next write.
    pub fn reopen(&self, open: impl FnOnce() -> Result<Database>) -> Result<()> {
        let mut database = self.database.write();
        *database = None;
        *database = Some(open()?);
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::of(&self.begin_read()?)
    }

    /// The revision of the latest write.
    pub fn current_revision(&self) -> Result<Revision> {
        self.snapshot().map(|snapshot| Revision(snapshot.revision))
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Result<Item> {
        let transaction = self.begin_read()?;
        let index = transaction.open_table(INDEX).map_err(|error| storage("open table", error))?;
        let latest = read_latest(&index, key)?.filter(|latest| latest.is_live());
        let Some(latest) = latest else { return Err(StoreError::NotFound { key: key.clone() }) };
        let records = transaction.open_table(RECORDS).map_err(|error| storage("open table", error))?;
        read_item(&records, latest.revision)?
            .ok_or_else(|| StoreError::corrupt("get", format!("{key} has no record at {}", latest.revision)))
    }

    /// A part of a folder as of one revision.
    pub fn list(&self, query: &ListQuery) -> Result<Page> {
        let snapshot = self.snapshot()?;
        let revision = query.revision.map_or(snapshot.revision, |revision| revision.0);
        snapshot.check(revision)?;
        let limit = query.limit.map_or(usize::MAX, NonZeroUsize::get);
        let end = query.prefix.end();
        let start = match &query.start_after {
            Some(key) if key.as_str() >= query.prefix.as_str() => Bound::Excluded(key.as_str()),
            _ => Bound::Included(query.prefix.as_str()),
        };
        let mut page = Page { items: Vec::new(), revision: Revision(revision), remaining: 0 };
        if matches!(start, Bound::Excluded(key) if key >= end.as_str()) {
            return Ok(page);
        }
        let range = snapshot.index.range::<&str>((start, Bound::Excluded(end.as_str())));
        for stored in range.map_err(|error| storage("list", error))? {
            let (key, latest) = stored.map_err(|error| storage("list", error))?;
            let (key, latest) = (key.value(), Latest::decode(latest.value()));
            let version = self.readable(key, latest.revision, snapshot.version_at(latest, revision))?;
            let Some(version) = version else { continue };
            if page.items.len() < limit {
                page.items.extend(self.readable(key, version, read_item(&snapshot.records, version))?);
            } else if version == latest.revision
                || self.readable(key, version, read_item(&snapshot.records, version))?.is_some()
            {
                page.remaining += 1;
            }
        }
        Ok(page)
    }

    /// Whether a watch can begin after this revision.
    pub fn check_watch(&self, after: Revision) -> Result<()> {
        let snapshot = self.snapshot()?;
        if after.0 >= snapshot.compacted { Ok(()) } else { snapshot.check(after.0) }
    }

    /// The next changes below a prefix after a revision, up to another.
    fn changes(&self, prefix: &Prefix, after: Revision, up_to: Revision) -> Result<WatchBatch> {
        let snapshot = self.snapshot()?;
        if after.0 < snapshot.compacted {
            snapshot.check(after.0)?;
        }
        let mut batch = WatchBatch { events: Vec::new(), revision: up_to };
        let mut bytes = 0;
        let range = snapshot.records.range(after.0 + 1..=up_to.0).map_err(|error| storage("read history", error))?;
        for (count, stored) in range.enumerate() {
            let (revision, stored) = stored.map_err(|error| storage("read history", error))?;
            let (revision, stored) = (revision.value(), stored.value());
            if count == HISTORY_LOOK {
                batch.revision = Revision(revision).previous();
                break;
            }
            let name = format!("record {revision}");
            let record = self.readable(&name, revision, Record::decode(revision, stored).map(Some))?;
            let Some(record) = record.filter(|record| record.key.starts_with(prefix.as_str())) else { continue };
            let before = self.readable(record.key, record.previous, read_item(&snapshot.records, record.previous))?;
            batch.events.push(record.event(revision, before.as_ref()));
            bytes += record.value.len();
            if batch.events.len() >= HISTORY_CHUNK.0 || bytes >= HISTORY_CHUNK.1 {
                batch.revision = Revision(revision);
                break;
            }
        }
        Ok(batch)
    }
}

impl Backfill for Reads {
    fn history(
        self: Arc<Self>,
        prefix: Prefix,
        after: Revision,
        up_to: Revision,
    ) -> BoxStream<'static, Result<WatchBatch>> {
        let chunks = stream::unfold(Some(after), move |position| {
            let (reads, prefix) = (self.clone(), prefix.clone());
            async move {
                let position = position.filter(|position| *position < up_to)?;
                let read = move || reads.changes(&prefix, position, up_to);
                let batch = blocking("read history", read).await;
                let next = batch.as_ref().ok().map(|batch| batch.revision);
                Some((batch, next))
            }
        });
        chunks.boxed()
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("begin", "the database could not be opened again")
}

/// Runs a read that may take long where it holds up nobody.
pub async fn blocking<T: Send + 'static>(
    operation: &'static str,
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::corrupt(operation, error)),
    }
}
