//! Keeps one cache equal to the store: list, then watch, and again from the start when the history was lost.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, warn};

use super::{Shared, entry::Entry};
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
    let (entries, revision) = load(shared).await?;
    debug!(prefix = shared.prefix.as_str(), %revision, objects = entries.len(), "watch cache filled");
    let sleepers = {
        let mut state = shared.state.write();
        let before = state.revision();
        state.reset(entries, revision);
        shared.audience.tell_all(before, revision)
    };
    shared.progressed(revision);
    sleepers.wake();
    let mut watch = shared.store.watch(&shared.prefix, revision).await?;
    shared.follow_progress(watch.progress());
    while let Some(batch) = watch.next().await {
        apply(shared, batch?)?;
    }
    Ok(())
}

/// Everything below the prefix as of one revision.
async fn load(shared: &Shared) -> Result<(BTreeMap<Key, Arc<Entry>>, Revision)> {
    let mut query = ListQuery { limit: LIST_PAGE, ..ListQuery::all(shared.prefix.clone()) };
    let mut entries = BTreeMap::new();
    loop {
        let page = shared.store.list(&query).await?;
        query.revision = Some(page.revision);
        query.start_after = page.items.last().map(|item| item.key.clone());
        for item in page.items {
            entries.insert(item.key.clone(), Arc::new(shared.extractor.entry(item)?));
        }
        if page.remaining == 0 {
            return Ok((entries, page.revision));
        }
    }
}

/// Takes over what a watch told.
fn apply(shared: &Shared, batch: WatchBatch) -> Result<()> {
    let prepared = batch.events.into_iter().map(|event| prepare(shared, event)).collect::<Result<Vec<_>>>()?;
    let sleepers = {
        let mut state = shared.state.write();
        let changes: Vec<_> =
            prepared.into_iter().filter_map(|(key, current, revision)| state.apply(key, current, revision)).collect();
        state.advance(batch.revision);
        shared.audience.tell(&changes)
    };
    shared.progressed(batch.revision);
    sleepers.wake();
    Ok(())
}

fn prepare(shared: &Shared, event: Event) -> Result<(Key, Option<Arc<Entry>>, Revision)> {
    let Event { key, revision, created, value, .. } = event;
    let entry = match value {
        Some(value) => {
            let item = Item { key: key.clone(), value, revision, created };
            Some(Arc::new(shared.extractor.entry(item)?))
        }
        None => None,
    };
    Ok((key, entry, revision))
}
