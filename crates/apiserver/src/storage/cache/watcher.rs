//! A watch served from the cache. A watcher owns no queue: it holds a place in the history that all share, and reads on
//! from there whenever it is ready for more. One that falls behind further than the history reaches is told so.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Shared,
    change::{Bookmark, Change, ChangeKind, Mark, Selector},
    entry::Entry,
};
use crate::storage::{Prefix, Revision, StoreError};

/// What a watcher is given.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// An object changed, or is part of the initial state.
    Change(Change),
    /// How far the watcher has got.
    Bookmark(Bookmark),
}

/// Whether a watcher is told its progress from time to time (`allowWatchBookmarks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bookmarks {
    /// About once a minute and shortly before the watch ends.
    Send,
    /// Never, but for the end of initial events.
    Omit,
}

/// How often a watcher gets a bookmark; upstream's frequency.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

/// So long before its end a watch gets a last bookmark, as upstream does.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// The most deliveries in one batch, which bounds what a watcher holds in memory.
const BATCH: usize = 256;

/// What is to be watched.
pub(super) struct View {
    pub scope: Prefix,
    pub selector: Option<Selector>,
    pub bookmarks: Bookmarks,
    pub timeout: Option<Duration>,
}

/// A running watch. Dropping it ends it.
pub struct Watcher {
    shared: Arc<Shared>,
    view: View,
    /// Objects of the initial state that have not been delivered.
    initial: VecDeque<Arc<Entry>>,
    /// The bookmark that is due after the initial state.
    initial_end: Option<Bookmark>,
    /// Everything up to here has been delivered.
    position: Revision,
    changed: watch::Receiver<Revision>,
    next_bookmark: Instant,
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    ended: Ended,
}

#[derive(PartialEq, Eq)]
enum Ended {
    No,
    Yes,
}

/// What woke a watcher.
enum Woken {
    Changed,
    Timer,
    CacheGone,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, view: View, position: Revision) -> Self {
        let changed = shared.changed.subscribe();
        let now = Instant::now();
        let deadline = view.timeout.map(|timeout| now + timeout);
        Self {
            shared,
            view,
            initial: VecDeque::new(),
            initial_end: None,
            position,
            changed,
            next_bookmark: next_bookmark(now, deadline),
            deadline,
            timer: Box::pin(sleep_until(now)),
            ended: Ended::No,
        }
    }

    /// Lets the watcher begin with a state.
    pub(super) fn starting_with(mut self, initial: Vec<Arc<Entry>>, end: Option<Bookmark>) -> Self {
        self.initial = initial.into();
        self.initial_end = end;
        self
    }

    /// Whether the history reaches back to where the watch begins.
    pub(super) fn check_start(&self) -> Result<(), StoreError> {
        self.shared.state.read().since(self.position, &self.view.scope, None, 0).map(drop)
    }

    /// The revision up to which everything has been delivered.
    pub fn revision(&self) -> Revision {
        self.position
    }

    /// The next deliveries, at least one; `None` when the watch has ended: its time is over, or it ended with an error.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the watcher is too far behind; the client has to list again.
    pub async fn next(&mut self) -> Option<Result<Vec<Delivery>, StoreError>> {
        loop {
            if self.ended == Ended::Yes {
                return None;
            }
            match self.ready() {
                Ok(deliveries) if deliveries.is_empty() => {}
                Ok(deliveries) => return Some(Ok(deliveries)),
                Err(error) => {
                    self.ended = Ended::Yes;
                    return Some(Err(error));
                }
            }
            match self.woken().await {
                Woken::Changed => {}
                Woken::CacheGone => self.ended = Ended::Yes,
                Woken::Timer => {
                    if let Some(bookmark) = self.timer_fired() {
                        return Some(Ok(vec![bookmark]));
                    }
                }
            }
        }
    }

    /// What can be delivered without waiting.
    fn ready(&mut self) -> Result<Vec<Delivery>, StoreError> {
        if !self.initial.is_empty() || self.initial_end.is_some() {
            return Ok(self.next_initial());
        }
        self.changed.mark_unchanged();
        let selector = self.view.selector.as_ref();
        let delta = self.shared.state.read().since(self.position, &self.view.scope, selector, BATCH)?;
        self.position = delta.revision;
        Ok(delta.changes.into_iter().map(Delivery::Change).collect())
    }

    fn next_initial(&mut self) -> Vec<Delivery> {
        let count = self.initial.len().min(BATCH);
        let changes = self.initial.drain(..count).map(|entry| {
            let revision = entry.revision();
            Delivery::Change(Change { kind: ChangeKind::Added, entry, revision, frames: None })
        });
        let mut deliveries: Vec<_> = changes.collect();
        if self.initial.is_empty() {
            deliveries.extend(self.initial_end.take().map(Delivery::Bookmark));
        }
        deliveries
    }

    async fn woken(&mut self) -> Woken {
        let wake_at = match (self.view.bookmarks, self.deadline) {
            (Bookmarks::Send, Some(deadline)) => Some(self.next_bookmark.min(deadline)),
            (Bookmarks::Send, None) => Some(self.next_bookmark),
            (Bookmarks::Omit, deadline) => deadline,
        };
        let Some(wake_at) = wake_at else {
            return self.changed.changed().await.map_or(Woken::CacheGone, |()| Woken::Changed);
        };
        if self.timer.deadline() != wake_at {
            self.timer.as_mut().reset(wake_at);
        }
        tokio::select! {
            changed = self.changed.changed() => changed.map_or(Woken::CacheGone, |()| Woken::Changed),
            () = &mut self.timer => Woken::Timer,
        }
    }

    fn timer_fired(&mut self) -> Option<Delivery> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.ended = Ended::Yes;
            return None;
        }
        self.next_bookmark = next_bookmark(now, self.deadline);
        self.shared.request_progress(Revision::ZERO);
        Some(Delivery::Bookmark(Bookmark { revision: self.position, mark: Mark::Progress }))
    }
}

/// When the next bookmark is due: after the period, but once more before the end.
fn next_bookmark(now: Instant, deadline: Option<Instant>) -> Instant {
    let regular = now + BOOKMARK_PERIOD;
    match deadline.and_then(|deadline| deadline.checked_sub(LAST_BOOKMARK)) {
        Some(last) if last > now => regular.min(last),
        _ => regular,
    }
}
