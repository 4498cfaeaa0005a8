//! The pod lifecycle event generator: says which pods changed in the runtime.
//!
//! The runtime's events only hurry it: what it reports is the difference between two looks at the runtime, so a
//! missed event costs time and never correctness. An event makes it look at one pod, a lost connection or the slow
//! safety interval at all of them, and both go through the same comparison.

mod snapshot;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::snapshot::Snapshot;
use crate::runtime::{EventKind, PodUid, Result, Runtime, RuntimeEvent, RuntimePod};

/// How often all pods are looked at even if nothing seems to happen.
pub const SAFETY_INTERVAL: Duration = Duration::from_secs(30);
/// Upstream's limit: a generator that has not looked for so long is not healthy.
pub const HEALTHY_WITHIN: Duration = Duration::from_secs(180);
/// How long to wait after a failed look; doubled up to [`LAST_BACK_OFF`].
const FIRST_BACK_OFF: Duration = Duration::from_millis(200);
const LAST_BACK_OFF: Duration = Duration::from_secs(5);

/// Something about a pod's containers or sandboxes is not as it was.
#[derive(Debug, Clone)]
pub struct PodChanged {
    /// Which pod.
    pub uid: PodUid,
    /// What is there now.
    pub look: Look,
}

/// What was seen of one pod.
#[derive(Debug, Clone)]
pub struct Look {
    /// When the runtime was asked.
    pub at: Instant,
    /// Its answer.
    pub pod: Arc<RuntimePod>,
}

/// The generator.
pub struct Pleg {
    runtime: Arc<dyn Runtime>,
    seen: Snapshot,
    looked: watch::Sender<Option<Instant>>,
}

/// What is to be looked at next.
#[derive(Debug, Default, PartialEq, Eq)]
enum Due {
    #[default]
    Nothing,
    Pods(BTreeSet<PodUid>),
    All,
}

impl Due {
    fn add(&mut self, event: RuntimeEvent) {
        if event.kind == EventKind::Created {
            // It does nothing yet, and whoever made it knows.
            return;
        }
        match (&mut *self, event.pod) {
            (Self::All, _) => {}
            (_, None) => *self = Self::All,
            (Self::Pods(pods), Some(uid)) => {
                pods.insert(uid);
            }
            (Self::Nothing, Some(uid)) => *self = Self::Pods(BTreeSet::from([uid])),
        }
    }
}

impl Pleg {
    /// A generator that has seen nothing yet: its first look reports every pod.
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, seen: Snapshot::default(), looked: watch::Sender::new(None) }
    }

    /// When it last looked successfully; compare with [`HEALTHY_WITHIN`].
    pub fn last_look(&self) -> watch::Receiver<Option<Instant>> {
        self.looked.subscribe()
    }

    /// Reports changes until nobody listens any more.
    pub async fn run(mut self, changes: mpsc::Sender<PodChanged>) {
        let mut events = self.runtime.events();
        let mut due = Due::All;
        let mut back_off = FIRST_BACK_OFF;
        loop {
            // Whatever has arrived meanwhile is answered by one look.
            while let Some(Some(event)) = events.next().now_or_never() {
                due.add(event);
            }
            let changed = match self.look(&due).await {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::warn!("cannot look at the pods: {error}");
                    due = Due::All;
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(LAST_BACK_OFF);
                    continue;
                }
            };
            back_off = FIRST_BACK_OFF;
            for change in changed {
                if changes.send(change).await.is_err() {
                    return;
                }
            }
            due = Due::Nothing;
            tokio::select! {
                Some(event) = events.next() => due.add(event),
                () = tokio::time::sleep(SAFETY_INTERVAL) => due = Due::All,
                () = changes.closed() => return,
            }
        }
    }

    async fn look(&mut self, due: &Due) -> Result<Vec<PodChanged>> {
        let changed = match due {
            Due::Nothing => Vec::new(),
            Due::All => self.look_at_all().await?,
            Due::Pods(uids) => {
                let mut changed = Vec::new();
                for uid in uids {
                    let at = Instant::now();
                    let pod = self.runtime.pod(uid).await?;
                    if let Some(uid) = self.seen.update(&pod) {
                        changed.push(PodChanged { uid, look: Look { at, pod: Arc::new(pod) } });
                    }
                }
                changed
            }
        };
        self.looked.send_replace(Some(Instant::now()));
        Ok(changed)
    }

    /// Of a pod that is gone nothing is there.
    async fn look_at_all(&mut self) -> Result<Vec<PodChanged>> {
        let at = Instant::now();
        let pods = self.runtime.list_pods().await?;
        let changed = self.seen.replace(&pods);
        let mut present: HashMap<PodUid, RuntimePod> =
            pods.into_iter().map(|pod| (pod.identity.uid.clone(), pod)).collect();
        let change = |uid: PodUid| {
            let gone = || RuntimePod::nothing_of(uid.clone());
            let pod = Arc::new(present.remove(&uid).unwrap_or_else(gone));
            PodChanged { uid, look: Look { at, pod } }
        };
        Ok(changed.into_iter().map(change).collect())
    }
}

#[cfg(test)]
mod tests;
