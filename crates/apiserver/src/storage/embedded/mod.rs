//! The store in a file, for clusters without etcd: redb, one writer thread with group commit, the history of the last
//! minutes in the same file.

mod apply;
pub mod maintenance;
pub mod offline;
mod read;
mod room;
mod schema;
pub mod snapshot;
mod upkeep;
mod writer;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use redb::{Database, DatabaseError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Item, Key, ListQuery, Page, Prefix, Result, Revision, Store, StoreError, Ttl, Unreadable, Watch, error::Cause,
    feed::Feed,
};
use apply::Command;
use maintenance::Maintenance;
use read::{Reads, blocking};
use room::Room;
use schema::{DEADLINES, FIRST_REVISION, FORMAT, INDEX, META, META_FORMAT, META_REVISION, RECORDS, read_meta, storage};
use writer::{QUEUE, Request, Writer};

/// The greatest value, in bytes: etcd's default, so that what fits into one store fits into the other.
pub const MAX_VALUE: usize = 3 << 19;

/// How large the store may become, in bytes: etcd's default.
pub const DEFAULT_QUOTA: u64 = 2 << 30;

/// How to open the store.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The file; made, with its folder, when it is not there.
    pub path: PathBuf,
    /// How long the history reaches back at least; zero when nothing is forgotten.
    pub history: Duration,
    /// When so many bytes of the file are in use, nothing more is written into it.
    pub quota: u64,
    /// How much of the file is kept in memory, in bytes.
    pub page_cache: usize,
}

impl EmbeddedOptions {
    /// A file with upstream's compaction interval of five minutes. Its page cache is small: reads come from the watch
    /// cache, and the operating system caches the file as well.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), history: Duration::from_secs(300), quota: DEFAULT_QUOTA, page_cache: 4 << 20 }
    }
}

/// The store in a file.
pub struct EmbeddedStore {
    reads: Arc<Reads>,
    feed: Arc<Feed>,
    path: PathBuf,
    requests: mpsc::Sender<Request>,
    /// The writer and what stops it when dropped; `None` only while the store is being dropped.
    writer: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Expiry and compaction.
    _upkeep: [AbortOnDropHandle<()>; 2],
}

impl EmbeddedStore {
    /// Opens the store, which must be on a tokio runtime. No other process can have it open at the same time.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the file cannot be used: it is open elsewhere, damaged, or of another format.
    pub fn open(options: &EmbeddedOptions) -> Result<Self> {
        let failed = |cause| StoreError::Open { path: options.path.clone(), cause };
        let reads = Arc::new(Reads::new(open_database(options).map_err(failed)?));
        let revision = reads.current_revision()?;
        let feed = Arc::new(Feed::default());
        feed.restart(revision);
        let (requests, queue) = mpsc::channel(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let next_deadline = watch::Sender::new(Some(0));
        let deadlines = next_deadline.subscribe();
        let writer = Writer {
            reads: reads.clone(),
            feed: feed.clone(),
            next_deadline,
            options: options.clone(),
            opened: Instant::now(),
            room: Room::new(options.path.clone(), options.quota),
        };
        let writer = thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(queue, stopped));
        let writer = writer.map_err(|error| failed(Arc::new(error)))?;
        let expire = tokio::spawn(upkeep::expire(requests.clone(), deadlines));
        let position = feed.clone();
        let revision = move || position.revision().unwrap_or_default();
        let compact = tokio::spawn(upkeep::compact(requests.clone(), options.history, revision));
        let upkeep = [expire, compact].map(AbortOnDropHandle::new);
        let path = options.path.clone();
        Ok(Self { reads, feed, path, requests, writer: Some((stop, writer)), _upkeep: upkeep })
    }

    /// The store as operators see it.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance { reads: self.reads.clone(), requests: self.requests.clone(), path: self.path.clone() }
    }

    async fn write(&self, command: Command) -> Result<Revision> {
        upkeep::ask(&self.requests, command).await
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the commit that is under way, so that the file is free afterwards.
    fn drop(&mut self) {
        let Some((stop, writer)) = self.writer.take() else { return };
        drop(stop);
        if writer.join().is_err() {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        // One value is mostly in memory: a read here is cheaper than a change of threads.
        async move { self.reads.get(key) }.boxed()
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        let (reads, query) = (self.reads.clone(), query.clone());
        blocking("list", move || reads.list(&query)).boxed()
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>> {
        async move {
            check_size(key, &value)?;
            self.write(Command::Create { key: key.clone(), value, ttl }).await
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        async move {
            check_size(key, &value)?;
            self.write(Command::Update { key: key.clone(), expected, value, ttl }).await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        self.write(Command::Delete { key: key.clone(), expected }).boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        async move {
            self.reads.check_watch(after)?;
            Ok(self.feed.watch(self.reads.clone(), prefix.clone(), after))
        }
        .boxed()
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move { self.feed.revision().ok_or_else(|| StoreError::unavailable("read revision", "not open")) }.boxed()
    }

    fn revision_at_hand(&self) -> Option<Revision> {
        self.feed.revision()
    }

    fn size(&self) -> Option<u64> {
        fs::metadata(&self.path).ok().map(|file| file.len())
    }

    fn unreadable(&self) -> &Unreadable {
        self.reads.unreadable()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        upkeep::compact_to(&self.requests, revision).boxed()
    }
}

fn check_size(key: &Key, value: &Bytes) -> Result<()> {
    if value.len() > MAX_VALUE {
        return Err(StoreError::TooLarge { key: key.clone(), size: value.len(), limit: MAX_VALUE });
    }
    Ok(())
}

fn open_database(options: &EmbeddedOptions) -> Result<Database, Cause> {
    make_file(&options.path).map_err(|error| -> Cause { Arc::new(error) })?;
    let mut builder = Database::builder();
    builder.set_cache_size(options.page_cache);
    // The database checks its file while opening, and on some damage panics instead of answering.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create(&options.path)));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => return Err(refused("it is in use by another process")),
        Ok(Err(error)) => return Err(Arc::new(error)),
        Err(_) => return Err(refused("the file is damaged")),
    };
    prepare(&database).map_err(|error| -> Cause { Arc::new(error) })?;
    Ok(database)
}

fn refused(reason: impl Into<String>) -> Cause {
    Arc::new(io::Error::other(reason.into()))
}

/// Makes the file, readable only to its owner since secrets are in it, and makes sure that it is still there after a
/// power failure.
fn make_file(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if !path.exists() {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Makes the tables of a new file; checks the format of an old one.
fn prepare(database: &Database) -> Result<()> {
    let transaction = database.begin_write().map_err(|error| storage("open", error))?;
    let open = |error| storage("open table", error);
    {
        transaction.open_table(RECORDS).map_err(open)?;
        transaction.open_table(INDEX).map_err(open)?;
        transaction.open_table(DEADLINES).map_err(open)?;
        let mut meta = transaction.open_table(META).map_err(open)?;
        match read_meta(&meta, META_FORMAT)? {
            FORMAT => return Ok(()),
            0 => {}
            other => return Err(StoreError::corrupt("open", format!("format {other} is not known, only {FORMAT} is"))),
        }
        meta.insert(META_FORMAT, FORMAT).map_err(|error| storage("write meta", error))?;
        meta.insert(META_REVISION, FIRST_REVISION).map_err(|error| storage("write meta", error))?;
    }
    transaction.commit().map_err(|error| storage("open", error))
}
