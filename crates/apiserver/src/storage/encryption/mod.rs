//! Values that are encrypted where they are stored, and nowhere else: a decorator of a store, below the watch cache.

mod config;
mod provider;

use std::sync::Arc;

use bytes::Bytes;
use component::files::FromFiles;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

pub use config::EncryptionConfig;

use super::{
    Event, Item, Key, ListQuery, Page, Prefix, Result, Revision, Store, StoreError, Ttl, Unreadable, Watch, WatchBatch,
};

/// A folder and the resource that is in it.
pub struct Folder {
    /// Where its objects are.
    pub prefix: Prefix,
    /// The resource's group.
    pub group: String,
    /// The resource's plural.
    pub plural: String,
}

/// A store that encrypts what it writes.
pub struct Encrypted {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    config: FromFiles<EncryptionConfig>,
    folders: Vec<Folder>,
}

impl Encrypted {
    /// Encrypts what lies in these folders as the configuration says.
    pub fn new(store: Arc<dyn Store>, config: FromFiles<EncryptionConfig>, folders: Vec<Folder>) -> Self {
        Self { shared: Arc::new(Shared { store, config, folders }) }
    }
}

impl Shared {
    fn folder(&self, key: &Key) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.prefix.contains(key))
    }

    fn seal(&self, key: &Key, value: Bytes) -> Result<Bytes> {
        let Some(folder) = self.folder(key) else { return Ok(value) };
        match self.config.get().ciphers(&folder.group, &folder.plural) {
            None => Ok(value),
            Some(ciphers) => ciphers.seal(key, &value).map_err(|error| StoreError::unavailable("encrypt", error)),
        }
    }

    fn open(&self, key: &Key, stored: &Bytes) -> Result<provider::Opened> {
        let config = self.config.get();
        let ciphers = self.folder(key).and_then(|folder| config.ciphers(&folder.group, &folder.plural));
        match ciphers {
            None => Ok(provider::Opened { value: stored.clone(), stale: false }),
            Some(ciphers) => ciphers.open(key, stored).map_err(|error| StoreError::unreadable(key.as_str(), error)),
        }
    }

    fn item(&self, item: Item) -> Result<Item> {
        let value = self.open(&item.key, &item.value)?.value;
        Ok(Item { value, ..item })
    }

    /// An item that can be read; what cannot is passed over.
    fn readable(&self, item: Item) -> Option<Item> {
        let (key, revision) = (item.key.clone(), item.revision);
        let opened = self.item(item);
        opened.map_err(|error| self.store.unreadable().pass_over(key.as_str(), revision, &error)).ok()
    }

    fn event(&self, event: Event) -> Option<Event> {
        let previous = event.previous.and_then(|item| self.readable(item));
        let value = match event.value {
            None => None,
            Some(value) => match self.open(&event.key, &value) {
                Ok(opened) => Some(opened.value),
                Err(error) => {
                    self.store.unreadable().pass_over(event.key.as_str(), event.revision, &error);
                    return None;
                }
            },
        };
        Some(Event { value, previous, ..event })
    }

    fn batch(&self, batch: WatchBatch) -> WatchBatch {
        WatchBatch { events: batch.events.into_iter().filter_map(|event| self.event(event)).collect(), ..batch }
    }

    /// The value that another writer left is opened, too.
    fn refusal(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Conflict { expected, current } => match self.item(*current) {
                Ok(current) => StoreError::Conflict { expected, current: Box::new(current) },
                Err(unreadable) => unreadable,
            },
            other => other,
        }
    }
}

impl Store for Encrypted {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        async move { self.shared.item(self.shared.store.get(key).await?) }.boxed()
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        async move {
            let mut query = query.clone();
            loop {
                let page = self.shared.store.list(&query).await?;
                let last = page.items.last().map(|item| item.key.clone());
                let items: Vec<_> = page.items.into_iter().filter_map(|item| self.shared.readable(item)).collect();
                // Whoever goes on goes on behind the last item, so that there has to be one.
                if !items.is_empty() || page.remaining == 0 || last.is_none() {
                    return Ok(Page { items, ..page });
                }
                (query.start_after, query.revision) = (last, Some(page.revision));
            }
        }
        .boxed()
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>> {
        async move { self.shared.store.create(key, self.shared.seal(key, value)?, ttl).await }.boxed()
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        async move {
            let written = self.shared.store.update(key, expected, self.shared.seal(key, value)?, ttl).await;
            written.map_err(|error| self.shared.refusal(error))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        async move { self.shared.store.delete(key, expected).await.map_err(|error| self.shared.refusal(error)) }.boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        async move {
            let watch = self.shared.store.watch(prefix, after).await?;
            let progress = watch.progress();
            let opened = stream::unfold((watch, self.shared.clone()), |(mut watch, shared)| async move {
                let batch = watch.next().await?.map(|batch| shared.batch(batch));
                Some((batch, (watch, shared)))
            });
            Ok(Watch::new(opened.boxed(), progress))
        }
        .boxed()
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.shared.store.current_revision()
    }

    fn revision_at_hand(&self) -> Option<Revision> {
        self.shared.store.revision_at_hand()
    }

    fn needs_rewrite<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        async move {
            let config = self.shared.config.get();
            let folder = self.shared.folder(key);
            if folder.and_then(|folder| config.ciphers(&folder.group, &folder.plural)).is_none() {
                return Ok(false);
            }
            let stored = self.shared.store.get(key).await?;
            Ok(self.shared.open(key, &stored.value)?.stale)
        }
        .boxed()
    }

    fn size(&self) -> Option<u64> {
        self.shared.store.size()
    }

    fn unreadable(&self) -> &Unreadable {
        self.shared.store.unreadable()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.shared.store.compact(revision)
    }
}
