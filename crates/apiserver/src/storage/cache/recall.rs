//! What came before a cache was filled: the cache does not know it, the store does. Watches that go on where they were,
//! before the server was started again, need it; so it is read when the first of them comes, and only from there on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;
use tracing::{debug, info};

use super::{Shared, change::Recorded, entry::Entry, state::Limits};
use crate::storage::{Event, Item, Key, Result, Revision, StoreError};

/// A watch is told to begin anew when reading the store's history takes longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

impl Shared {
    /// Lets the cache's history begin after this revision, if the store's reaches back to it and there is room. Each
    /// part of the history is read once, however many watches need it.
    pub(super) async fn recall(&self, after: Revision) {
        if self.state.read().reaches_back_to(after).is_ok() {
            return;
        }
        let mut vain = self.recall.lock().await;
        let Some(up_to) = self.state.read().recallable().filter(|up_to| after < *up_to) else { return };
        if after < *vain {
            return;
        }
        let read = timeout(PATIENCE, self.earlier(after, up_to)).await;
        match read.unwrap_or_else(|elapsed| Err(StoreError::unavailable("read history", elapsed))) {
            Ok(earlier) => {
                if earlier.after > after {
                    *vain = earlier.after;
                }
                self.state.write().recall(earlier.changes, (earlier.after, up_to));
                debug!(prefix = self.prefix.as_str(), %after, %up_to, "watch cache remembers more");
            }
            Err(error) => {
                info!(prefix = self.prefix.as_str(), %error, "watch cache cannot remember more");
                // The store's history only gets shorter.
                *vain = after.next();
            }
        }
    }

    /// The last changes between two revisions that there is room for.
    async fn earlier(&self, after: Revision, up_to: Revision) -> Result<Earlier> {
        let mut watch = self.store.watch(&self.prefix, after).await?;
        watch.progress().send(up_to);
        let mut earlier = Earlier { after, limits: self.state.read().limits(), ..Earlier::default() };
        while let Some(batch) = watch.next().await {
            let batch = batch?;
            for event in batch.events.into_iter().filter(|event| event.revision <= up_to) {
                earlier.take(self, event);
            }
            if batch.revision >= up_to {
                return Ok(earlier);
            }
        }
        Err(StoreError::unavailable("read history", "the watch ended"))
    }
}

/// Changes being made of what the store tells.
#[derive(Default)]
struct Earlier {
    changes: VecDeque<Arc<Recorded>>,
    /// The size of what `changes` has replaced.
    bytes: usize,
    limits: Limits,
    /// After which revision `changes` has everything.
    after: Revision,
    /// What the keys held last, so that objects are shared between changes.
    last: HashMap<Key, Option<Arc<Entry>>>,
}

impl Earlier {
    fn take(&mut self, shared: &Shared, event: Event) {
        let Event { key, revision, created, value, previous, .. } = event;
        let previous = match self.last.get(&key) {
            Some(known) => known.clone(),
            None => previous.and_then(|item| shared.readable(item).ok()).map(Arc::new),
        };
        let current = match value {
            None => None,
            Some(value) => match shared.known_or_read(Item { key: key.clone(), value, revision, created }) {
                Ok(entry) => Some(entry),
                // As if it had not changed, as where changes are told.
                Err(_) => {
                    self.last.insert(key, previous);
                    return;
                }
            },
        };
        self.last.insert(key, current.clone());
        if current.is_some() || previous.is_some() {
            self.keep(Recorded { revision, current, previous });
        }
    }

    fn keep(&mut self, change: Recorded) {
        self.bytes += change.replaced();
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > self.limits.changes || self.bytes > self.limits.bytes {
            let Some(first) = self.changes.pop_front() else { return };
            self.bytes -= first.replaced();
            self.after = first.revision;
        }
    }
}

impl Shared {
    /// The cached form of a value; the one that is cached, when it is.
    fn known_or_read(&self, item: Item) -> Result<Arc<Entry>> {
        let cached = self.state.read().objects().get(&item.key).ok().cloned();
        match cached.filter(|entry| entry.revision() == item.revision) {
            Some(entry) => Ok(entry),
            None => self.readable(item).map(Arc::new),
        }
    }
}
