//! What the store does by itself: it ends keys whose time to live is over, and forgets old history.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::warn;

use super::{
    apply::Command,
    writer::{Request, now},
};
use crate::storage::{Result, Revision, StoreError};

/// The clock may be set while waiting for a deadline, so it is read again after at most so long.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// So long to wait after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Sends a command to the writer and waits for its outcome.
pub async fn ask(requests: &mpsc::Sender<Request>, command: Command) -> Result<Revision> {
    let (reply, outcome) = oneshot::channel();
    let stopped = |_| StoreError::unavailable("write", "the writer has stopped");
    requests
        .send(Request { command, reply })
        .await
        .map_err(|_| StoreError::unavailable("write", "the store is closed"))?;
    outcome.await.map_err(stopped)?
}

/// Ends keys in time.
pub async fn expire(requests: mpsc::Sender<Request>, mut next_deadline: watch::Receiver<Option<u64>>) {
    loop {
        let deadline = *next_deadline.borrow_and_update();
        let wait = deadline.map_or(LONGEST_WAIT, |deadline| Duration::from_millis(deadline.saturating_sub(now())));
        tokio::select! {
            changed = next_deadline.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            () = sleep(wait.min(LONGEST_WAIT)) => {}
        }
        if deadline.is_none_or(|deadline| deadline > now()) {
            continue;
        }
        if let Err(error) = ask(&requests, Command::Expire).await {
            warn!(%error, "cannot end expired keys");
            sleep(RETRY).await;
        }
    }
}

/// Forgets what is older than `window`, and does so once in that time: the history reaches back one to two windows.
///
pub async fn compact(requests: mpsc::Sender<Request>, window: Duration, revision: impl Fn() -> Revision) {
    if window.is_zero() {
        return;
    }
    let mut ticks = interval(window);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut before = revision();
    loop {
        ticks.tick().await;
        if let Err(error) = compact_to(&requests, before).await {
            warn!(%error, "cannot compact the history");
        }
        before = revision();
    }
}

/// Compacts and removes what that makes unreachable.
pub async fn compact_to(requests: &mpsc::Sender<Request>, revision: Revision) -> Result<()> {
    ask(requests, Command::Compact(revision)).await?;
    while ask(requests, Command::Sweep).await? < revision {}
    Ok(())
}
