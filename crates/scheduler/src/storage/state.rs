//! What is kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use api_types::core::PersistentVolumeClaim;
use component::{
    informer::{Event, ObjectKey},
    volumes::{Class, Volume},
};

use super::Kept;
use crate::{framework::Change, model::CsiNode};

/// See the module.
#[derive(Default)]
pub struct State {
    pub(super) volumes: HashMap<Box<str>, Arc<Volume>>,
    /// Names of volumes that nobody has, by class.
    unclaimed: HashMap<Box<str>, BTreeSet<Box<str>>>,
    pub(super) claims: HashMap<ObjectKey, Arc<PersistentVolumeClaim>>,
    pub(super) classes: HashMap<Box<str>, Arc<Class>>,
    /// How many volumes nodes can attach, by node and driver.
    pub(super) limits: HashMap<Box<str>, BTreeMap<Box<str>, usize>>,
    /// Volumes that are promised.
    promised: HashSet<Arc<str>>,
    /// Nodes that claims' volumes are to be made on, and how many pods count on that.
    pub(super) places: HashMap<ObjectKey, (Arc<str>, usize)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} volumes, {} claims", self.volumes.len(), self.claims.len())
    }
}

impl State {
    pub(super) fn free(&self, class: &str) -> Vec<Arc<Volume>> {
        let names = self.unclaimed.get(class).into_iter().flatten();
        let free = names.filter(|name| !self.promised.contains(&***name));
        free.filter_map(|name| self.volumes.get(name).cloned()).collect()
    }

    pub(super) fn promise(&mut self, volumes: &[Arc<str>], places: &[ObjectKey], node: &Arc<str>) -> bool {
        let elsewhere = |claim: &ObjectKey| self.places.get(claim).is_some_and(|(own, _)| own != node);
        if volumes.iter().any(|name| self.promised.contains(name)) || places.iter().any(elsewhere) {
            return false;
        }
        self.promised.extend(volumes.iter().cloned());
        for claim in places {
            self.places.entry(claim.clone()).or_insert_with(|| (Arc::clone(node), 0)).1 += 1;
        }
        true
    }

    pub(super) fn forget(&mut self, volumes: &[Arc<str>], places: &[ObjectKey]) {
        for name in volumes {
            self.promised.remove(name);
        }
        for claim in places {
            if let Some((_, count)) = self.places.get_mut(claim) {
                *count -= 1;
                if *count == 0 {
                    self.places.remove(claim);
                }
            }
        }
    }

    fn unlist(&mut self, name: &str) {
        let Some(before) = self.volumes.remove(name) else { return };
        if let Some(names) = self.unclaimed.get_mut(before.class()) {
            names.remove(name);
            if names.is_empty() {
                self.unclaimed.remove(before.class());
            }
        }
    }
}

impl Kept for Volume {
    fn keep(self: &Arc<Self>, state: &mut State) {
        state.unlist(self.name());
        state.volumes.insert(self.name().into(), Arc::clone(self));
        if self.spec.claim_ref.is_none() {
            state.unclaimed.entry(self.class().into()).or_default().insert(self.name().into());
        }
    }

    fn drop_from(&self, state: &mut State) {
        state.unlist(self.name());
    }

    fn change(event: &Event<Self>) -> Option<Change> {
        match event {
            Event::Added(volume) | Event::Updated { new: volume, .. } => Some(Change::Volume(Arc::clone(volume))),
            Event::Deleted(_) => None,
        }
    }
}

impl Kept for PersistentVolumeClaim {
    fn keep(self: &Arc<Self>, state: &mut State) {
        state.claims.insert(ObjectKey::of(&**self), Arc::clone(self));
    }

    fn drop_from(&self, state: &mut State) {
        state.claims.remove(&ObjectKey::of(self));
    }

    fn change(event: &Event<Self>) -> Option<Change> {
        // When a claim goes, it may have been what another pod had alone.
        Some(Change::Claim(Arc::clone(event.object())))
    }
}

impl Kept for Class {
    fn keep(self: &Arc<Self>, state: &mut State) {
        state.classes.insert(self.name().into(), Arc::clone(self));
    }

    fn drop_from(&self, state: &mut State) {
        state.classes.remove(self.name());
    }

    fn change(event: &Event<Self>) -> Option<Change> {
        match event {
            Event::Updated { old, new } if old.allowed_topologies == new.allowed_topologies => None,
            Event::Added(class) | Event::Updated { new: class, .. } => Some(Change::Class(Arc::clone(class))),
            Event::Deleted(_) => None,
        }
    }
}

impl Kept for CsiNode {
    fn keep(self: &Arc<Self>, state: &mut State) {
        let limits: BTreeMap<Box<str>, usize> =
            self.spec.drivers.iter().filter_map(|driver| Some((driver.name.clone(), driver.limit()?))).collect();
        let name = self.metadata.name.as_deref().unwrap_or_default();
        if limits.is_empty() {
            state.limits.remove(name);
        } else {
            state.limits.insert(name.into(), limits);
        }
    }

    fn drop_from(&self, state: &mut State) {
        state.limits.remove(self.metadata.name.as_deref().unwrap_or_default());
    }

    fn change(_: &Event<Self>) -> Option<Change> {
        Some(Change::Limits)
    }
}
