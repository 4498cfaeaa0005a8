//! What is kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use api_types::{
    devices::{AllocationResult, DeviceClass, ResourceClaim, ResourceSlice},
    meta::ObjectMeta,
};
use component::informer::{Event, ObjectKey};

use super::Known;
use crate::framework::Change;

/// What a device is called: driver, pool, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// Its driver.
    pub driver: String,
    /// Its pool.
    pub pool: String,
    /// Its name in the pool.
    pub device: String,
}

/// Driver and name of a pool.
pub(super) type PoolId = (String, String);

/// See the module.
#[derive(Default)]
pub struct State {
    pub(super) claims: HashMap<ObjectKey, Arc<ResourceClaim>>,
    pub(super) classes: HashMap<String, Arc<DeviceClass>>,
    /// The slices of pools, by name.
    pub(super) pools: BTreeMap<PoolId, BTreeMap<String, Arc<ResourceSlice>>>,
    /// The pools that have slices of one node, by node.
    pub(super) of_nodes: HashMap<String, BTreeMap<PoolId, usize>>,
    /// The pools that have slices of several nodes, with the number of these.
    pub(super) of_several: BTreeMap<PoolId, usize>,
    /// The devices that claims have, each with how many have it: more than one only by mistake.
    taken: HashMap<DeviceId, usize>,
    /// What claims have got that is not written yet, and how many pods count on it.
    pub(super) promised: HashMap<ObjectKey, (Arc<AllocationResult>, usize)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} claims, {} pools", self.claims.len(), self.pools.len())
    }
}

/// The devices that an allocation keeps from others.
pub fn device_ids(allocation: &AllocationResult) -> impl Iterator<Item = DeviceId> {
    let results = allocation.devices.iter().flat_map(|devices| devices.results.iter().flatten());
    let exclusive = results.filter(|own| own.admin_access != Some(true));
    exclusive.map(|own| DeviceId { driver: own.driver.clone(), pool: own.pool.clone(), device: own.device.clone() })
}

fn allocation(claim: &ResourceClaim) -> Option<&AllocationResult> {
    claim.status.as_ref()?.allocation.as_ref()
}

/// Whether one version of an object is older than another; of what does not tell nothing is.
fn is_older(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    let version = |own: &ObjectMeta| own.resource_version.as_deref().and_then(|text| text.parse::<u64>().ok());
    one.uid == other.uid && version(one).zip(version(other)).is_some_and(|(one, other)| one < other)
}

impl State {
    /// Whether somebody has a device.
    pub(super) fn is_taken(&self, id: &DeviceId) -> bool {
        self.taken.contains_key(id)
    }

    /// The pools of which a node may have something.
    pub(super) fn pools_of(&self, node: &str) -> BTreeSet<&PoolId> {
        let own = self.of_nodes.get(node).into_iter().flat_map(BTreeMap::keys);
        own.chain(self.of_several.keys()).collect()
    }

    fn take(&mut self, allocation: &AllocationResult) {
        for id in device_ids(allocation) {
            *self.taken.entry(id).or_default() += 1;
        }
    }

