//! Config maps and secrets that pods refer to: one watch per object for as long as some pod needs it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Weak};

use api_types::core::{ConfigMap, Pod, Secret};
use component::informer::{Informer, Item, ObjectKey, Scope};
use component::{CancellationToken, Daemon};
use kube::Client;
use parking_lot::Mutex;

use crate::pod::PodExt;
use crate::runtime::PodUid;
use crate::workers::Nudge;

/// Config maps and secrets of one namespace, by name.
pub trait Objects: Send + Sync {
    /// The config map, if it exists.
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>>;
    /// The secret, if it exists.
    fn secret(&self, name: &str) -> Option<Arc<Secret>>;
}

/// What a pod refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Names of config maps.
    pub config_maps: BTreeSet<String>,
    /// Names of secrets.
    pub secrets: BTreeSet<String>,
}

/// The config maps and secrets that a pod refers to, in its environment, volumes and pull secrets.
#[must_use]
pub fn references(pod: &Pod) -> References {
    let mut found = References::default();
    for (_, container) in pod.every_container() {
        for source in container.env_from.iter().flatten() {
            found.config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
            found.secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            found.config_maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
            found.secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
        }
    }
    for volume in pod.pod_spec().volumes.iter().flatten() {
        found.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        found.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for source in projected {
            found.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            found.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
    let pull_secrets = pod.pod_spec().image_pull_secrets.iter().flatten();
    found.secrets.extend(pull_secrets.map(|secret| secret.name.clone()).filter(|name| !name.is_empty()));
    found
}

/// All objects that are being watched.
pub struct ObjectWatches {
    config_maps: Registry<ConfigMap>,
    secrets: Registry<Secret>,
}

type Watches<T> = HashMap<ObjectKey, Weak<Watched<T>>>;

struct Registry<T: Item> {
    watches: Mutex<Watches<T>>,
    client: Option<Client>,
    daemon: Daemon,
}

/// One object.
struct Watched<T: Item> {
    key: ObjectKey,
    informer: Informer<T>,
    /// Ends the watch.
    stop: CancellationToken,
    /// Told of every change.
    listeners: Arc<Mutex<HashMap<PodUid, Nudge>>>,
}

impl<T: Item> Drop for Watched<T> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl<T: Item<DynamicType = ()>> Registry<T> {
    fn watch(&self, key: &ObjectKey, pod: &PodUid, nudge: &Nudge) -> Option<Lease<T>> {
        let client = self.client.clone()?;
        let mut watches = self.watches.lock();
        let known = watches.get(key).and_then(Weak::upgrade);
        let watched = known.unwrap_or_else(|| {
            watches.retain(|_, watched| watched.strong_count() > 0);
            let watched = Arc::new(start::<T>(key, client, &self.daemon));
            watches.insert(key.clone(), Arc::downgrade(&watched));
            watched
        });
        watched.listeners.lock().insert(pod.clone(), nudge.clone());
        Some(Lease { watched, pod: pod.clone() })
    }
}

fn start<T: Item<DynamicType = ()>>(key: &ObjectKey, client: Client, daemon: &Daemon) -> Watched<T> {
    let scope = Scope {
        namespace: Some(key.namespace.clone()),
        field_selector: Some(format!("metadata.name={}", key.name)),
        label_selector: None,
    };
    let informer = Informer::<T>::new(&(), &scope);
    let listeners: Arc<Mutex<HashMap<PodUid, Nudge>>> = Arc::default();
    let told = Arc::clone(&listeners);
    informer.on_event(move |_| {
        for nudge in told.lock().values() {
            nudge.now();
        }
    });
    let stop = daemon.shutdown.child_token();
    informer.start(client, &daemon.until(stop.clone()));
    Watched { key: key.clone(), informer, stop, listeners }
}

/// Keeps an object watched.
struct Lease<T: Item> {
    watched: Arc<Watched<T>>,
    pod: PodUid,
}

impl<T: Item> Drop for Lease<T> {
    fn drop(&mut self) {
        self.watched.listeners.lock().remove(&self.pod);
    }
}

impl ObjectWatches {
    /// No watches; without a client there will never be any, and no object is ever found.
    #[must_use]
    pub fn new(client: Option<&Client>, daemon: &Daemon) -> Self {
        Self { config_maps: registry(client, daemon), secrets: registry(client, daemon) }
    }
}

fn registry<T: Item>(client: Option<&Client>, daemon: &Daemon) -> Registry<T> {
    Registry { watches: Mutex::default(), client: client.cloned(), daemon: daemon.clone() }
}

/// The objects that one pod needs, watched until this is dropped.
pub struct PodObjects {
    watches: Arc<ObjectWatches>,
    namespace: String,
    references: References,
    config_maps: HashMap<String, Lease<ConfigMap>>,
    secrets: HashMap<String, Lease<Secret>>,
}

impl Debug for PodObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PodObjects({:?})", self.references)
    }
}

