//! Follows etcd's history: one watch of all keys feeds every watcher in this process.
//!
//! Because it sees all keys it sees every revision, so its position alone tells how current a watcher is. etcd's own
//! progress notifications would not: before 3.4.25 they can run ahead of the events.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use etcd_client::{Event as EtcdEvent, EventType, WatchOptions, WatchResponse, WatchStream};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::sleep;
use tracing::{debug, info};

use super::Reads;
use crate::storage::{
    Event, EventKind, Prefix, Result, Revision, StoreError, WatchBatch,
    feed::{Backfill, Feed},
};

/// The first and the longest pause between attempts to watch.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Keeps the feed up to date for ever.
pub async fn run(reads: Arc<Reads>, feed: Arc<Feed>) {
    let mut pause = BACK_OFF.0;
    loop {
        let before = feed.revision();
        let error = match follow(&reads, &feed).await {
            Ok(()) => StoreError::unavailable("watch", "etcd ended the watch"),
            Err(error) => error,
        };
        if feed.revision() > before {
            pause = BACK_OFF.0;
        }
        info!(%error, "watch of etcd interrupted, resuming");
        sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

async fn follow(reads: &Arc<Reads>, feed: &Feed) -> Result<()> {
    let position = match feed.revision() {
        Some(revision) => revision,
        None => start(reads, feed).await?,
    };
    let mut changes = Changes::open(reads.clone(), position).await?;
    loop {
        match changes.next().await {
            Ok(Some(batch)) => feed.publish(batch.events, batch.revision),
            Ok(None) => return Ok(()),
            Err(StoreError::Compacted { .. }) => {
                start(reads, feed).await?;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Lets the feed begin at the current revision.
async fn start(reads: &Reads, feed: &Feed) -> Result<Revision> {
    let revision = reads.current_revision().await?;
    feed.restart(revision);
    Ok(revision)
}

/// One watch of all keys, until it breaks.
struct Changes {
    reads: Arc<Reads>,
    stream: WatchStream,
    after: Revision,
}

impl Changes {
    async fn open(reads: Arc<Reads>, after: Revision) -> Result<Self> {
        let mut client = reads.watch.clone();
        let first = i64::try_from(after.next().0).unwrap_or(i64::MAX);
        let options = WatchOptions::new().with_all_keys().with_prev_key().with_start_revision(first);
        let stream = client.watch("", Some(options)).await.map_err(|error| StoreError::unavailable("watch", error))?;
        Ok(Self { reads, stream, after })
    }

    /// The next changes; `None` when etcd has ended the stream.
    async fn next(&mut self) -> Result<Option<WatchBatch>> {
        loop {
            let response = self.stream.message().await.map_err(|error| StoreError::unavailable("watch", error))?;
            let Some(response) = response else { return Ok(None) };
            if response.canceled() {
                return Err(self.canceled(&response));
            }
            if let Some(last) = response.events().last().and_then(EtcdEvent::kv) {
                let events = response.events().iter().filter_map(|event| self.event(event)).collect();
                return Ok(Some(WatchBatch { revision: revision(last.mod_revision()), events }));
            }
        }
    }

    fn canceled(&self, response: &WatchResponse) -> StoreError {
        match response.compact_revision() {
            0 => StoreError::unavailable("watch", response.cancel_reason().to_owned()),
            oldest => StoreError::Compacted { requested: self.after, oldest: revision(oldest) },
        }
    }

    /// A change, unless its key is no text.
    fn event(&self, event: &EtcdEvent) -> Option<Event> {
        let kv = event.kv()?;
        let key = self.reads.readable_key(kv)?;
        let previous = event.prev_kv().map(|previous| super::item(key.clone(), previous.clone()));
        let deleted = event.event_type() == EventType::Delete;
        let kind = match (deleted, kv.create_revision() == kv.mod_revision()) {
            (true, _) => EventKind::Deleted,
            (false, true) => EventKind::Created,
            (false, false) => EventKind::Modified,
        };
        Some(Event {
            key,
            revision: revision(kv.mod_revision()),
            kind,
            created: previous.as_ref().map_or_else(|| revision(kv.create_revision()), |previous| previous.created),
            value: (!deleted).then(|| Bytes::copy_from_slice(kv.value())),
            previous,
        })
    }
}

/// The part of etcd's history that the feed does not have.
struct History {
    reads: Arc<Reads>,
    prefix: Prefix,
    open: Option<Changes>,
    after: Revision,
    up_to: Revision,
}

impl History {
    async fn step(history: Option<Self>) -> Option<(Result<WatchBatch>, Option<Self>)> {
        let mut history = history.filter(|history| history.after < history.up_to)?;
        match history.next().await {
            Ok(batch) => Some((Ok(batch), Some(history))),
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn next(&mut self) -> Result<WatchBatch> {
        let mut pause = BACK_OFF.0;
        loop {
            match self.attempt().await {
                Ok(Some(mut batch)) => {
                    batch.events.retain(|event| event.revision <= self.up_to && self.prefix.contains(&event.key));
                    batch.revision = batch.revision.min(self.up_to);
                    self.after = batch.revision;
                    return Ok(batch);
                }
                Ok(None) => {}
                Err(error @ StoreError::Compacted { .. }) => return Err(error),
                Err(error) => debug!(%error, "cannot read etcd's history, trying again"),
            }
            self.open = None;
            sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn attempt(&mut self) -> Result<Option<WatchBatch>> {
        let changes = match &mut self.open {
            Some(changes) => changes,
            None => self.open.insert(Changes::open(self.reads.clone(), self.after).await?),
        };
        changes.next().await
    }
}

impl Backfill for Reads {
    fn history(
        self: Arc<Self>,
        prefix: Prefix,
        after: Revision,
        up_to: Revision,
    ) -> BoxStream<'static, Result<WatchBatch>> {
        stream::unfold(Some(History { reads: self, prefix, open: None, after, up_to }), History::step).boxed()
    }
}

/// A revision as etcd counts it.
pub fn revision(revision: i64) -> Revision {
    Revision(revision.unsigned_abs())
}
