//! The one thread that writes. It takes what has queued up, does all of it in one transaction with one fsync, tells the
//! watchers, and only then answers.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::{
    executor::block_on,
    future::{Either, select},
};
use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    EmbeddedOptions,
    apply::{Changes, Command, Tables},
    open_database,
    read::Reads,
    room::Room,
    schema::storage,
    snapshot,
};
use crate::storage::{Result, Revision, StoreError, feed::Feed};

/// How many writes may wait; further writers wait for a place.
pub const QUEUE: usize = 1024;

/// The most commands in one commit: more would only delay the first of them.
const GROUP: usize = 256;

/// So long after a failure the database is not opened again: what made it fail, a full disk mostly, takes its time.
const REST: Duration = Duration::from_secs(1);

/// A command and who waits for its outcome.
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<Result<Revision>>,
}

/// What the thread works with.
pub struct Writer {
    /// The database.
    pub reads: Arc<Reads>,
    /// Where changes are told.
    pub feed: Arc<Feed>,
    /// When the next key ends, in milliseconds since 1970.
    pub next_deadline: watch::Sender<Option<u64>>,
    /// How the file is opened.
    pub options: EmbeddedOptions,
    /// When the database was opened anew, or should have been.
    pub opened: Instant,
    /// Whether there is room for more.
    pub room: Room,
}

impl Writer {
    /// Works until the other end of `stop` is dropped. What is still queued then is not done.
    pub fn run(mut self, mut requests: mpsc::Receiver<Request>, mut stop: oneshot::Receiver<()>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let stopped = matches!(
                block_on(select(pin!(requests.recv_many(&mut group, GROUP)), &mut stop)),
                Either::Left((0, _)) | Either::Right(_)
            );
            if stopped {
                return;
            }
            self.commit(&mut group);
        }
    }

    fn commit(&mut self, group: &mut Vec<Request>) {
        let defragment = group.extract_if(.., |request| matches!(request.command, Command::Defragment));
        let defragment: Vec<_> = defragment.collect();
        if !group.is_empty() {
            self.commit_writes(group);
        }
        for request in defragment {
            let outcome = self.defragment();
            if let Err(error) = &outcome {
                tracing::error!(%error, "store cannot be defragmented");
            }
            // As below.
            let _ = request.reply.send(outcome);
        }
    }

    fn commit_writes(&mut self, group: &mut Vec<Request>) {
        match self.try_commit(group) {
            Ok((outcomes, changes)) => {
                if !changes.events.is_empty() {
                    self.feed.publish(changes.events, changes.revision);
                }
                let deadline = changes.next_deadline;
                self.next_deadline.send_if_modified(|next| std::mem::replace(next, deadline) != deadline);
                for (request, outcome) in group.drain(..).zip(outcomes) {
                    // The one who asked may have gone away; what is written stays written.
                    let _ = request.reply.send(outcome);
                }
            }
            Err(error) => {
                tracing::error!(%error, "store cannot write");
                for request in group.drain(..) {
                    let _ = request.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// The outcomes of all commands, once they are durable.
    fn try_commit(&mut self, group: &[Request]) -> Result<(Vec<Result<Revision>>, Changes)> {
        let more = group.iter().map(|request| request.command.adds()).sum();
        if more > 0 && self.room.wants_settling() {
            self.settle()?;
        }
        let transaction = self.begin()?;
        let full = if more > 0 { self.room.check(&transaction, more)? } else { None };
        let (outcomes, changes) = apply_all(&transaction, group, full.as_ref())?;
        if group.iter().any(|request| matches!(request.command, Command::Sweep)) {
            self.room.changed();
        }
        if changes.dirty {
            transaction.commit().map_err(|error| StoreError::undetermined("commit", error))?;
        } else {
            transaction.abort().map_err(|error| storage("abort", error))?;
        }
        Ok((outcomes, changes))
    }
}

impl Writer {
    /// Commits nothing: what the commit before gave back is free afterwards, so that it can be counted.
    fn settle(&mut self) -> Result<()> {
        let transaction = self.begin()?;
        Tables::open(&transaction, now())?.touch()?;
        transaction.commit().map_err(|error| StoreError::undetermined("commit", error))
    }

    /// Copies everything into a new file, which takes the place of the old one in one step. Nobody writes meanwhile;
    /// whoever reads goes on with what was. When that fails, or the process is killed, there is either the old file or
    /// the new one, whole.
    fn defragment(&mut self) -> Result<Revision> {
        let failed = |error: anyhow::Error| StoreError::unavailable("defragment", format!("{error:#}"));
        let begun = Instant::now();
        snapshot::remake(&self.reads.begin_read()?, &self.options).map_err(failed)?;
        self.opened = Instant::now();
        self.reads.reopen(|| open_database(&self.options).map_err(|cause| StoreError::unavailable("open", cause)))?;
        self.room.changed();
        tracing::info!(took = ?begun.elapsed(), "the store's file was made anew");
        self.reads.current_revision()
    }

    /// A transaction. A database that could not read or write its file refuses everything from then on, so it is opened
    /// anew, as a restart would do: what was not acknowledged may have happened or not.
    fn begin(&mut self) -> Result<WriteTransaction> {
        if let Some(transaction) = self.reads.begin_write()? {
            return Ok(transaction);
        }
        let failed = || StoreError::unavailable("begin write", "the store's file could not be written");
        if self.opened.elapsed() < REST {
            return Err(failed());
        }
        self.opened = Instant::now();
        tracing::warn!(path = %self.options.path.display(), "the store failed and is opened again");
        self.reads.reopen(|| open_database(&self.options).map_err(|cause| StoreError::unavailable("open", cause)))?;
        self.feed.restart(self.reads.current_revision()?);
        self.reads.begin_write()?.ok_or_else(failed)
    }
}

fn apply_all(
    transaction: &WriteTransaction,
    group: &[Request],
    full: Option<&StoreError>,
) -> Result<(Vec<Result<Revision>>, Changes)> {
    let mut tables = Tables::open(transaction, now())?;
    let mut outcomes = Vec::with_capacity(group.len());
    for request in group {
        if let Some(full) = full.filter(|_| request.command.adds() > 0) {
            outcomes.push(Err(full.clone()));
            continue;
        }
        match tables.apply(&request.command) {
            Err(error) if error.is_fault() => return Err(error),
            outcome => outcomes.push(outcome),
        }
    }
    Ok((outcomes, tables.finish()?))
}

/// Milliseconds since 1970. Deadlines are in wall-clock time, because they outlive the process.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}
