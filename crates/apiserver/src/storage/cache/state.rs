//! What the cache holds: the objects as of one revision, and the last changes that led there. Nothing here waits.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, VecDeque},
    num::NonZeroUsize,
    ops::Bound,
    sync::Arc,
};

use super::{
    change::{Change, Frames, Recorded},
    entry::Entry,
    objects::{Objects, Value},
    select::Selector,
};
use crate::storage::{Key, Prefix, Revision, StoreError};

/// How much history a cache keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The greatest number of changes.
    pub changes: usize,
    /// The greatest size of the replaced objects that only the history still holds, in bytes.
    pub bytes: usize,
}

impl Default for Limits {
    /// Enough for a watcher to be a burst of some thousand changes behind.
    fn default() -> Self {
        Self { changes: 8192, bytes: 8 << 20 }
    }
}

/// The frames of so many latest changes are kept for sharing: watchers that keep up are not further behind, and an idle
/// cache must not hold each object twice.
const SHARED_FRAMES: usize = 128;

/// One remembered change.
#[derive(Debug)]
struct Slot {
    recorded: Arc<Recorded>,
    frames: Option<Arc<Frames>>,
}

impl Slot {
    fn size(&self) -> usize {
        self.recorded.replaced()
    }
}

/// The content of a cache.
#[derive(Debug)]
pub(super) struct State {
    /// The objects as of `revision`.
    objects: Objects,
    /// The last changes, oldest first.
    history: VecDeque<Slot>,
    /// The size of what `history` alone keeps alive.
    history_bytes: usize,
    /// Every change after this revision is in `history`.
    reaches_back_to: Revision,
    /// Something that was in `history` has had to go.
    forgetful: bool,
    /// The cache has seen everything up to here.
    revision: Revision,
    limits: Limits,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The objects, in the order of their keys.
    pub entries: Vec<Arc<Entry>>,
    /// The revision as of which this is the state.
    pub revision: Revision,
    /// The key after which the list goes on; `None` when it is complete.
    pub next: Option<Key>,
    /// How many objects follow; `None` when that is not known because a selector has not seen them.
    pub remaining: Option<u64>,
    /// How many objects were looked at.
    pub examined: usize,
}

/// What part of the objects to list.
#[derive(Clone)]
pub(super) struct Span<'a> {
    pub scope: &'a Prefix,
    pub start_after: Option<&'a Key>,
    pub limit: Option<NonZeroUsize>,
    pub selector: Option<&'a Selector>,
}

/// Changes for a watcher.
#[derive(Debug)]
pub(super) struct Delta {
    pub changes: Vec<Change>,
    /// Where the watcher is after these.
    pub revision: Revision,
}

