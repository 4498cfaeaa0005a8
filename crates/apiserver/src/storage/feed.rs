//! Tells watchers what a store has committed.
//!
//! A store publishes every commit here, in order and after it is durable. The feed keeps the last ones; a watch owns no
//! queue but a position, and reads on from there. What the feed no longer has, the watch reads from the store's own
//! history ([`Backfill`]), so falling behind is not a special path. Because every revision passes through the feed, a
//! watch that has read to its end knows that nothing below its prefix is missing.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use futures::{StreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;

use super::{Event, Prefix, ProgressRequest, Result, Revision, Watch, WatchBatch};

/// How much the feed remembers: the greatest number of commits, and the greatest size of their values in bytes. Watches
/// normally read within a millisecond, so this need only bridge a slow moment.
const KEPT: (usize, usize) = (1024, 1 << 20);

/// A store's own history.
pub trait Backfill: Send + Sync + 'static {
    /// All changes below a prefix, after one revision up to another, in order; the last batch reaches `up_to`.
    fn history(
        self: Arc<Self>,
        prefix: Prefix,
        after: Revision,
        up_to: Revision,
    ) -> BoxStream<'static, Result<WatchBatch>>;
}

/// The last commits of a store, and who waits for the next one.
#[derive(Default)]
pub struct Feed {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    commits: VecDeque<Arc<Commit>>,
    /// The size of the values in `commits`.
    bytes: usize,
    /// Every change after this revision, up to `revision`, is in `commits`.
    reaches_back_to: Revision,
    /// The latest revision; `None` until the store knows it.
    revision: Option<Revision>,
    subscribers: Vec<Weak<Subscriber>>,
}

struct Commit {
    events: Vec<Event>,
    revision: Revision,
}

impl Commit {
    fn size(&self) -> usize {
        let sizes = self.events.iter().map(|event| {
            event.value.as_ref().map_or(0, |value| value.len())
                + event.previous.as_ref().map_or(0, |item| item.value.len())
        });
        sizes.sum()
    }
}

struct Subscriber {
    prefix: Prefix,
    request: ProgressRequest,
}

/// What a watch finds when it looks.
enum Look {
    /// Changes, maybe none that matter, up to a revision.
    Batch(WatchBatch),
    /// The feed no longer has what the watch needs, it begins after this revision.
    Gap(Revision),
    /// Nothing yet.
    Wait,
}

impl Feed {
    /// The store is at this revision, and what was before is in its history only.
    pub fn restart(&self, revision: Revision) {
        let mut inner = self.inner.lock();
        inner.commits.clear();
        inner.bytes = 0;
        inner.reaches_back_to = revision;
        inner.revision = Some(revision);
        inner.wake(|_| true);
    }

    /// The latest revision that was published.
    pub fn revision(&self) -> Option<Revision> {
        self.inner.lock().revision
    }

    /// What a commit changed, and the revision of its last change.
    pub fn publish(&self, events: Vec<Event>, revision: Revision) {
        let commit = Arc::new(Commit { events, revision });
        let mut inner = self.inner.lock();
        inner.bytes += commit.size();
        inner.commits.push_back(commit.clone());
        inner.revision = Some(revision);
        inner.forget();
        inner.wake(|subscriber| {
            subscriber.request.wanted() > Revision::ZERO && subscriber.request.wanted() >= commit.first()
                || commit.events.iter().any(|event| subscriber.prefix.contains(&event.key))
        });
    }

    /// A watch of this feed, which reads older changes from `store`.
    pub fn watch(self: &Arc<Self>, store: Arc<dyn Backfill>, prefix: Prefix, after: Revision) -> Watch {
        let request = ProgressRequest::default();
        let subscriber = Arc::new(Subscriber { prefix, request: request.clone() });
        self.inner.lock().subscribers.push(Arc::downgrade(&subscriber));
        let reader = Reader { feed: self.clone(), store, subscriber, position: after, history: None };
        Watch::new(stream::unfold(Some(reader), Reader::step), request)
    }

    fn look(&self, prefix: &Prefix, after: Revision) -> Look {
        let inner = self.inner.lock();
        let Some(revision) = inner.revision else { return Look::Wait };
        if after < inner.reaches_back_to {
            return Look::Gap(inner.reaches_back_to);
        }
        if revision <= after {
            return Look::Wait;
        }
        let first = inner.commits.partition_point(|commit| commit.revision <= after);
        let commits: Vec<_> = inner.commits.range(first..).cloned().collect();
        drop(inner);
        let events = commits.iter().flat_map(|commit| &commit.events);
        let events = events.filter(|event| event.revision > after && prefix.contains(&event.key)).cloned().collect();
        Look::Batch(WatchBatch { events, revision })
    }
}

impl Commit {
    fn first(&self) -> Revision {
        self.events.first().map_or(self.revision, |event| event.revision)
    }
}

impl Inner {
    fn forget(&mut self) {
        while self.commits.len() > KEPT.0 || (self.bytes > KEPT.1 && self.commits.len() > 1) {
            let Some(commit) = self.commits.pop_front() else { return };
            self.bytes -= commit.size();
            self.reaches_back_to = commit.revision;
        }
    }

    /// Wakes those watches to which it matters; the others read on when they are woken next.
    fn wake(&mut self, matters: impl Fn(&Subscriber) -> bool) {
        self.subscribers.retain(|subscriber| {
            let Some(subscriber) = subscriber.upgrade() else { return false };
            if matters(&subscriber) {
                subscriber.request.wake();
            }
            true
        });
    }
}

/// A watch of the feed.
struct Reader {
    feed: Arc<Feed>,
    store: Arc<dyn Backfill>,
    subscriber: Arc<Subscriber>,
    /// Everything up to here has been yielded.
    position: Revision,
    /// The store's history, while the feed does not reach back to the position.
    history: Option<BoxStream<'static, Result<WatchBatch>>>,
}

impl Reader {
    async fn step(reader: Option<Self>) -> Option<(Result<WatchBatch>, Option<Self>)> {
        let mut reader = reader?;
        match reader.next().await {
            Ok(batch) => Some((Ok(batch), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn next(&mut self) -> Result<WatchBatch> {
        loop {
            if let Some(batch) = self.next_of_history().await? {
                return Ok(batch);
            }
            match self.feed.look(&self.subscriber.prefix, self.position) {
                Look::Batch(batch) => {
                    self.position = batch.revision;
                    return Ok(batch);
                }
                Look::Gap(up_to) => {
                    let prefix = self.subscriber.prefix.clone();
                    self.history = Some(self.store.clone().history(prefix, self.position, up_to));
                }
                Look::Wait => self.subscriber.request.woken().await,
            }
        }
    }

    async fn next_of_history(&mut self) -> Result<Option<WatchBatch>> {
        let Some(history) = &mut self.history else { return Ok(None) };
        match history.next().await {
            Some(batch) => {
                let batch = batch?;
                self.position = batch.revision;
                Ok(Some(batch))
            }
            None => {
                self.history = None;
                Ok(None)
            }
        }
    }
}
