//! What pools of devices offer on a node.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    core::NodeSelector,
    devices::{Device, ResourceSlice},
    pod::node_affinity::{NodeView, Required},
};

use super::state::{DeviceId, PoolId, State};

/// A device that is on a node.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What it is called.
    pub id: DeviceId,
    /// Where it is described.
    slice: Arc<ResourceSlice>,
    /// At which place there.
    position: usize,
    /// Whether nobody has it.
    pub free: bool,
}

/// Where a device can be reached from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach<'a> {
    /// One node.
    Node(&'a str),
    /// The nodes that are selected.
    Selected(&'a NodeSelector),
    /// All.
    Everywhere,
}

impl Offer {
    /// What is known of it.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.slice.spec.devices.as_deref().unwrap_or_default()[self.position]
    }

    /// Where it can be reached from.
    #[must_use]
    pub fn reach(&self) -> Reach<'_> {
        reach(&self.slice, self.device()).unwrap_or(Reach::Everywhere)
    }
}

/// What is offered on a node.
#[derive(Debug, Default)]
pub struct Offered {
    /// Devices, of complete pools.
    pub offers: Vec<Offer>,
    /// Whether some pools of the node are not described in full, so that nobody knows what all devices are.
    pub incomplete: bool,
}

impl State {
    /// What is offered on a node.
    pub(super) fn offered(&self, node: NodeView<'_>) -> Offered {
        let mut offered = Offered::default();
        for pool in self.pools_of(node.name) {
            self.offer_pool(pool, node, &mut offered);
        }
        offered
    }

    fn offer_pool(&self, pool: &PoolId, node: NodeView<'_>, offered: &mut Offered) {
        let slices = self.pools.get(pool).into_iter().flat_map(|slices| slices.values());
        let Some(generation) = slices.clone().map(|slice| slice.spec.pool.generation).max() else { return };
        let newest: Vec<&Arc<ResourceSlice>> =
            slices.filter(|slice| slice.spec.pool.generation == generation).collect();
        let mut own = Vec::new();
        for slice in &newest {
            for (position, device) in slice.spec.devices.iter().flatten().enumerate() {
                if reach(slice, device).is_some_and(|reach| reach.covers(node)) && is_simple(device) {
                    let (driver, pool) = pool.clone();
                    let id = DeviceId { driver, pool, device: device.name.clone() };
                    own.push(Offer { free: !self.is_taken(&id), id, slice: Arc::clone(slice), position });
                }
            }
        }
        if own.is_empty() {
            return;
        }
        if is_complete(&newest) { offered.offers.extend(own) } else { offered.incomplete = true }
    }
}

/// All slices are there, and no name stands for two devices.
fn is_complete(slices: &[&Arc<ResourceSlice>]) -> bool {
    let mut names = BTreeSet::new();
    let mut devices = slices.iter().flat_map(|slice| slice.spec.devices.iter().flatten());
    slices.iter().all(|slice| usize::try_from(slice.spec.pool.resource_slice_count) == Ok(slices.len()))
        && devices.all(|device| names.insert(device.name.as_str()))
}

/// Whether a device is a thing of its own. What shares counters with others, or is to be waited for, is not given to
/// anybody: better nobody has it than two.
fn is_simple(device: &Device) -> bool {
    let none = |list: Option<usize>| list.unwrap_or(0) == 0;
    none(device.consumes_counters.as_ref().map(Vec::len)) && none(device.binding_conditions.as_ref().map(Vec::len))
}

fn reach<'a>(slice: &'a ResourceSlice, device: &'a Device) -> Option<Reach<'a>> {
    let spec = &slice.spec;
    if spec.per_device_node_selection == Some(true) {
        return Reach::of(device.node_name.as_deref(), device.node_selector.as_ref(), device.all_nodes);
    }
    Reach::of(spec.node_name.as_deref(), spec.node_selector.as_ref(), spec.all_nodes)
}

impl<'a> Reach<'a> {
    fn of(node: Option<&'a str>, selector: Option<&'a NodeSelector>, all: Option<bool>) -> Option<Self> {
        let one = node.filter(|node| !node.is_empty()).map(Self::Node);
        one.or_else(|| selector.map(Self::Selected)).or_else(|| (all == Some(true)).then_some(Self::Everywhere))
    }

    fn covers(&self, node: NodeView<'_>) -> bool {
        match self {
            Self::Node(name) => *name == node.name,
            Self::Selected(selector) => Required::of_selector(Some(selector)).matches(node),
            Self::Everywhere => true,
        }
    }
}
