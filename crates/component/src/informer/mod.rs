//! Informers: a local, indexed copy of a collection, kept current by list and watch.
//!
//! [`Informers`] shares one informer per type among a daemon's parts. A handler is told of every
//! change as an [`Event`]; after a lost watch the list is compared with the store, so that falling
//! behind produces the same events as keeping up. Handlers run on the informer's task and must
//! only note keys. Managed fields are dropped on arrival.

pub mod endpoint_slice;
mod lenient;
mod reflector;
mod slim;
mod store;

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt::Debug,
    sync::Arc,
};

use api_types::codec::FromJson;
use kube::{Client, Resource};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Daemon;
pub(crate) use lenient::register;
pub use slim::lean_metadata;
pub use store::{IndexFn, ObjectKey, Store};

/// What an informer can hold: a type of k8s-openapi, or a slim struct (see [`crate::slim_resource`]).
pub trait Item: Resource + FromJson + Clone + Debug + Send + Sync + 'static {}
impl<T: Resource + FromJson + Clone + Debug + Send + Sync + 'static> Item for T {}

/// A change of the collection.
#[derive(Clone, Debug)]
pub enum Event<T> {
    /// New here.
    Added(Arc<T>),
    /// Changed; the resource version differs.
    Updated {
        /// Before.
        old: Arc<T>,
        /// After.
        new: Arc<T>,
    },
    /// Gone; the last state that was seen.
    Deleted(Arc<T>),
}

impl<T> Event<T> {
    /// The newest state that the event carries.
    #[must_use]
    pub fn object(&self) -> &Arc<T> {
        match self {
            Self::Added(object) | Self::Deleted(object) | Self::Updated { new: object, .. } => object,
        }
    }
}

/// What part of the collection to hold.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// One namespace only.
    pub namespace: Option<String>,
    /// Field selector, such as `spec.nodeName=n1`.
    pub field_selector: Option<String>,
    /// Label selector.
    pub label_selector: Option<String>,
}

type Handler<T> = Box<dyn Fn(&Event<T>) + Send + Sync>;
type Starter = Box<dyn Fn(Client, &Daemon) + Send>;

/// A handle to one informer; clones share it.
#[derive(Clone)]
pub struct Informer<T: Item> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    /// Path of the collection, selectors included.
    path: String,
    /// Selectors, as query parameters.
    query: String,
    /// Ask the server for metadata only.
    metadata_only: bool,
    /// The copy.
    store: Store<T>,
    /// What could not be decoded.
    passed_over: lenient::Named,
    /// Told of every event, in order of registration.
    handlers: Mutex<Vec<Handler<T>>>,
    /// Whether the first list has been applied.
    synced: watch::Sender<bool>,
}

impl<T: Item> Debug for Informer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Informer({}?{})", self.shared.path, self.shared.query)
    }
}

impl<T: Item> Informer<T> {
    /// An informer of `T`'s collection; idle until [`Informer::start`].
    #[must_use]
    pub fn new(dynamic_type: &T::DynamicType, scope: &Scope) -> Self {
        let path = T::url_path(dynamic_type, scope.namespace.as_deref());
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("fieldSelector", &scope.field_selector), ("labelSelector", &scope.label_selector)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let shared = Shared {
            path,
            query: query.finish(),
            metadata_only: T::metadata_api(),
            store: Store::default(),
            passed_over: lenient::Named::default(),
            handlers: Mutex::default(),
            synced: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The copy. Reading it is cheap; it may lag behind the server.
    #[must_use]
    pub fn store(&self) -> &Store<T> {
        &self.shared.store
    }

    /// Whether the collection has an object of this uid that cannot be decoded, so that the copy may lack it.
    #[must_use]
    pub fn passes_over(&self, uid: &str) -> bool {
        self.shared.passed_over.has_uid(uid)
    }

    /// Adds an index: objects by the values that `index` returns. Call before [`Informer::start`].
    #[must_use]
    pub fn with_index(self, name: &'static str, index: IndexFn<T>) -> Self {
        self.shared.store.add_index(name, index);
        self
    }

    /// Adds a handler. When objects are there already it is told of each as added, at once.
    pub fn on_event(&self, handler: impl Fn(&Event<T>) + Send + Sync + 'static) {
        let mut handlers = self.shared.handlers.lock();
        for object in self.shared.store.list() {
            handler(&Event::Added(object));
        }
        handlers.push(Box::new(handler));
    }

    /// Whether the first list has been applied.
    #[must_use]
    pub fn has_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Waits for the first list.
    pub async fn synced(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.shared.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Starts listing and watching, until shutdown.
    pub fn start(&self, client: Client, daemon: &Daemon) {
        let shared = Arc::clone(&self.shared);
        daemon.spawn_until_shutdown(async move { reflector::run(&client, &shared).await });
    }
}

impl<T: Item> Shared<T> {
    fn dispatch(&self, events: impl IntoIterator<Item = Event<T>>) {
        let handlers = self.handlers.lock();
        for event in events {
            for handler in handlers.iter() {
                handler(&event);
            }
        }
    }
}

/// One informer per type, shared by a daemon's parts, all of the whole cluster.
#[derive(Default)]
pub struct Informers {
    by_type: Mutex<HashMap<TypeId, Entry>>,
}

struct Entry {
    informer: Box<dyn Any + Send>,
    start: Starter,
    synced: watch::Receiver<bool>,
}

impl Debug for Informers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Informers({})", self.by_type.lock().len())
    }
}

impl Informers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The informer of `T`, made on first use. Register handlers and indexes before
    /// [`Informers::start`].
    pub fn of<T: Item<DynamicType = ()>>(&self) -> Informer<T> {
        let mut by_type = self.by_type.lock();
        let entry = by_type.entry(TypeId::of::<T>()).or_insert_with(|| {
            let informer = Informer::<T>::new(&(), &Scope::default());
            let (starter, synced) = (informer.clone(), informer.shared.synced.subscribe());
            Entry {
                informer: Box::new(informer),
                start: Box::new(move |client, daemon| starter.start(client, daemon)),
                synced,
            }
        });
        entry.informer.downcast_ref::<Informer<T>>().cloned().expect("keyed by the type's id")
    }

    /// Starts every informer made so far.
    pub fn start(&self, client: &Client, daemon: &Daemon) {
        for entry in self.by_type.lock().values() {
            (entry.start)(client.clone(), daemon);
        }
    }

    /// Waits until every informer made so far has applied its first list.
    pub async fn synced(&self) {
        let waits: Vec<_> = self.by_type.lock().values().map(|entry| entry.synced.clone()).collect();
        for mut wait in waits {
            // An informer that is gone will never sync, and nobody can read it either.
            let _ = wait.wait_for(|synced| *synced).await;
        }
    }
}
