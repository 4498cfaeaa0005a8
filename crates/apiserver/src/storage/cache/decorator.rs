//! The cache as a [`Store`]: reads from memory, writes through. With this it passes the suite that the stores pass.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, stream};

use super::{At, Cache, Freshness, Shared, change::Recorded};
use crate::storage::{
    Event, Item, Key, ListQuery, Page, Prefix, ProgressRequest, Result, Revision, Store, StoreError, Ttl, Unreadable,
    Watch, WatchBatch,
};

impl Store for Cache {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        async move { Ok(Cache::get(self, key, Freshness::Consistent).await?.item().clone()) }.boxed()
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        let request = super::ListRequest {
            scope: query.prefix.clone(),
            selector: None,
            start_after: query.start_after.clone(),
            limit: query.limit,
            at: query.revision.map_or(At::Newest(Freshness::Consistent), At::Exactly),
        };
        async move {
            let listing = Cache::list(self, &request).await?;
            let items = listing.entries.iter().map(|entry| entry.item().clone()).collect();
            Ok(Page { items, revision: listing.revision, remaining: listing.remaining.unwrap_or(0) })
        }
        .boxed()
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>> {
        self.shared.store.create(key, value, ttl)
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.shared.store.update(key, expected, value, ttl)
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        self.shared.store.delete(key, expected)
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        async move {
            self.caught_up(Revision::ZERO).await?;
            self.shared.recall(after).await;
            self.shared.state.read().recorded_since(after)?;
            let request = ProgressRequest::default();
            let reader = Reader { shared: self.shared.clone(), prefix: prefix.clone(), position: after, request };
            let request = reader.request.clone();
            Ok(Watch::new(stream::unfold(Some(reader), Reader::step), request))
        }
        .boxed()
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.shared.store.current_revision()
    }

    fn unreadable(&self) -> &Unreadable {
        self.shared.store.unreadable()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.shared.store.compact(revision)
    }
}

/// A watch that reads the cache's history.
struct Reader {
    shared: Arc<Shared>,
    prefix: Prefix,
    position: Revision,
    request: ProgressRequest,
}

impl Reader {
    async fn step(reader: Option<Self>) -> Option<(Result<WatchBatch>, Option<Self>)> {
        let mut reader = reader?;
        match reader.next().await {
            Ok(batch) => Some((Ok(batch), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn next(&mut self) -> Result<WatchBatch> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            progress.mark_unchanged();
            let (recorded, revision) = {
                let state = self.shared.state.read();
                (state.recorded_since(self.position)?, state.revision())
            };
            let events: Vec<_> = recorded.iter().filter_map(|change| self.event(change)).collect();
            if !events.is_empty() || (revision > self.position && self.request.wanted() > self.position) {
                self.position = revision;
                return Ok(WatchBatch { events, revision });
            }
            self.shared.request_progress(self.request.wanted());
            tokio::select! {
                moved = progress.changed() => moved.map_err(|_| StoreError::unavailable("watch", "the cache is gone"))?,
                () = self.request.woken() => {}
            }
        }
    }

    fn event(&self, change: &Recorded) -> Option<Event> {
        let entry = change.entry().filter(|entry| self.prefix.contains(entry.key()))?;
        Some(Event {
            key: entry.key().clone(),
            revision: change.revision,
            kind: change.kind(),
            created: entry.item().created,
            value: change.current.as_ref().map(|entry| entry.value().clone()),
            previous: change.previous.as_ref().map(|entry| entry.item().clone()),
        })
    }
}