impl PodObjects {
    /// Nothing yet.
    #[must_use]
    pub fn new(watches: Arc<ObjectWatches>) -> Self {
        Self {
            watches,
            namespace: String::new(),
            references: References::default(),
            config_maps: HashMap::new(),
            secrets: HashMap::new(),
        }
    }

    /// Watches what the pod refers to now, and waits until each has been read once. Cancel-safe.
    pub async fn follow(&mut self, pod: &Pod, nudge: &Nudge) {
        let wanted = references(pod);
        if wanted != self.references || self.namespace != pod.key().namespace {
            self.namespace = pod.key().namespace;
            let uid = pod.uid();
            let (watches, namespace) = (Arc::clone(&self.watches), self.namespace.clone());
            update(&mut self.config_maps, &watches.config_maps, &wanted.config_maps, &namespace, &uid, nudge);
            update(&mut self.secrets, &watches.secrets, &wanted.secrets, &namespace, &uid, nudge);
            self.references = wanted;
        }
        for lease in self.config_maps.values() {
            lease.watched.informer.synced().await;
        }
        for lease in self.secrets.values() {
            lease.watched.informer.synced().await;
        }
    }
}

fn update<T: Item<DynamicType = ()>>(
    leases: &mut HashMap<String, Lease<T>>,
    registry: &Registry<T>,
    wanted: &BTreeSet<String>,
    namespace: &str,
    pod: &PodUid,
    nudge: &Nudge,
) {
    leases.retain(|name, _| wanted.contains(name));
    for name in wanted {
        if !leases.contains_key(name)
            && let Some(lease) = registry.watch(&ObjectKey::new(namespace, name.as_str()), pod, nudge)
        {
            leases.insert(name.clone(), lease);
        }
    }
}

impl Objects for PodObjects {
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        let watched = &self.config_maps.get(name)?.watched;
        watched.informer.store().get(&watched.key)
    }

    fn secret(&self, name: &str) -> Option<Arc<Secret>> {
        let watched = &self.secrets.get(name)?.watched;
        watched.informer.store().get(&watched.key)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Objects that never change.
    #[derive(Default)]
    pub(crate) struct FixedObjects {
        config_maps: Vec<Arc<ConfigMap>>,
        secrets: Vec<Arc<Secret>>,
    }

    impl FixedObjects {
        /// From JSON arrays.
        pub(crate) fn new(config_maps: serde_json::Value, secrets: serde_json::Value) -> Self {
            Self {
                config_maps: serde_json::from_value::<Vec<ConfigMap>>(config_maps)
                    .unwrap()
                    .into_iter()
                    .map(Arc::new)
                    .collect(),
                secrets: serde_json::from_value::<Vec<Secret>>(secrets).unwrap().into_iter().map(Arc::new).collect(),
            }
        }
    }

    impl Objects for FixedObjects {
        fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
            self.config_maps.iter().find(|map| map.metadata.name.as_deref() == Some(name)).cloned()
        }

        fn secret(&self, name: &str) -> Option<Arc<Secret>> {
            self.secrets.iter().find(|secret| secret.metadata.name.as_deref() == Some(name)).cloned()
        }
    }
}
