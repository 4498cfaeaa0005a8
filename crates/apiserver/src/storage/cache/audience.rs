//! Who has to be told of a change. Watchers are kept by what they watch, so that a change wakes those whom it may
//! concern and nobody else; what they make of it is theirs.
//!
//! Each watcher has one place, in one group: that of a single object, of a name, of the value of a selectable field, or
//! of a folder. A change is told to the groups of what the object is and of what it was, because an object that leaves a
//! selection concerns those who watch it. A place remembers from which revision to which there is something to look at,
//! so that a watcher that was not told knows that it has missed nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    change::Recorded,
    entry::Entry,
    select::{Requirement, Selector},
};
use crate::storage::{Prefix, Revision};

/// By what watchers are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Axis {
    /// The whole key.
    Key,
    /// The last step of the key.
    Name,
    /// A selectable field, by its place in the extractor's list.
    Field(usize),
    /// A folder that the key lies in.
    Folder,
}

/// One group of watchers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    axis: Axis,
    value: Box<str>,
}

/// All watchers of a cache.
#[derive(Debug)]
pub(super) struct Audience {
    /// The folder that is cached.
    root: Prefix,
    groups: Mutex<Groups>,
}

type Groups = BTreeMap<Axis, HashMap<Box<str>, Vec<Arc<Place>>>>;

/// The place of one watcher.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// What may concern the watcher and it has not looked at: something after the first revision, nothing after the
    /// second. It changes only while the state is being changed, and is taken only while the state is being read.
    unseen: Mutex<Option<(Revision, Revision)>>,
    /// Wakes the watcher.
    told: Notify,
    /// Where it is in its group, so that leaving costs the same however many others there are. It changes only while
    /// the groups are locked.
    index: AtomicUsize,
}

/// A watcher's membership; ends when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    audience: Arc<Audience>,
    group: Group,
    place: Arc<Place>,
}

/// Watchers that have been told something and do not know yet.
#[derive(Debug, Default)]
#[must_use = "they sleep until they are woken"]
pub(super) struct Sleepers(Vec<Arc<Place>>);

impl Audience {
    /// Nobody yet watches what is below this folder.
    pub fn new(root: Prefix) -> Self {
        Self { root, groups: Mutex::default() }
    }

    /// Gives a watcher a place. What happened between the watcher's position and `now`, the revision of the state, has
    /// not been told to it; the caller reads the state meanwhile, so that nothing happens after `now`.
    pub fn join(
        self: &Arc<Self>,
        scope: &Prefix,
        selector: Option<&Selector>,
        position: Revision,
        now: Revision,
    ) -> Seat {
        let place = Arc::new(Place::default());
        if position < now {
            place.add(position, now);
        }
        let mut groups = self.groups.lock();
        let group = self.narrowest(&groups, scope, selector);
        let members = groups.entry(group.axis).or_default().entry(group.value.clone()).or_default();
        place.index.store(members.len(), Relaxed);
        members.push(place.clone());
        drop(groups);
        Seat { audience: self.clone(), group, place }
    }

    /// That of a single object, or where fewest others are of the groups that miss nothing: thus the value that
    /// distinguishes watchers is found, whatever else they have in common.
    fn narrowest(&self, groups: &Groups, scope: &Prefix, selector: Option<&Selector>) -> Group {
        if let Some(key) = selector.and_then(Selector::only) {
            return Group { axis: Axis::Key, value: key.as_str().into() };
        }
        let requirements = selector.map_or(&[][..], Selector::requirements);
        let possible = requirements.iter().map(|requirement| match requirement {
            Requirement::Key(key) => Group { axis: Axis::Key, value: key.as_str().into() },
            Requirement::Name(name) => Group { axis: Axis::Name, value: name.as_str().into() },
            Requirement::Field(index, value) => Group { axis: Axis::Field(*index), value: value.as_str().into() },
        });
        let size = |group: &Group| groups.get(&group.axis).and_then(|all| all.get(&group.value)).map_or(0, Vec::len);
        possible.min_by_key(size).unwrap_or_else(|| {
            let folder = if scope.as_str().starts_with(self.root.as_str()) { scope } else { &self.root };
            Group { axis: Axis::Folder, value: folder.as_str().into() }
        })
    }

