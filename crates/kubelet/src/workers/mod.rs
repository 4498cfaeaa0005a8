//! One task per pod: [`Workers`] hands each the newest desired state through a mailbox of one place.

mod container_config;
pub mod context;
mod hooks;
mod kill;
pub mod log_links;
mod messages;
mod prepare;
mod resize;
pub mod runtime_class;
mod sandbox;
mod security;
mod start;
mod sync;
mod terminate;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;

use api_types::core::Pod;
use component::informer::ObjectKey;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::pleg::Look;
use crate::pod::PodExt;
use crate::runtime::PodUid;
pub use context::{Context, NodeFacts};

/// Annotation of a container in the runtime: the `imageID` that its status shows.
pub const IMAGE_REFERENCE: &str = "ferrokube.io/image-reference";

/// Label of every sandbox and container: the node whose kubelet made it. Several kubelets may share one Docker.
pub const NODE_LABEL: &str = "ferrokube.io/node";

/// What should become of a pod.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The newest state of the pod.
    pub pod: Arc<Pod>,
    /// What to do with it.
    pub intent: Intent,
    /// What was last seen of it, if somebody has looked.
    pub look: Option<Look>,
}

impl Desired {
    /// Nobody has looked yet.
    #[must_use]
    pub const fn new(pod: Arc<Pod>, intent: Intent) -> Self {
        Self { pod, intent, look: None }
    }
}

/// What should become of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It should run.
    Run,
    /// It should stop within so many seconds; the API still has it.
    Terminate {
        /// Seconds of grace.
        grace: u32,
    },
    /// Its source has it no more: stop it within so many seconds, and leave nothing of it.
    Remove {
        /// Seconds of grace.
        grace: u32,
    },
}

impl Intent {
    /// The grace period of a pod that should stop.
    #[must_use]
    pub const fn grace(self) -> Option<u32> {
        match self {
            Self::Run => None,
            Self::Terminate { grace } | Self::Remove { grace } => Some(grace),
        }
    }
}

/// Wakes one pod's worker.
#[derive(Clone, Debug)]
pub struct Nudge(watch::Sender<Desired>);

impl Nudge {
    /// Something about the pod has changed: look again.
    pub fn now(&self) {
        self.0.send_modify(|_| {});
    }
}

/// All workers.
#[derive(Clone)]
pub struct Workers {
    context: Arc<Context>,
    mailboxes: Arc<Mutex<HashMap<PodUid, watch::Sender<Desired>>>>,
    /// Rung when a worker has ended.
    ended: Arc<Notify>,
}