    fn give_back(&mut self, allocation: &AllocationResult) {
        for id in device_ids(allocation) {
            if let Some(count) = self.taken.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.taken.remove(&id);
                }
            }
        }
    }

    pub(super) fn promise(&mut self, given: &[(ObjectKey, Arc<AllocationResult>)]) -> bool {
        let same = |key: &ObjectKey, own: &Arc<AllocationResult>| {
            self.promised.get(key).is_some_and(|(other, _)| Arc::ptr_eq(own, other))
        };
        let impossible = |(key, own): &(ObjectKey, Arc<AllocationResult>)| {
            !same(key, own) && (self.promised.contains_key(key) || device_ids(own).any(|id| self.is_taken(&id)))
        };
        if given.iter().any(impossible) {
            return false;
        }
        for (key, own) in given {
            match self.promised.get_mut(key) {
                Some((_, users)) => *users += 1,
                None => {
                    self.promised.insert(key.clone(), (Arc::clone(own), 1));
                    self.take(own);
                }
            }
        }
        true
    }

    pub(super) fn forget(&mut self, claims: &[ObjectKey]) {
        for key in claims {
            let Some((_, users)) = self.promised.get_mut(key) else { continue };
            *users -= 1;
            if *users == 0
                && let Some((own, _)) = self.promised.remove(key)
            {
                self.give_back(&own);
            }
        }
    }

    fn count_slice(&mut self, slice: &ResourceSlice, by: isize) {
        let pool = pool_of(slice);
        let count = match slice.spec.node_name.as_deref() {
            Some(node) => self.of_nodes.entry(node.to_owned()).or_default().entry(pool.clone()).or_default(),
            None => self.of_several.entry(pool.clone()).or_default(),
        };
        *count = count.saturating_add_signed(by);
        if *count > 0 {
            return;
        }
        let Some(node) = slice.spec.node_name.as_deref() else {
            self.of_several.remove(&pool);
            return;
        };
        if let Some(pools) = self.of_nodes.get_mut(node) {
            pools.remove(&pool);
            if pools.is_empty() {
                self.of_nodes.remove(node);
            }
        }
    }

    fn unlist(&mut self, slice: &ResourceSlice) {
        let (pool, name) = (pool_of(slice), slice.metadata.name.as_deref().unwrap_or_default());
        let Some(slices) = self.pools.get_mut(&pool) else { return };
        let Some(before) = slices.remove(name) else { return };
        if slices.is_empty() {
            self.pools.remove(&pool);
        }
        self.count_slice(&before, -1);
    }
}

/// The pool of a slice, which never changes.
fn pool_of(slice: &ResourceSlice) -> PoolId {
    (slice.spec.driver.clone(), slice.spec.pool.name.clone())
}

impl Known for ResourceClaim {
    fn keep(self: &Arc<Self>, state: &mut State) {
        let key = ObjectKey::of(&**self);
        let before = state.claims.get(&key).cloned();
        if before.as_ref().is_some_and(|before| is_older(&self.metadata, &before.metadata)) {
            return;
        }
        if let Some(own) = before.as_deref().and_then(allocation) {
            state.give_back(own);
        }
        if let Some(own) = allocation(self) {
            state.take(own);
        }
        state.claims.insert(key, Arc::clone(self));
    }

    fn drop_from(&self, state: &mut State) {
        if let Some(before) = state.claims.remove(&ObjectKey::of(self))
            && let Some(own) = allocation(&before)
        {
            state.give_back(own);
        }
    }

    fn change(event: &Event<Self>) -> Option<Change> {
        let gives_back = |old: &Self, new: Option<&Self>| {
            allocation(old).is_some() && new.is_none_or(|new| allocation(new).is_none())
        };
        let free = match event {
            Event::Added(_) => false,
            Event::Updated { old, new } => gives_back(old, Some(new)),
            Event::Deleted(claim) => gives_back(claim, None),
        };
        Some(if free { Change::Devices } else { Change::DeviceClaim(Arc::clone(event.object())) })
    }
}

impl Known for DeviceClass {
    fn keep(self: &Arc<Self>, state: &mut State) {
        state.classes.insert(self.metadata.name.clone().unwrap_or_default(), Arc::clone(self));
    }

    fn drop_from(&self, state: &mut State) {
        state.classes.remove(self.metadata.name.as_deref().unwrap_or_default());
    }

    fn change(event: &Event<Self>) -> Option<Change> {
        (!matches!(event, Event::Deleted(_))).then_some(Change::Devices)
    }
}

impl Known for ResourceSlice {
    fn keep(self: &Arc<Self>, state: &mut State) {
        state.unlist(self);
        state.count_slice(self, 1);
        let name = self.metadata.name.clone().unwrap_or_default();
        state.pools.entry(pool_of(self)).or_default().insert(name, Arc::clone(self));
    }

    fn drop_from(&self, state: &mut State) {
        state.unlist(self);
    }

    fn change(_: &Event<Self>) -> Option<Change> {
        // When a slice goes, its pool may be complete.
        Some(Change::Devices)
    }
}
