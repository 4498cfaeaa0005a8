//! One metadata-only informer per resource; together they are the graph of owners and dependents.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use component::{
    Daemon,
    informer::{Event, Informer, ObjectKey, Scope},
    queue::WorkQueue,
};
use kube::Client;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::tracked::{BY_OWNER, BY_UID, FOREGROUND, ORPHAN, Tracked};
use crate::discovery::{DeletableResource, Discovered, discover};

/// Resources whose objects own nothing and are owned by nothing that matters.
const IGNORED: &[&str] = &["events", "events.events.k8s.io"];
/// Resources that make other resources.
const DEFINITIONS: &[&str] = &["customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"];
/// Uids that are remembered as absent.
const REMEMBERED: usize = 10_000;

/// An object of some resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub resource: Arc<DeletableResource>,
    pub key: ObjectKey,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.group_resource(), self.key)
    }
}

struct Monitor {
    resource: Arc<DeletableResource>,
    informer: Informer<Tracked>,
    /// Ends the informer when its resource is gone.
    daemon: Daemon,
}

/// The graph.
pub(super) struct Monitors {
    client: Client,
    daemon: Daemon,
    queue: Arc<WorkQueue<Node>>,
    by_resource: RwLock<BTreeMap<DeletableResource, Monitor>>,
    /// Owners that are known not to exist; uids never return.
    absent: Mutex<HashSet<String>>,
    /// Somebody saw a sign of resources that are not monitored.
    outdated: Notify,
}

impl Monitors {
    /// None yet; what changes will be queued.
    pub(super) fn new(client: Client, daemon: &Daemon, queue: Arc<WorkQueue<Node>>) -> Arc<Self> {
        Arc::new(Self {
            client,
            daemon: daemon.clone(),
            queue,
            by_resource: RwLock::default(),
            absent: Mutex::default(),
            outdated: Notify::new(),
        })
    }