impl Workers {
    /// No workers yet.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, mailboxes: Arc::default(), ended: Arc::default() }
    }

    /// Tells the pod's worker, which is started if there is none. A pod that has begun to stop never runs again.
    pub fn tell(&self, desired: Desired) {
        let uid = desired.pod.uid();
        let mut mailboxes = self.mailboxes.lock();
        if let Some(mailbox) = mailboxes.get(&uid) {
            mailbox.send_modify(|present| merge(present, desired));
            return;
        }
        let (mailbox, receiver) = watch::channel(desired);
        let worker = worker::Worker::new(self.clone(), uid.clone(), Nudge(mailbox.clone()), receiver);
        mailboxes.insert(uid, mailbox);
        self.context.daemon.spawn_until_shutdown(Box::pin(worker.run()));
    }

    /// Wakes the pod's worker, if there is one.
    pub fn nudge(&self, uid: &PodUid) {
        if let Some(mailbox) = self.mailboxes.lock().get(uid) {
            mailbox.send_modify(|_| {});
        }
    }

    /// Wakes the pod's worker, and shows it what was seen.
    pub fn show(&self, uid: &PodUid, look: Look) {
        if let Some(mailbox) = self.mailboxes.lock().get(uid) {
            mailbox.send_modify(|present| present.look = Some(look));
        }
    }

    /// Wakes the workers of pods whose resize waits for room.
    fn nudge_deferred(&self) {
        for uid in self.context.allocations.deferred() {
            self.nudge(&uid);
        }
    }

    /// Wakes all.
    pub fn nudge_all(&self) {
        for mailbox in self.mailboxes.lock().values() {
            mailbox.send_modify(|_| {});
        }
    }

    /// Pods that have a worker.
    #[must_use]
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.mailboxes.lock().values().map(|mailbox| Arc::clone(&mailbox.borrow().pod)).collect()
    }

    /// The pod with this uid, if it has a worker.
    #[must_use]
    pub fn pod(&self, uid: &PodUid) -> Option<Arc<Pod>> {
        self.mailboxes.lock().get(uid).map(|mailbox| Arc::clone(&mailbox.borrow().pod))
    }

    /// The static pod of this name, if one should run.
    #[must_use]
    pub fn static_pod(&self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let mailboxes = self.mailboxes.lock();
        let mut present = mailboxes.values().map(|mailbox| mailbox.borrow().clone());
        let found = present
            .find(|desired| desired.intent == Intent::Run && desired.pod.is_static() && desired.pod.key() == *key);
        found.map(|desired| desired.pod)
    }

    /// Whether some pod of this name has a worker, whatever its uid.
    #[must_use]
    pub fn has_name(&self, key: &ObjectKey) -> bool {
        self.mailboxes.lock().values().any(|mailbox| mailbox.borrow().pod.key() == *key)
    }

    /// Waits until some worker has ended since the last call.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Everything that the workers share.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Takes a worker that has finished off the list, unless it was told something new meanwhile.
    fn retire(&self, uid: &PodUid, receiver: &watch::Receiver<Desired>) -> Retired {
        let mut mailboxes = self.mailboxes.lock();
        // A sender lives in the map, so that this cannot fail.
        if receiver.has_changed().unwrap_or(false) {
            return Retired::NotYet;
        }
        mailboxes.remove(uid);
        self.ended.notify_one();
        Retired::Done
    }
}

/// Whether a worker may end.
#[derive(Debug, PartialEq, Eq)]
enum Retired {
    Done,
    NotYet,
}

/// A pod only goes from running to stopping to removed, and its grace period only shrinks.
fn merge(present: &mut Desired, new: Desired) {
    let grace = |new: u32| present.intent.grace().map_or(new, |old| old.min(new));
    let intent = match (present.intent, new.intent) {
        (Intent::Run, new) => new,
        (old, Intent::Run) => old,
        (_, Intent::Remove { grace: new }) => Intent::Remove { grace: grace(new) },
        (Intent::Remove { grace: old }, Intent::Terminate { grace: new }) => Intent::Remove { grace: old.min(new) },
        (Intent::Terminate { .. }, Intent::Terminate { grace: new }) => Intent::Terminate { grace: grace(new) },
    };
    *present = Desired { pod: new.pod, intent, look: new.look.or_else(|| present.look.take()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_never_comes_back_to_life() {
        use Intent::{Remove, Run, Terminate};
        let cases = [
            (Run, Run, Run),
            (Run, Terminate { grace: 30 }, Terminate { grace: 30 }),
            (Terminate { grace: 30 }, Run, Terminate { grace: 30 }),
            (Terminate { grace: 30 }, Terminate { grace: 5 }, Terminate { grace: 5 }),
            (Terminate { grace: 5 }, Terminate { grace: 30 }, Terminate { grace: 5 }),
            (Terminate { grace: 5 }, Remove { grace: 30 }, Remove { grace: 5 }),
            (Remove { grace: 9 }, Terminate { grace: 1 }, Remove { grace: 1 }),
        ];
        for (old, new, expected) in cases {
            let desired = |intent| Desired::new(Arc::default(), intent);
            let mut present = desired(old);
            merge(&mut present, desired(new));
            assert_eq!(present.intent, expected, "{old:?} then {new:?}");
        }
    }
}
