//! Keeps one cache equal to the store: list, then watch, and again from the start when the history was lost.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, warn};

use super::{
    Shared,
    objects::{Objects, Value},
};
use crate::storage::{Event, Item, Key, ListQuery, Result, Revision, StoreError, WatchBatch};

/// How many objects are listed at a time while a cache fills.
const LIST_PAGE: Option<NonZeroUsize> = NonZeroUsize::new(500);

/// The first and the longest pause between attempts to reach the store.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = BACK_OFF.0;
    loop {
        let before = shared.state.read().revision();
        let error = follow(&shared).await;
        if shared.state.read().revision() > before {
            pause = BACK_OFF.0;
        }
        warn!(prefix = shared.prefix.as_str(), %error, "watch cache lost the store, filling it again");
        shared.failed(error);
        sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Fills the cache and follows the store until that fails.
async fn follow(shared: &Shared) -> StoreError {
    match fill_and_follow(shared).await {
        Ok(()) => StoreError::unavailable("watch", "the watch ended"),
        Err(error) => error,
    }
}

async fn fill_and_follow(shared: &Shared) -> Result<()> {
    let (objects, revision) = load(shared).await?;
    debug!(prefix = shared.prefix.as_str(), %revision, objects = objects.entries().len(), "watch cache filled");
    shared.counts.fills.add(1);
    shared.counts.filled.add(objects.entries().len());
    let sleepers = {
        let mut state = shared.state.write();
        let before = state.revision();
        state.reset(objects, revision);
        shared.audience.tell_all(before, revision)
    };
    shared.progressed(revision);
    sleepers.wake();
    let mut watch = shared.store.watch(&shared.prefix, revision).await?;
    shared.follow_progress(watch.progress());
    while let Some(batch) = watch.next().await {
        apply(shared, batch?);
    }
    Ok(())
}

/// Everything below the prefix as of one revision.
async fn load(shared: &Shared) -> Result<(Objects, Revision)> {
    let mut query = ListQuery { limit: LIST_PAGE, ..ListQuery::all(shared.prefix.clone()) };
    let mut objects = Objects::default();
    loop {
        let page = shared.store.list(&query).await?;
        query.revision = Some(page.revision);
        query.start_after = page.items.last().map(|item| item.key.clone());
        for item in page.items {
            objects.set(item.key.clone(), read(shared, item));
        }
        if page.remaining == 0 {
            objects.keep_readable(shared.state.read().objects());
            return Ok((objects, page.revision));
        }
    }
}

/// Takes over what a watch told.
fn apply(shared: &Shared, batch: WatchBatch) {
    shared.counts.received.add(batch.events.len());
    let prepared: Vec<_> = batch.events.into_iter().map(|event| prepare(shared, event)).collect();
    let sleepers = {
        let mut state = shared.state.write();
        let changes: Vec<_> =
            prepared.into_iter().filter_map(|(key, value, revision)| state.apply(key, value, revision)).collect();
        state.advance(batch.revision);
        shared.audience.tell(&changes)
    };
    shared.progressed(batch.revision);
    sleepers.wake();
}

fn prepare(shared: &Shared, event: Event) -> (Key, Value, Revision) {
    let Event { key, revision, created, value, .. } = event;
    let value = match value {
        None => Value::Gone,
        Some(value) => read(shared, Item { key: key.clone(), value, revision, created }),
    };
    (key, value, revision)
}

/// What the cache makes of an item.
fn read(shared: &Shared, item: Item) -> Value {
    match shared.readable(item) {
        Ok(entry) => Value::Object(Arc::new(entry)),
        Err(error) => Value::Unreadable(error),
    }
}
