//! A watch served from the cache. A watcher owns no queue: it holds a position in the history that all share, is told
//! when something after it may concern it, and reads that whenever it is ready for more. One that falls behind further
//! than the history reaches is told so.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Shared,
    audience::Seat,
    change::{Bookmark, Change, ChangeKind, Mark},
    entry::Entry,
    select::Selector,
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
    seat: Seat,
    next_bookmark: Instant,
    /// Whether a bookmark goes out with what is delivered next.
    bookmark: Due,
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    ended: Ended,
}

#[derive(Default, PartialEq, Eq)]
enum Due {
    Now,
    #[default]
    Later,
}

#[derive(PartialEq, Eq)]
enum Ended {
    No,
    Yes,
}

/// What woke a watcher.
enum Woken {
    Told,
    Timer,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, view: View, position: Revision) -> Self {
        let seat = {
            let state = shared.state.read();
            shared.audience.join(&view.scope, view.selector.as_ref(), position, state.revision())
        };
        let now = Instant::now();
        // A time-out beyond all time is none.
        let deadline = view.timeout.and_then(|timeout| now.checked_add(timeout));
        Self {
            shared,
            view,
            initial: VecDeque::new(),
            initial_end: None,
            position,
            seat,
            next_bookmark: next_bookmark(now, deadline),
            bookmark: Due::Later,
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
        self.shared.state.read().reaches_back_to(self.position)
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
                    self.shared.counts.too_slow.add(1);
                    self.ended = Ended::Yes;
                    return Some(Err(error));
                }
            }
            if let Woken::Timer = self.woken().await {
                self.timer_fired();
            }
        }
    }

    /// What can be delivered without waiting.
    fn ready(&mut self) -> Result<Vec<Delivery>, StoreError> {
        if !self.initial.is_empty() || self.initial_end.is_some() {
            return Ok(self.next_initial());
        }
        let mut deliveries: Vec<_> = self.changes()?.into_iter().map(Delivery::Change).collect();
        if std::mem::take(&mut self.bookmark) == Due::Now {
            deliveries.push(Delivery::Bookmark(Bookmark { revision: self.position, mark: Mark::Progress }));
        }
        Ok(deliveries)
    }

    /// The next changes, at most a batch. Without any the watcher is where the cache is, although it may not have been
    /// woken for long.
    fn changes(&mut self) -> Result<Vec<Change>, StoreError> {
        let state = self.shared.state.read();
        let mut changes = Vec::new();
        if let Some((after, up_to)) = self.seat.take() {
            let unseen = (self.position.max(after), up_to);
            let delta = state.between(unseen, &self.view.scope, self.view.selector.as_ref(), BATCH)?;
            changes = delta.changes;
            if delta.revision < up_to {
                self.seat.put_back(delta.revision, up_to);
                self.position = delta.revision;
                return Ok(changes);
            }
        }
        self.position = self.position.max(state.revision());
        Ok(changes)
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
            self.seat.told().await;
            return Woken::Told;
        };
        if self.timer.deadline() != wake_at {
            self.timer.as_mut().reset(wake_at);
        }
        tokio::select! {
            () = self.seat.told() => Woken::Told,
            () = &mut self.timer => Woken::Timer,
        }
    }

    fn timer_fired(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.ended = Ended::Yes;
            return;
        }
        self.next_bookmark = next_bookmark(now, self.deadline);
        self.shared.request_progress(Revision::ZERO);
        self.bookmark = Due::Now;
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
