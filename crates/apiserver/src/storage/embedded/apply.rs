//! What one command does to the tables. Nothing here commits.

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use super::schema::{
    DEADLINES, INDEX, Latest, META, META_COMPACTED, META_REVISION, META_SWEPT, RECORDS, Record, read_item, read_latest,
    read_meta, storage,
};
use crate::storage::{Event, Item, Key, Result, Revision, StoreError, Ttl};

/// How many keys may end, or records be swept, in one command: long enough to be worth a commit, short enough not to
/// hold up writers.
const SWEEP_CHUNK: usize = 1000;

/// What a writer wants.
#[derive(Debug)]
pub enum Command {
    /// Write where there is nothing.
    Create {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// For how long.
        ttl: Option<Ttl>,
    },
    /// Replace a version.
    Update {
        /// Where.
        key: Key,
        /// Which version.
        expected: Revision,
        /// By what.
        value: Bytes,
        /// For how long.
        ttl: Option<Ttl>,
    },
    /// Delete a version.
    Delete {
        /// Where.
        key: Key,
        /// Which version.
        expected: Revision,
    },
    /// Delete what has ended. Answers the revision of the last deletion, or the current one.
    Expire,
    /// Refuse reads of the history before this revision from now on.
    Compact(Revision),
    /// Remove some of what is compacted. Answers up to where everything is removed.
    Sweep,
    /// Nothing here: the writer makes its file anew.
    Defragment,
}

impl Command {
    /// How much room it needs, in bytes; none when it takes something away.
    pub fn adds(&self) -> u64 {
        match self {
            Self::Create { key, value, .. } | Self::Update { key, value, .. } => {
                (key.as_str().len() + value.len()) as u64
            }
            _ => 0,
        }
    }
}

/// The open tables of a write transaction, and what has happened in it.
pub struct Tables<'t> {
    records: Table<'t, u64, &'static [u8]>,
    index: Table<'t, &'static str, (u64, u64, u64)>,
    deadlines: Table<'t, (u64, &'static str), ()>,
    meta: Table<'t, &'static str, u64>,
    revision: u64,
    /// Milliseconds since 1970.
    now: u64,
    /// The changes so far.
    events: Vec<Event>,
    /// Whether there is something to commit.
    dirty: bool,
}

/// What a group of commands did.
pub struct Changes {
    /// The changes of keys, in order.
    pub events: Vec<Event>,
    /// The revision after them.
    pub revision: Revision,
    /// When the next key ends, in milliseconds since 1970.
    pub next_deadline: Option<u64>,
    /// Whether there is something to commit.
    pub dirty: bool,
}

impl<'t> Tables<'t> {
    /// The tables of a transaction that began at `now`, in milliseconds since 1970.
    pub fn open(transaction: &'t WriteTransaction, now: u64) -> Result<Self> {
        let open = |error| storage("open table", error);
        let meta = transaction.open_table(META).map_err(open)?;
        Ok(Self {
            records: transaction.open_table(RECORDS).map_err(open)?,
            index: transaction.open_table(INDEX).map_err(open)?,
            deadlines: transaction.open_table(DEADLINES).map_err(open)?,
            revision: read_meta(&meta, META_REVISION)?,
            meta,
            now,
            events: Vec::new(),
            dirty: false,
        })
    }

    /// Writes what is there already.
    pub fn touch(mut self) -> Result<()> {
        self.set_meta(META_REVISION, self.revision)
    }

    /// What happened, once nothing more will.
    pub fn finish(mut self) -> Result<Changes> {
        if !self.events.is_empty() {
            self.set_meta(META_REVISION, self.revision)?;
        }
        let next = self.deadlines.first().map_err(|error| storage("read deadlines", error))?;
        let next_deadline = next.map(|(deadline, _)| deadline.value().0);
        Ok(Changes { events: self.events, revision: Revision(self.revision), next_deadline, dirty: self.dirty })
    }

    /// Does what a command says.
    ///
    /// # Errors
    /// After a fault ([`StoreError::is_fault`]) the transaction has to be given up; other errors are answers.
    pub fn apply(&mut self, command: &Command) -> Result<Revision> {
        match command {
            Command::Create { key, value, ttl } => {
                let latest = read_latest(&self.index, key)?;
                if latest.is_some_and(Latest::is_live) {
                    return Err(StoreError::Exists { key: key.clone() });
                }
                self.put(key, value, *ttl, latest, None)
            }
            Command::Update { key, expected, value, ttl } => {
                let (latest, before) = self.expect(key, *expected)?;
                self.put(key, value, *ttl, Some(latest), Some(&before))
            }
            Command::Delete { key, expected } => {
                let (latest, before) = self.expect(key, *expected)?;
                self.remove(key, latest, Some(&before))
            }
            Command::Expire => self.expire(),
            Command::Compact(revision) => self.compact(*revision),
            Command::Sweep => self.sweep(),
            Command::Defragment => Ok(Revision(self.revision)),
        }
    }

    fn expect(&self, key: &Key, expected: Revision) -> Result<(Latest, Item)> {
        let latest = read_latest(&self.index, key)?.filter(|latest| latest.is_live());
        let Some(latest) = latest else { return Err(StoreError::NotFound { key: key.clone() }) };
        let item = read_item(&self.records, latest.revision)?
            .ok_or_else(|| StoreError::corrupt("write", format!("{key} has no record at {}", latest.revision)))?;
        if item.revision == expected {
            return Ok((latest, item));
        }
        Err(StoreError::Conflict { expected, current: Box::new(item) })
    }