    /// Asks the server for its resources and monitors them.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<(), kube::Error> {
        let discovered = discover(&self.client).await?;
        self.adapt(discovered);
        Ok(())
    }

    /// Starts monitors for new resources, ends those whose resource is certainly gone.
    fn adapt(self: &Arc<Self>, discovered: Discovered) {
        let wanted =
            |resource: &DeletableResource| resource.watchable && !IGNORED.contains(&resource.group_resource().as_str());
        let resources: Vec<DeletableResource> = discovered.resources.into_iter().filter(wanted).collect();
        let mut monitors = self.by_resource.write();
        monitors.retain(|resource, monitor| {
            let keep = resources.contains(resource) || discovered.stale.contains(&resource.api_version());
            if !keep {
                monitor.daemon.shutdown.cancel();
            }
            keep
        });
        for resource in resources {
            monitors.entry(resource.clone()).or_insert_with(|| self.monitor(Arc::new(resource)));
        }
    }

    fn monitor(self: &Arc<Self>, resource: Arc<DeletableResource>) -> Monitor {
        let informer = Informer::<Tracked>::new(&resource, &Scope::default())
            .with_index(BY_UID, |object| vec![object.uid().to_owned()])
            .with_index(BY_OWNER, |object| object.owners().iter().map(|owner| owner.uid.clone()).collect());
        let (this, of) = (Arc::clone(self), Arc::clone(&resource));
        informer.on_event(move |event| this.on_event(&of, event));
        let daemon = self.daemon.until(self.daemon.shutdown.child_token());
        informer.start(self.client.clone(), &daemon);
        Monitor { resource, informer, daemon }
    }

    /// Waits for the first list of every monitor there is.
    pub(super) async fn synced(&self) {
        let informers: Vec<_> = self.by_resource.read().values().map(|monitor| monitor.informer.clone()).collect();
        for informer in informers {
            informer.synced().await;
        }
    }

    /// Resources may be missing.
    pub(super) fn mark_outdated(&self) {
        self.outdated.notify_one();
    }

    /// Waits until resources may be missing.
    pub(super) async fn outdated(&self) {
        self.outdated.notified().await;
    }

    fn on_event(&self, resource: &Arc<DeletableResource>, event: &Event<Tracked>) {
        if DEFINITIONS.contains(&resource.group_resource().as_str()) {
            self.mark_outdated();
        }
        match event {
            Event::Added(object) => self.on_changed(resource, object),
            Event::Updated { old, new } if old.uid() != new.uid() => {
                self.on_gone(old);
                self.on_changed(resource, new);
            }
            Event::Updated { old, new } => {
                let same = old.metadata.owner_references == new.metadata.owner_references
                    && old.metadata.finalizers == new.metadata.finalizers
                    && old.is_deleting() == new.is_deleting();
                if !same {
                    self.queue_owners(old);
                    self.on_changed(resource, new);
                }
            }
            Event::Deleted(object) => self.on_gone(object),
        }
    }

    fn on_changed(&self, resource: &Arc<DeletableResource>, object: &Tracked) {
        let finishing = object.is_deleting() && (object.has_finalizer(ORPHAN) || object.has_finalizer(FOREGROUND));
        if finishing || !object.owners().is_empty() {
            let key = ObjectKey::new(object.namespace(), object.name());
            self.queue.add(Node { resource: Arc::clone(resource), key });
        }
    }

    /// Its dependents may go now, and its owners may have waited for it.
    fn on_gone(&self, object: &Tracked) {
        self.remember_absent(object.uid());
        for (resource, dependent) in self.dependents_with_resource(object.uid()) {
            let key = ObjectKey::new(dependent.namespace(), dependent.name());
            self.queue.add(Node { resource, key });
        }
        self.queue_owners(object);
    }

    fn queue_owners(&self, object: &Tracked) {
        for owner in object.owners() {
            if let Some((resource, owner)) = self.find(&owner.uid)
                && owner.waits_for_dependents()
            {
                let key = ObjectKey::new(owner.namespace(), owner.name());
                self.queue.add(Node { resource, key });
            }
        }
    }

    /// Queues the dependents of an object.
    pub(super) fn queue_dependents(&self, uid: &str) {
        for (resource, dependent) in self.dependents_with_resource(uid) {
            let key = ObjectKey::new(dependent.namespace(), dependent.name());
            self.queue.add(Node { resource, key });
        }
    }

    /// The newest known state of a node.
    pub(super) fn get(&self, node: &Node) -> Option<Arc<Tracked>> {
        self.by_resource.read().get(&*node.resource)?.informer.store().get(&node.key)
    }

    /// The object with this uid.
    pub(super) fn find(&self, uid: &str) -> Option<(Arc<DeletableResource>, Arc<Tracked>)> {
        self.by_resource.read().values().find_map(|monitor| {
            let object = monitor.informer.store().by_index(BY_UID, uid).pop()?;
            Some((Arc::clone(&monitor.resource), object))
        })
    }

    /// The objects that name this uid as an owner.
    pub(super) fn dependents_with_resource(&self, uid: &str) -> Vec<(Arc<DeletableResource>, Arc<Tracked>)> {
        let monitors = self.by_resource.read();
        let of = |monitor: &Monitor| {
            let resource = Arc::clone(&monitor.resource);
            let objects = monitor.informer.store().by_index(BY_OWNER, uid);
            objects.into_iter().map(move |object| (Arc::clone(&resource), object)).collect::<Vec<_>>()
        };
        monitors.values().flat_map(of).collect()
    }

    /// The resource of a kind, in whatever version it is monitored.
    pub(super) fn resource_of(&self, api_version: &str, kind: &str) -> Option<Arc<DeletableResource>> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let monitors = self.by_resource.read();
        let mut resources = monitors.values().map(|monitor| &monitor.resource);
        resources.find(|resource| resource.group == group && resource.kind == kind).cloned()
    }

    pub(super) fn is_absent(&self, uid: &str) -> bool {
        self.absent.lock().contains(uid)
    }

    pub(super) fn remember_absent(&self, uid: &str) {
        let mut absent = self.absent.lock();
        if absent.len() >= REMEMBERED {
            absent.clear();
        }
        absent.insert(uid.to_owned());
    }
}
