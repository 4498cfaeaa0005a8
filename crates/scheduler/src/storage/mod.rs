//! Volumes, claims, their classes, and how many volumes nodes can attach: what plugins look up, and what has been promised
//! to pods and is not written yet.

mod state;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use api_types::core::PersistentVolumeClaim;
use component::{
    informer::{Event, Informers, Item, ObjectKey},
    volumes::{Class, Volume},
};
use kube::Client;
use parking_lot::RwLock;
use tokio::sync::watch;

use self::state::State;
use crate::{framework::Change, model::CsiNode};

/// See the module. Kept current by informers; reading it is cheap.
#[derive(Default)]
pub struct Storage {
    state: RwLock<State>,
    /// Counts changes, for those who wait for one.
    changes: watch::Sender<u64>,
    /// For those who write; without it nothing is written.
    client: OnceLock<Client>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({:?})", self.state.read())
    }
}

/// A kind that is kept here.
pub trait Kept: Item<DynamicType = ()> {
    /// It came or changed.
    fn keep(self: &Arc<Self>, state: &mut State);
    /// It went.
    fn drop_from(&self, state: &mut State);
    /// What that means to pods that wait; `None` when it means nothing.
    fn change(event: &Event<Self>) -> Option<Change>;
}

impl Storage {
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
        self.follow_kind::<Volume>(informers, tell.clone());
        self.follow_kind::<PersistentVolumeClaim>(informers, tell.clone());
        self.follow_kind::<Class>(informers, tell.clone());
        self.follow_kind::<CsiNode>(informers, tell);
    }

    fn follow_kind<T: Kept>(self: &Arc<Self>, informers: &Informers, tell: impl Fn(Change) + Send + Sync + 'static) {
        let storage = Arc::clone(self);
        informers.of::<T>().on_event(move |event| {
            storage.note(event);
            if let Some(change) = T::change(event) {
                tell(change);
            }
        });
    }

    /// Something came, changed or went.
    pub fn note<T: Kept>(&self, event: &Event<T>) {
        {
            let mut state = self.state.write();
            match event {
                Event::Added(object) | Event::Updated { new: object, .. } => object.keep(&mut state),
                Event::Deleted(object) => object.drop_from(&mut state),
            }
        }
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells of changes from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A claim.
    #[must_use]
    pub fn claim(&self, key: &ObjectKey) -> Option<Arc<PersistentVolumeClaim>> {
        self.state.read().claims.get(key).cloned()
    }

    /// A volume.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<Arc<Volume>> {
        self.state.read().volumes.get(name).cloned()
    }

    /// A class.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<Arc<Class>> {
        self.state.read().classes.get(name).cloned()
    }

    /// How many volumes of a driver a node can attach, if it says so.
    #[must_use]
    pub fn limit(&self, node: &str, driver: &str) -> Option<usize> {
        self.state.read().limits.get(node)?.get(driver).copied()
    }

    /// The volumes of a class that nobody has and nobody was promised.
    #[must_use]
    pub fn free(&self, class: &str) -> Vec<Arc<Volume>> {
        self.state.read().free(class)
    }

    /// The node that a claim's volume is to be made on, as far as that is promised and not written yet.
    #[must_use]
    pub fn promised_node(&self, claim: &ObjectKey) -> Option<Arc<str>> {
        self.state.read().places.get(claim).map(|(node, _)| Arc::clone(node))
    }

    /// Promises volumes to claims, and a node to others, all or nothing.
    pub fn promise(&self, volumes: &[Arc<str>], places: &[ObjectKey], node: &Arc<str>) -> bool {
        self.state.write().promise(volumes, places, node)
    }

    /// Takes promises back, because they are written or came to nothing.
    pub fn forget(&self, volumes: &[Arc<str>], places: &[ObjectKey]) {
        self.state.write().forget(volumes, places);
    }
}
