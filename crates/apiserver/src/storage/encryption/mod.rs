//! Values that are encrypted where they are stored, and nowhere else: a decorator of a store, below the watch cache.

mod config;
pub mod kms;
mod provider;

use std::sync::Arc;

use bytes::Bytes;
use component::files::FromFiles;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

pub use config::EncryptionConfig;
pub use provider::CipherError;

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
    config: Arc<FromFiles<EncryptionConfig>>,
    folders: Vec<Folder>,
}

impl Encrypted {
    /// Encrypts what lies in these folders as the configuration says.
    pub fn new(store: Arc<dyn Store>, config: Arc<FromFiles<EncryptionConfig>>, folders: Vec<Folder>) -> Self {
        Self { shared: Arc::new(Shared { store, config, folders }) }
    }
}

impl Shared {
    fn folder(&self, key: &Key) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.prefix.contains(key))
    }

    async fn seal(&self, key: &Key, value: Bytes) -> Result<Bytes> {
        let Some(folder) = self.folder(key) else { return Ok(value) };
        match self.config.get().ciphers(&folder.group, &folder.plural) {
            None => Ok(value),
            Some(ciphers) => ciphers.seal(key, &value).await.map_err(|error| StoreError::unavailable("encrypt", error)),
        }
    }

    async fn open(&self, key: &Key, stored: &Bytes) -> Result<provider::Opened> {
        let config = self.config.get();
        let ciphers = self.folder(key).and_then(|folder| config.ciphers(&folder.group, &folder.plural));
        let Some(ciphers) = ciphers else { return Ok(provider::Opened { value: stored.clone(), stale: false }) };
        ciphers.open(key, stored).await.map_err(|error| match error {
            // It is not the value's fault: nobody may take it for one that cannot be read.
            CipherError::Kms(_) => StoreError::unavailable("decrypt", error),
            error => StoreError::unreadable(key.as_str(), error),
        })
    }

    async fn item(&self, item: Item) -> Result<Item> {
        let value = self.open(&item.key, &item.value).await?.value;
        Ok(Item { value, ..item })
    }

    /// An item that can be read; what cannot is passed over.
    async fn readable(&self, item: Item) -> Result<Option<Item>> {
        let (key, revision) = (item.key.clone(), item.revision);
        let opened = self.item(item).await;
        self.passed_over(&key, revision, opened)
    }

    /// What cannot be read is passed over, other errors are not.
    fn passed_over<T>(&self, key: &Key, revision: Revision, opened: Result<T>) -> Result<Option<T>> {
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error @ StoreError::Unreadable { .. }) => {
                self.store.unreadable().pass_over(key.as_str(), revision, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn readable_items(&self, items: Vec<Item>) -> Result<Vec<Item>> {
        let mut opened = Vec::with_capacity(items.len());
        for item in items {
            opened.extend(self.readable(item).await?);
        }
        Ok(opened)
    }

    async fn event(&self, event: Event) -> Result<Option<Event>> {
        let previous = match event.previous {
            Some(item) => self.readable(item).await?,
            None => None,
        };
        let value = match &event.value {
            None => None,
            Some(value) => {
                let opened = self.open(&event.key, value).await;
                match self.passed_over(&event.key, event.revision, opened)? {
                    Some(opened) => Some(opened.value),
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Event { value, previous, ..event }))
    }

    async fn batch(&self, batch: WatchBatch) -> Result<WatchBatch> {
        let mut events = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            events.extend(self.event(event).await?);
        }
        Ok(WatchBatch { events, ..batch })
    }

    /// The value that another writer left is opened, too.
    async fn refusal(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Conflict { expected, current } => match self.item(*current).await {
                Ok(current) => StoreError::Conflict { expected, current: Box::new(current) },
                Err(unreadable) => unreadable,
            },
            other => other,
        }
    }
}

impl Store for Encrypted {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        async move { self.shared.item(self.shared.store.get(key).await?).await }.boxed()
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        async move {
            let mut query = query.clone();
            loop {
                let page = self.shared.store.list(&query).await?;
                let last = page.items.last().map(|item| item.key.clone());
                let items = self.shared.readable_items(page.items).await?;
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
        async move { self.shared.store.create(key, self.shared.seal(key, value).await?, ttl).await }.boxed()
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        async move {
            let written = self.shared.store.update(key, expected, self.shared.seal(key, value).await?, ttl).await;
            match written {
                Err(error) => Err(self.shared.refusal(error).await),
                written => written,
            }
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        async move {
            match self.shared.store.delete(key, expected).await {
                Err(error) => Err(self.shared.refusal(error).await),
                deleted => deleted,
            }
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        async move {
            let watch = self.shared.store.watch(prefix, after).await?;
            let progress = watch.progress();
            let opened = stream::unfold((watch, self.shared.clone()), |(mut watch, shared)| async move {
                let batch = match watch.next().await? {
                    Ok(batch) => shared.batch(batch).await,
                    Err(error) => Err(error),
                };
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
            Ok(self.shared.open(key, &stored.value).await?.stale)
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