    fn put(
        &mut self,
        key: &Key,
        value: &[u8],
        ttl: Option<Ttl>,
        latest: Option<Latest>,
        before: Option<&Item>,
    ) -> Result<Revision> {
        let revision = self.revision + 1;
        let created = before.map_or(revision, |item| item.created.0);
        let previous = latest.map_or(0, |latest| latest.revision);
        self.write(&Record { created, previous, key: key.as_str(), value }, before)?;
        let deadline = ttl.map_or(0, |ttl| self.now + u64::from(ttl.as_seconds()) * 1000);
        self.set_deadline(key, latest.map_or(0, |latest| latest.deadline), deadline)?;
        self.set_latest(key, Latest { revision, created, deadline })?;
        Ok(Revision(revision))
    }

    fn remove(&mut self, key: &Key, latest: Latest, before: Option<&Item>) -> Result<Revision> {
        self.write(&Record { created: 0, previous: latest.revision, key: key.as_str(), value: &[] }, before)?;
        self.set_deadline(key, latest.deadline, 0)?;
        self.set_latest(key, Latest { revision: self.revision, created: 0, deadline: 0 })?;
        Ok(Revision(self.revision))
    }

    fn write(&mut self, record: &Record<'_>, before: Option<&Item>) -> Result<()> {
        self.dirty = true;
        self.revision += 1;
        let stored = record.encode();
        self.records.insert(self.revision, &*stored).map_err(|error| storage("write record", error))?;
        self.events.push(record.event(self.revision, before));
        Ok(())
    }

    fn set_latest(&mut self, key: &Key, latest: Latest) -> Result<()> {
        let inserted = self.index.insert(key.as_str(), latest.encode());
        inserted.map(drop).map_err(|error| storage("write index", error))
    }

    fn set_deadline(&mut self, key: &Key, before: u64, after: u64) -> Result<()> {
        let failed = |error| storage("write deadline", error);
        if before != 0 {
            self.deadlines.remove((before, key.as_str())).map_err(failed)?;
        }
        if after != 0 {
            self.deadlines.insert((after, key.as_str()), ()).map_err(failed)?;
        }
        Ok(())
    }

    fn set_meta(&mut self, name: &str, value: u64) -> Result<()> {
        self.dirty = true;
        self.meta.insert(name, value).map(drop).map_err(|error| storage("write meta", error))
    }

    fn expire(&mut self) -> Result<Revision> {
        let mut due: Vec<(u64, Key)> = Vec::new();
        let failed = |error| storage("read deadlines", error);
        for stored in self.deadlines.range(..(self.now + 1, "")).map_err(failed)?.take(SWEEP_CHUNK) {
            let (stored, ()) = stored.map(|(key, value)| (key, value.value())).map_err(failed)?;
            let (deadline, key) = stored.value();
            due.push((deadline, key.into()));
        }
        for (deadline, key) in due {
            match read_latest(&self.index, &key)?.filter(|latest| latest.deadline == deadline) {
                Some(latest) => {
                    // What cannot be read ends all the same.
                    let item = match read_item(&self.records, latest.revision) {
                        Err(StoreError::Unreadable { .. }) => None,
                        item => item?,
                    };
                    self.remove(&key, latest, item.as_ref())?;
                }
                // It ends later, or has ended: there must be nothing left to do for ever.
                None => self.set_deadline(&key, deadline, 0)?,
            }
        }
        Ok(Revision(self.revision))
    }

    fn compact(&mut self, revision: Revision) -> Result<Revision> {
        let current = Revision(self.revision);
        if revision > current {
            return Err(StoreError::FutureRevision { requested: revision, current });
        }
        if revision.0 > read_meta(&self.meta, META_COMPACTED)? {
            self.set_meta(META_COMPACTED, revision.0)?;
        }
        Ok(revision)
    }

    /// Each compacted record makes the one before it unreachable, and is so itself when it is a deletion.
    fn sweep(&mut self) -> Result<Revision> {
        let (swept, compacted) = (read_meta(&self.meta, META_SWEPT)?, read_meta(&self.meta, META_COMPACTED)?);
        let mut gone = Vec::new();
        let mut up_to = compacted;
        let failed = |error| storage("sweep", error);
        for stored in self.records.range(swept + 1..=compacted).map_err(failed)? {
            let (revision, stored) = stored.map_err(failed)?;
            let (revision, stored) = (revision.value(), stored.value());
            let Ok(record) = Record::decode(revision, stored) else { continue };
            let deleted = (!record.is_live()).then(|| Key::from(record.key));
            gone.push((revision, record.previous, deleted));
            if gone.len() == SWEEP_CHUNK {
                up_to = revision;
                break;
            }
        }
        for (revision, previous, deleted) in gone {
            self.records.remove(previous).map_err(failed)?;
            let Some(key) = deleted else { continue };
            self.records.remove(revision).map_err(failed)?;
            if read_latest(&self.index, &key)?.is_some_and(|latest| latest.revision == revision) {
                self.index.remove(key.as_str()).map_err(failed)?;
            }
        }
        if up_to > swept {
            self.set_meta(META_SWEPT, up_to)?;
        }
        Ok(Revision(up_to))
    }
}
