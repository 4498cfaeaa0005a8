//! Calls of the store, whichever it is: a decorator, below everything else.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::DURATIONS;
use crate::storage::{
    Item, Key, ListQuery, Page, Prefix, Result, Revision, Store, StoreError, Ttl, Unreadable, Watch, encryption::Folder,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
    group: String,
    resource: String,
}

/// A store whose calls are counted under the names that upstream has for etcd's.
pub struct StoreCalls {
    store: Arc<dyn Store>,
    /// Where which resource is; what lies elsewhere has no name.
    folders: Vec<Folder>,
    times: Family<Operation, Histogram, fn() -> Histogram>,
    counts: Family<Operation, Counter>,
    errors: Family<Operation, Counter>,
}

impl StoreCalls {
    /// Counts the calls of a store.
    pub fn new(store: Arc<dyn Store>, folders: Vec<Folder>, registry: &mut Registry) -> Self {
        let calls = Self {
            store,
            folders,
            times: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            counts: Family::default(),
            errors: Family::default(),
        };
        registry.register("etcd_request_duration_seconds", "How long calls of the store take", calls.times.clone());
        registry.register("etcd_requests", "Calls of the store", calls.counts.clone());
        registry.register("etcd_request_errors", "Calls of the store that failed", calls.errors.clone());
        calls
    }

    /// Counts one call. What the store says about a key is no failure of its.
    async fn count<T>(&self, operation: &'static str, path: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let outcome = call.await;
        let folder = self.folders.iter().find(|folder| path.starts_with(folder.prefix.as_str()));
        let (group, resource) = folder.map(|folder| (folder.group.clone(), folder.plural.clone())).unwrap_or_default();
        let labels = Operation { operation, group, resource };
        self.times.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
        self.counts.get_or_create(&labels).inc();
        if outcome.as_ref().is_err_and(StoreError::is_fault) {
            self.errors.get_or_create(&labels).inc();
        }
        outcome
    }
}

impl Store for StoreCalls {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        self.count("get", key.as_str(), self.store.get(key)).boxed()
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        self.count("list", query.prefix.as_str(), self.store.list(query)).boxed()
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>> {
        self.count("create", key.as_str(), self.store.create(key, value, ttl)).boxed()
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.count("update", key.as_str(), self.store.update(key, expected, value, ttl)).boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        self.count("delete", key.as_str(), self.store.delete(key, expected)).boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        self.store.watch(prefix, after)
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>> {
        match self.revision_at_hand() {
            // Nobody is called.
            Some(revision) => std::future::ready(Ok(revision)).boxed(),
            None => self.count("getCurrentRevision", "", self.store.current_revision()).boxed(),
        }
    }

    fn revision_at_hand(&self) -> Option<Revision> {
        self.store.revision_at_hand()
    }

    fn needs_rewrite<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        self.store.needs_rewrite(key)
    }

    fn size(&self) -> Option<u64> {
        self.store.size()
    }

    fn unreadable(&self) -> &Unreadable {
        self.store.unreadable()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.count("compact", "", self.store.compact(revision)).boxed()
    }
}