    fn leave(&self, group: &Group, place: &Arc<Place>) {
        let mut groups = self.groups.lock();
        let Some(of_axis) = groups.get_mut(&group.axis) else { return };
        let Some(members) = of_axis.get_mut(&group.value) else { return };
        let index = place.index.load(Relaxed);
        if members.get(index).is_some_and(|member| Arc::ptr_eq(member, place)) {
            members.swap_remove(index);
        }
        if let Some(moved) = members.get(index) {
            moved.index.store(index, Relaxed);
        }
        if members.is_empty() {
            of_axis.remove(&group.value);
        }
        if of_axis.is_empty() {
            groups.remove(&group.axis);
        }
    }

    /// Tells of changes that were made to the state, which is still locked.
    pub fn tell(&self, changes: &[Arc<Recorded>]) -> Sleepers {
        let mut sleepers = Sleepers::default();
        let groups = self.groups.lock();
        for (axis, of_axis) in &*groups {
            for change in changes {
                self.values(*axis, change, |value| {
                    for place in of_axis.get(value).into_iter().flatten() {
                        sleepers.tell(place, change.revision.previous(), change.revision);
                    }
                });
            }
        }
        sleepers
    }

    /// Tells everybody that anything may have happened after one revision up to another.
    pub fn tell_all(&self, after: Revision, up_to: Revision) -> Sleepers {
        let mut sleepers = Sleepers::default();
        if after >= up_to {
            return sleepers;
        }
        for place in self.groups.lock().values().flat_map(HashMap::values).flatten() {
            sleepers.tell(place, after, up_to);
        }
        sleepers
    }

    /// What a changed object is and was on an axis.
    fn values<'c>(&self, axis: Axis, change: &'c Recorded, mut visit: impl FnMut(&'c str)) {
        let Some(entry) = change.entry() else { return };
        let key = entry.key().as_str();
        match axis {
            Axis::Key => visit(key),
            Axis::Name => visit(key.rsplit('/').next().unwrap_or_default()),
            Axis::Folder => {
                let above = self.root.as_str().len() - 1;
                let ends = key.bytes().enumerate().skip(above).filter(|(_, byte)| *byte == b'/');
                ends.for_each(|(end, _)| visit(&key[..=end]));
            }
            Axis::Field(index) => {
                let value = |entry: &'c Arc<Entry>| entry.field(index);
                let (before, after) = (change.previous.as_ref().map(value), change.current.as_ref().map(value));
                before.into_iter().chain(after.filter(|after| before != Some(after))).for_each(visit);
            }
        }
    }
}

impl Place {
    /// Whether the watcher had nothing to look at before.
    fn add(&self, after: Revision, up_to: Revision) -> bool {
        let mut unseen = self.unseen.lock();
        let before = *unseen;
        *unseen = Some(before.map_or((after, up_to), |(from, to)| (from.min(after), to.max(up_to))));
        before.is_none()
    }
}

impl Seat {
    /// After which revision and up to which there is something to look at, which then counts as seen; to be called
    /// while the state is being read.
    pub fn take(&self) -> Option<(Revision, Revision)> {
        self.place.unseen.lock().take()
    }

    /// There is still something to look at.
    pub fn put_back(&self, after: Revision, up_to: Revision) {
        self.place.add(after, up_to);
    }

    /// Waits to be told. Cancel safe.
    pub async fn told(&self) {
        self.place.told.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.audience.leave(&self.group, &self.place);
    }
}

impl Sleepers {
    fn tell(&mut self, place: &Arc<Place>, after: Revision, up_to: Revision) {
        if place.add(after, up_to) {
            self.0.push(place.clone());
        }
    }

    /// Wakes them, once the state is free.
    pub fn wake(self) {
        for place in self.0 {
            place.told.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_takes_nobody_along() {
        let folder = Prefix::new("/registry/pods");
        let audience = Arc::new(Audience::new(folder.clone()));
        let none = Revision::ZERO;
        let mut seats: Vec<Seat> = (0..6).map(|_| audience.join(&folder, None, none, none)).collect();
        for (number, leaves) in (0..).zip([1, 0, 3, 1, 1, 0]) {
            drop(seats.remove(leaves));
            let told = audience.tell_all(none, Revision(number + 1));
            assert_eq!(told.0.len(), seats.len());
            assert!(seats.iter().all(|seat| seat.take().is_some()));
        }
        assert!(audience.groups.lock().is_empty());
    }
}