impl State {
    pub fn new(limits: Limits) -> Self {
        Self {
            objects: Objects::default(),
            history: VecDeque::new(),
            history_bytes: 0,
            reaches_back_to: Revision::ZERO,
            forgetful: false,
            revision: Revision::ZERO,
            limits,
        }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Replaces everything by a state that was listed. The history before is no longer known.
    pub fn reset(&mut self, objects: Objects, revision: Revision) {
        self.objects = objects;
        self.history.clear();
        self.history_bytes = 0;
        self.forgetful = false;
        self.reaches_back_to = revision;
        self.revision = revision;
    }

    /// The next change: what the key holds now. Answers what has to be told, if anything.
    pub fn apply(&mut self, key: Key, value: Value, revision: Revision) -> Option<Arc<Recorded>> {
        self.revision = revision;
        let readable = !matches!(value, Value::Unreadable(_));
        let (previous, current) = self.objects.set(key, value);
        if !readable || (current.is_none() && previous.is_none()) {
            return None;
        }
        let recorded = Arc::new(Recorded { revision, current, previous });
        let slot = Slot { recorded: recorded.clone(), frames: Some(Arc::default()) };
        self.history_bytes += slot.size();
        self.history.push_back(slot);
        if let Some(index) = self.history.len().checked_sub(SHARED_FRAMES + 1) {
            self.history[index].frames = None;
        }
        self.forget();
        Some(recorded)
    }

    /// Everything up to `revision` has been applied.
    pub fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    fn forget(&mut self) {
        while self.history.len() > self.limits.changes || self.history_bytes > self.limits.bytes {
            let Some(slot) = self.history.pop_front() else { return };
            self.history_bytes -= slot.size();
            self.forgetful = true;
            self.reaches_back_to = slot.recorded.revision;
        }
    }

    /// After which revision the history begins, unless it has forgotten something: then there is no room for more.
    pub fn recallable(&self) -> Option<Revision> {
        (!self.forgetful).then_some(self.reaches_back_to)
    }

    /// Puts changes that came before those that are remembered in front of these: everything after `after` and up to
    /// `up_to`, the newest of it as far as there is room. Nothing when the history has come to begin elsewhere meanwhile.
    pub fn recall(&mut self, earlier: VecDeque<Arc<Recorded>>, (after, up_to): (Revision, Revision)) {
        if self.reaches_back_to != up_to {
            return;
        }
        for recorded in earlier.into_iter().rev() {
            let slot = Slot { recorded, frames: None };
            let (changes, bytes) = (self.history.len() + 1, self.history_bytes + slot.size());
            if changes > self.limits.changes || bytes > self.limits.bytes {
                self.reaches_back_to = slot.recorded.revision;
                self.forgetful = true;
                return;
            }
            self.history_bytes = bytes;
            self.history.push_front(slot);
        }
        self.reaches_back_to = after;
    }

    /// How much history is kept.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The objects of a span as of the cache's revision.
    pub fn list(&self, span: &Span<'_>) -> Listing {
        page(span, self.range(span).map(|(_, entry)| entry), self.revision)
    }

    /// The objects of a span as of an earlier revision, when the history still tells.
    pub fn list_at(&self, span: &Span<'_>, revision: Revision) -> Option<Listing> {
        if revision > self.revision || revision < self.reaches_back_to {
            return None;
        }
        let mut changed: HashMap<&Key, Option<&Arc<Entry>>> = HashMap::new();
        for slot in self.history.range(self.position(revision)..) {
            if let Some(entry) = slot.recorded.entry() {
                changed.entry(entry.key()).or_insert(slot.recorded.previous.as_ref());
            }
        }
        if changed.is_empty() {
            return Some(page(span, self.range(span).map(|(_, entry)| entry), revision));
        }
        let mut then: BTreeMap<&Key, &Arc<Entry>> =
            self.range(span).filter(|(key, _)| !changed.contains_key(key)).collect();
        let restored = changed.into_iter().filter_map(|(key, entry)| Some((key, entry?)));
        then.extend(restored.filter(|(key, _)| span.contains(key)));
        Some(page(span, then.into_values(), revision))
    }

    fn range(&self, span: &Span<'_>) -> impl Iterator<Item = (&Key, &Arc<Entry>)> {
        let only = span.selector.and_then(Selector::only).filter(|key| span.contains(key));
        if let Some(key) = only {
            return self
                .objects
                .entries()
                .range::<str, _>((Bound::Included(key.as_str()), Bound::Included(key.as_str())));
        }
        let end = span.scope.end();
        let start = match span.start_after {
            Some(key) if key.as_str() >= span.scope.as_str() => Bound::Excluded(key.as_str()),
            _ => Bound::Included(span.scope.as_str()),
        };
        let beyond = matches!(start, Bound::Excluded(key) if key >= end.as_str());
        let bounds = if beyond { (Bound::Included(""), Bound::Excluded("")) } else { (start, Bound::Excluded(&*end)) };
        self.objects.entries().range::<str, _>(bounds)
    }

    /// The index of the first change after a revision.
    fn position(&self, after: Revision) -> usize {
        self.history.partition_point(|slot| slot.recorded.revision <= after)
    }

    /// Whether everything after a revision is still known.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the history does not reach back to it.
    pub fn reaches_back_to(&self, after: Revision) -> Result<(), StoreError> {
        if after < self.reaches_back_to {
            return Err(StoreError::Compacted { requested: after, oldest: self.reaches_back_to });
        }
        Ok(())
    }

    /// At most `limit` changes after one revision up to another that matter within the scope for the selector.
    ///
    /// # Errors
    /// As [`State::reaches_back_to`].
    pub fn between(
        &self,
        (after, up_to): (Revision, Revision),
        scope: &Prefix,
        selector: Option<&Selector>,
        limit: usize,
    ) -> Result<Delta, StoreError> {
        self.reaches_back_to(after)?;
        let mut changes = Vec::new();
        for slot in self.history.range(self.position(after)..) {
            let recorded = &slot.recorded;
            if recorded.revision > up_to {
                break;
            }
            if changes.len() >= limit && changes.last().is_some_and(|last: &Change| last.revision < recorded.revision) {
                let revision = changes.last().map_or(after, |last| last.revision);
                return Ok(Delta { changes, revision });
            }
            if recorded.entry().is_some_and(|entry| scope.contains(entry.key()))
                && let Some((kind, entry)) = recorded.seen_by(selector)
            {
                let (entry, frames) = (entry.clone(), slot.frames.clone());
                changes.push(Change { kind, entry, revision: recorded.revision, frames });
            }
        }
        Ok(Delta { changes, revision: up_to })
    }

    /// The remembered changes after a revision, as they came from the store.
    pub fn recorded_since(&self, after: Revision) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.reaches_back_to(after)?;
        Ok(self.history.range(self.position(after)..).map(|slot| slot.recorded.clone()).collect())
    }
}

impl Span<'_> {
    fn contains(&self, key: &Key) -> bool {
        self.scope.contains(key) && self.start_after.is_none_or(|start| key > start)
    }
}

/// Takes what fits from entries in order.
fn page<'a>(span: &Span<'_>, entries: impl Iterator<Item = &'a Arc<Entry>>, revision: Revision) -> Listing {
    let examined = Cell::new(0);
    let entries = entries.inspect(|_| examined.set(examined.get() + 1));
    let mut selected = entries.filter(|entry| span.selector.is_none_or(|selector| selector.matches(entry)));
    let limit = span.limit.map_or(usize::MAX, NonZeroUsize::get);
    let entries: Vec<_> = selected.by_ref().take(limit).cloned().collect();
    // What only counts the rest looks at nothing.
    let looked_at = examined.get();
    let more = span.limit.is_some() && entries.len() == limit;
    let (more, remaining) = match (more, span.selector) {
        (false, _) => (false, Some(0)),
        (true, None) => {
            let count = selected.count() as u64;
            (count > 0, Some(count))
        }
        (true, Some(_)) => (selected.next().is_some(), None),
    };
    let next = entries.last().filter(|_| more).map(|entry| entry.key().clone());
    Listing { entries, revision, next, remaining: if more { remaining } else { Some(0) }, examined: looked_at }
}
