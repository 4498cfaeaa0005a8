//! Devices that are claimed (DRA): claims, classes, and what slices offer; and what has been given to claims and is not
//! written yet.

mod pools;
mod state;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use api_types::{
    devices::{AllocationResult, DeviceClass, ResourceClaim, ResourceSlice},
    pod::node_affinity::NodeView,
};
use component::informer::{Event, Informers, Item, ObjectKey};
use kube::Client;
use parking_lot::RwLock;

use self::state::State;
pub use self::{
    pools::{Offer, Offered, Reach},
    state::{DeviceId, device_ids},
};
use crate::framework::Change;

/// See the module. Kept current by informers.
#[derive(Default)]
pub struct Devices {
    state: RwLock<State>,
    /// For those who write; without it nothing is written.
    client: OnceLock<Client>,
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Devices({:?})", self.state.read())
    }
}

/// A kind that is kept here.
pub trait Known: Item<DynamicType = ()> {
    /// It came or changed.
    fn keep(self: &Arc<Self>, state: &mut State);
    /// It went.
    fn drop_from(&self, state: &mut State);
    /// What that means to pods that wait; `None` when it means nothing.
    fn change(event: &Event<Self>) -> Option<Change>;
}

impl Devices {
    /// From now on it can be written.
    pub fn connect(&self, client: Client) {
        // Whoever was first is good.
        let _ = self.client.set(client);
    }

    /// The API server, if there is one.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.client.get()
    }

    /// Keeps this in step with the API server; `tell` is told what may help pods that wait.
    pub fn follow(self: &Arc<Self>, informers: &Informers, tell: impl Fn(Change) + Clone + Send + Sync + 'static) {
        self.follow_kind::<ResourceClaim>(informers, tell.clone());
        self.follow_kind::<DeviceClass>(informers, tell.clone());
        self.follow_kind::<ResourceSlice>(informers, tell);
    }

    fn follow_kind<T: Known>(self: &Arc<Self>, informers: &Informers, tell: impl Fn(Change) + Send + Sync + 'static) {
        let devices = Arc::clone(self);
        informers.of::<T>().on_event(move |event| {
            devices.note(event);
            if let Some(change) = T::change(event) {
                tell(change);
            }
        });
    }

    /// Something came, changed or went.
    pub fn note<T: Known>(&self, event: &Event<T>) {
        let mut state = self.state.write();
        match event {
            Event::Added(object) | Event::Updated { new: object, .. } => object.keep(&mut state),
            Event::Deleted(object) => object.drop_from(&mut state),
        }
    }

    /// A claim as it was just written, before the informer shows it.
    pub fn written(&self, claim: ResourceClaim) {
        Arc::new(claim).keep(&mut self.state.write());
    }

    /// A claim.
    #[must_use]
    pub fn claim(&self, key: &ObjectKey) -> Option<Arc<ResourceClaim>> {
        self.state.read().claims.get(key).cloned()
    }

    /// What a claim has got that is not written yet.
    #[must_use]
    pub fn promised(&self, key: &ObjectKey) -> Option<Arc<AllocationResult>> {
        self.state.read().promised.get(key).map(|(allocation, _)| Arc::clone(allocation))
    }

    /// A class.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<Arc<DeviceClass>> {
        self.state.read().classes.get(name).cloned()
    }

    /// What is offered on a node.
    #[must_use]
    pub fn offered(&self, node: NodeView<'_>) -> Offered {
        self.state.read().offered(node)
    }

    /// Gives devices to claims, all or nothing.
    pub fn promise(&self, given: &[(ObjectKey, Arc<AllocationResult>)]) -> bool {
        self.state.write().promise(given)
    }

    /// Takes that back, because it is written or came to nothing.
    pub fn forget(&self, claims: &[ObjectKey]) {
        self.state.write().forget(claims);
    }
}
