//! How others keep something of all objects of a resource: what they keep is told by the watch caches.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use api_types::StatusError;
use component::{Daemon, backoff::Backoff};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{Registry, Rest};
use crate::storage::{
    Key, Revision, StoreError,
    cache::{Bookmarks, Change, ChangeKind, Delivery, Freshness, ListRequest, Mark, Start, WatchRequest, Watcher},
};

/// What is kept of the objects of a resource.
pub trait Mirror: Send + Sync + 'static {
    /// Notes what an object says now; `json` is as it is stored.
    fn put(&self, namespace: &str, name: &str, json: &[u8]);

    /// Notes that an object is gone, which may not have been known.
    fn remove(&self, namespace: &str, name: &str);

    /// Everything up to this revision has been told.
    fn reached(&self, revision: Revision) {
        let _ = revision;
    }
}

/// Names of objects of the cluster that have changed and that nobody has looked at since. The newest state wins: a name is
/// there once, however often it changed.
#[derive(Default)]
pub struct Changed {
    names: Mutex<BTreeSet<String>>,
    told: Notify,
}

impl Changed {
    /// These have to be looked at.
    pub fn add(&self, names: impl IntoIterator<Item = String>) {
        let mut waiting = self.names.lock();
        waiting.extend(names);
        // Who is woken for nothing would come here again.
        if !waiting.is_empty() {
            self.told.notify_one();
        }
    }

    /// All of them; whoever takes them looks at them.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.names.lock())
    }

    /// Until there may be some.
    pub async fn wait(&self) {
        self.told.notified().await;
    }
}

impl Mirror for Changed {
    fn put(&self, _: &str, name: &str, _: &[u8]) {
        self.add([name.to_owned()]);
    }

    fn remove(&self, _: &str, name: &str) {
        self.add([name.to_owned()]);
    }
}

/// Group, version and plural of a resource.
pub type Gvr = (&'static str, &'static str, &'static str);

/// A resource, and what is kept of it.
pub struct Mirrored {
    resource: Gvr,
    mirror: Arc<dyn Mirror>,
}

impl Mirrored {
    /// Keeps this of the objects of a resource.
    #[must_use]
    pub fn new(resource: Gvr, mirror: Arc<dyn Mirror>) -> Self {
        Self { resource, mirror }
    }

    /// Notes what an object says now.
    pub fn put(&self, namespace: &str, name: &str, json: &[u8]) {
        self.mirror.put(namespace, name, json);
    }

    fn rest(&self, registry: &Registry) -> Option<Arc<Rest>> {
        let (group, version, plural) = self.resource;
        registry.find(group, version, plural)
    }
}

/// Keeps everything up to date as long as the daemon runs. What is given back becomes true when all is known that was
/// there at the start.
pub fn follow(mirrored: Vec<Mirrored>, registry: &Arc<Registry>, daemon: &Daemon) -> Vec<watch::Receiver<bool>> {
    let start = |mirrored: Mirrored| {
        let (synced, receiver) = watch::channel(false);
        if let Some(rest) = mirrored.rest(registry) {
            let following = Following { rest, mirror: mirrored.mirror, known: HashSet::new(), synced };
            daemon.spawn_until_shutdown(following.run());
        } else {
            // What is not served is not there.
            synced.send_replace(true);
        }
        receiver
    };
    mirrored.into_iter().map(start).collect()
}

/// Tells everything that there is now, once: for who must not be behind.
///
/// # Errors
/// The store's.
pub async fn load(mirrored: &[Mirrored], registry: &Registry) -> Result<(), StatusError> {
    for mirrored in mirrored {
        let Some(rest) = mirrored.rest(registry) else { continue };
        let all = ListRequest::all(rest.scope(""), Freshness::Consistent);
        let listing = rest.cache().list(&all).await.map_err(|error| rest.store_error("", &error))?;
        for entry in &listing.entries {
            let (namespace, name) = rest.names(entry.key());
            mirrored.mirror.put(namespace, name, entry.value());
        }
    }
    Ok(())
}

struct Following {
    rest: Arc<Rest>,
    mirror: Arc<dyn Mirror>,
    /// What the mirror has been told of.
    known: HashSet<Key>,
    synced: watch::Sender<bool>,
}

impl Following {
    async fn run(mut self) {
        let mut backoff = Backoff::reconnect();
        loop {
            if let Err(error) = self.watch(&mut backoff).await {
                tracing::debug!(resource = %self.rest.row.plural, "a watch begins again: {error}");
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn watch(&mut self, backoff: &mut Backoff) -> Result<(), StoreError> {
        let request = WatchRequest {
            scope: self.rest.scope(""),
            selector: None,
            start: Start::StateThenBookmark(Freshness::Any),
            bookmarks: Bookmarks::Omit,
            timeout: None,
        };
        let mut watcher = self.rest.cache().watch(request).await?;
        self.begin(&mut watcher).await?;
        backoff.reset();
        self.synced.send_replace(true);
        while let Some(deliveries) = watcher.next().await {
            let mut reached = None;
            for delivery in deliveries? {
                match delivery {
                    Delivery::Change(change) => {
                        self.take(&change);
                        reached = Some(change.revision);
                    }
                    Delivery::Bookmark(bookmark) => reached = Some(bookmark.revision),
                }
            }
            if let Some(revision) = reached {
                self.mirror.reached(revision);
            }
        }
        Ok(())
    }

    /// Takes over what there is, and drops what is no longer there.
    async fn begin(&mut self, watcher: &mut Watcher) -> Result<(), StoreError> {
        let mut there = HashSet::new();
        let mut end = None;
        while end.is_none() {
            let Some(deliveries) = watcher.next().await else { return Ok(()) };
            for delivery in deliveries? {
                match delivery {
                    Delivery::Change(change) => {
                        there.insert(change.entry.key().clone());
                        self.take(&change);
                    }
                    Delivery::Bookmark(bookmark) if bookmark.mark == Mark::InitialEventsEnd => {
                        end = Some(bookmark.revision);
                    }
                    Delivery::Bookmark(_) => {}
                }
            }
        }
        for key in self.known.difference(&there) {
            self.remove(key);
        }
        self.known = there;
        end.into_iter().for_each(|revision| self.mirror.reached(revision));
        Ok(())
    }

    fn take(&mut self, change: &Change) {
        let key = change.entry.key();
        if change.kind == ChangeKind::Deleted {
            self.known.remove(key);
            return self.remove(key);
        }
        let (namespace, name) = self.rest.names(key);
        self.mirror.put(namespace, name, change.entry.value());
        self.known.insert(key.clone());
    }

    fn remove(&self, key: &Key) {
        let (namespace, name) = self.rest.names(key);
        self.mirror.remove(namespace, name);
    }
}
