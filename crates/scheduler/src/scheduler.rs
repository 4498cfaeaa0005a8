//! The loop: takes the next pod, decides, assumes, and lets a task of its own write.

mod rejection;

use std::{sync::Arc, time::Instant};

use component::{
    Daemon,
    informer::{Event, Informers, ObjectKey},
};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::rejection::Resolution;
use crate::{
    binder::{BindError, Binder},
    cache::{Cache, Snapshot},
    config::Backoff,
    directory::Directory,
    extenders::{Extenders, Undecided},
    framework::{Candidate, Change, Decision, Failure, Profiles, Reserved, Sampling, schedule},
    metrics::Metrics,
    model::{Node, Pod},
    queue::{Retry, SchedulingQueue, Waiting},
};

/// Writes under way at once. More would only queue up in the API server.
const WRITES: usize = 64;

/// See the module.
pub struct Scheduler {
    /// Pods that name one of these are this scheduler's own.
    profiles: Arc<Profiles>,
    cache: Mutex<Cache>,
    directory: Arc<Directory>,
    queue: SchedulingQueue,
    extenders: Extenders,
    binder: Binder,
    metrics: Metrics,
    writes: Arc<Semaphore>,
}

/// Where a pod goes, with what plugins have set aside there; or why it goes nowhere.
type Decided = Result<(Arc<str>, Reserved), Undecided>;

/// One of so many, at random.
fn below(count: usize) -> usize {
    rand::random_range(0..count)
}

/// What the loop carries from one decision to the next.
struct Desk {
    snapshot: Snapshot,
    sampling: Sampling,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new(profiles: Profiles, backoff: Backoff, extenders: Extenders, binder: Binder, metrics: Metrics) -> Self {
        let profiles = Arc::new(profiles);
        let directory = Arc::<Directory>::default();
        directory.storage().connect(binder.client().clone());
        directory.devices().connect(binder.client().clone());
        Self {
            queue: SchedulingQueue::new(Arc::clone(&profiles), backoff),
            profiles,
            cache: Mutex::default(),
            directory,
            extenders,
            binder,
            metrics,
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    /// Keeps cache, directory and queue in step with the API server.
    pub fn follow(self: &Arc<Self>, informers: &Informers) {
        self.directory.follow(informers);
        let scheduler = Arc::clone(self);
        self.directory.storage().follow(informers, move |change| scheduler.queue.wake(change));
        let scheduler = Arc::clone(self);
        self.directory.devices().follow(informers, move |change| scheduler.queue.wake(change));
        let scheduler = Arc::clone(self);
        informers.of::<Node>().on_event(move |event| scheduler.node_event(event));
        let scheduler = Arc::clone(self);
        informers.of::<Pod>().on_event(move |event| scheduler.pod_event(event));
    }

    fn node_event(&self, event: &Event<Node>) {
        let change = match event {
            Event::Updated { old, new }
                if old.spec == new.spec && old.status == new.status && old.metadata.labels == new.metadata.labels =>
            {
                return;
            }
            Event::Deleted(node) => {
                self.cache.lock().remove_node(node.metadata.name.as_deref().unwrap_or_default());
                Change::Node { old: Some(Arc::clone(node)), new: None }
            }
            Event::Added(node) => Change::Node { old: None, new: Some(Arc::clone(node)) },
            Event::Updated { old, new } => Change::Node { old: Some(Arc::clone(old)), new: Some(Arc::clone(new)) },
        };
        if let Change::Node { new: Some(node), .. } = &change {
            self.cache.lock().set_node(node);
        }
        self.queue.wake(change);
    }

    fn pod_event(&self, event: &Event<Pod>) {
        let key = ObjectKey::of(&**event.object());
        let (old, new) = match event {
            Event::Added(pod) => (None, Some(pod)),
            Event::Updated { old, new } => (Some(old), Some(new)),
            Event::Deleted(pod) => (Some(pod), None),
        };
        let differs = match new {
            Some(pod) => self.pod_is(key, old.map(|old| &**old), pod),
            None => {
                self.queue.remove(&key);
                self.give_up_room(event.object());
                self.cache.lock().remove_pod(event.object().uid())
            }
        };
        let placed = |pod: Option<&Arc<Pod>>| pod.filter(|pod| pod.is_active() && pod.node_name().is_some()).cloned();
        match (placed(old), placed(new)) {
            (None, None) => {}
            // Most news of running pods make no difference to others.
            (Some(_), Some(_)) if !differs => {}
            (old, new) => self.queue.wake(Change::Pod { old, new }),
        }
    }

    /// A pod is new or has changed; whether what counts of it on its node is different.
    fn pod_is(&self, key: ObjectKey, old: Option<&Pod>, pod: &Arc<Pod>) -> bool {
        match pod.node_name() {
            Some(node) => {
                self.queue.remove(&key);
                return self.cache.lock().set_pod(pod, node);
            }
            None if self.is_mine(pod) => {
                self.note_nomination(old, pod);
                self.queue.set(key, Arc::clone(pod));
            }
            None => {
                self.queue.remove(&key);
                self.give_up_room(pod);
            }
        }
        false
    }

    /// What the API tells of where room is being made for a pod that waits. While it has not told anything, what was
    /// decided here holds.
    fn note_nomination(&self, old: Option<&Pod>, pod: &Arc<Pod>) {
        if let Some(node) = pod.nominated_node() {
            self.cache.lock().nominate(&pod.info, node);
        } else if old.is_some_and(|old| old.nominated_node().is_some()) {
            self.give_up_room(pod);
        }
    }

    /// No room is kept for a pod any more: to other pods it is as if it had gone.
    fn give_up_room(&self, pod: &Arc<Pod>) {
        let withdrawn = self.cache.lock().withdraw(pod.uid());
        if withdrawn.is_some() {
            self.queue.wake(Change::Pod { old: Some(Arc::clone(pod)), new: None });
        }
    }

    fn is_mine(&self, pod: &Pod) -> bool {
        self.profiles.contains_key(pod.scheduler_name())
            && pod.is_active()
            && pod.metadata.deletion_timestamp.is_none()
            && pod.spec.scheduling_gates.is_empty()
    }

    /// Schedules pod after pod, for ever.
    pub async fn run(self: Arc<Self>, daemon: &Daemon) {
        let mut desk = Desk { snapshot: Snapshot::new(Arc::clone(&self.directory)), sampling: Sampling::default() };
        loop {
            let (key, waiting) = self.queue.pop().await;
            // Waiting here, not in a growing heap of tasks, when the API server is slow.
            let Ok(permit) = Arc::clone(&self.writes).acquire_owned().await else { return };
            let started = Instant::now();
            let decision = self.decide(&waiting, &mut desk).await;
            let result = match &decision {
                Ok(_) => "scheduled",
                Err(Undecided::Nowhere(_)) => "unschedulable",
                Err(Undecided::Failed(_)) => "error",
            };
            self.metrics.attempt(result, started.elapsed().as_secs_f64());
            let decision = decision.map_err(|why| match why {
                Undecided::Nowhere(failure) => self.resolve(&key, &waiting, failure, &desk.snapshot),
                Undecided::Failed(error) => Resolution::failed(&error),
            });
            let scheduler = Arc::clone(&self);
            daemon.spawn(async move {
                match decision {
                    Ok((node, reserved)) => scheduler.bind(key, &waiting, &node, reserved, permit).await,
                    Err(resolution) => {
                        scheduler.reject(key, &waiting, resolution).await;
                        drop(permit);
                    }
                }
            });
        }
    }

    /// Finds a node, counts the pod on it, and sets aside what plugins want there. The cache is locked only to look and
    /// to count.
    async fn decide(&self, waiting: &Waiting, desk: &mut Desk) -> Decided {
        self.cache.lock().refresh(&mut desk.snapshot);
        let snapshot = &desk.snapshot;
        let candidate = Candidate { pod: &waiting.pod, info: &waiting.pod.info };
        // The queue holds pods of known profiles only.
        let Some(profile) = self.profiles.get(waiting.pod.scheduler_name()) else {
            return Err(Failure::default().into());
        };
        let Decision { node, next_start } = if self.extenders.is_empty() {
            schedule(profile, snapshot, candidate, desk.sampling, &mut below)?
        } else {
            self.extenders.schedule(profile, snapshot, candidate, desk.sampling).await?
        };
        desk.sampling.start = next_start;
        self.assume(waiting, &node);
        let chosen = snapshot.node(&node);
        let reserved =
            chosen.map_or_else(|| Ok(Reserved::default()), |chosen| profile.reserve(candidate, chosen, snapshot));
        match reserved {
            Ok(reserved) => Ok((node, reserved)),
            Err((plugin, rejection)) => {
                self.cache.lock().forget(waiting.pod.uid());
                Err(Failure::everywhere(snapshot.node_count(), plugin, rejection).into())
            }
        }
    }

    fn assume(&self, waiting: &Waiting, node: &str) {
        let mut cache = self.cache.lock();
        let kept = cache.withdraw(waiting.pod.uid());
        cache.assume(&waiting.pod.info, node);
        drop(cache);
        if kept.is_some_and(|kept| *kept != *node) {
            self.queue.wake(Change::Pod { old: Some(Arc::clone(&waiting.pod)), new: None });
        }
    }

    async fn bind(
        &self,
        key: ObjectKey,
        waiting: &Waiting,
        node: &str,
        mut reserved: Reserved,
        permit: OwnedSemaphorePermit,
    ) {
        let mut permit = Some(permit);
        if !reserved.is_empty() {
            // That may take minutes, in which nobody else is to wait, and what happens to others does not matter.
            permit = None;
            self.queue.settle(&key, waiting);
            if let Err((plugin, rejection)) = reserved.prepare().await {
                reserved.release();
                self.forget(&key, waiting);
                let nodes = self.cache.lock().node_count();
                let failure = Failure::everywhere(nodes, plugin, rejection);
                return self.reject(key, waiting, Resolution::of(failure)).await;
            }
        }
        if permit.is_none() {
            permit = Arc::clone(&self.writes).acquire_owned().await.ok();
        }
        self.write_binding(key, waiting, node, reserved).await;
        drop(permit);
    }

    async fn write_binding(&self, key: ObjectKey, waiting: &Waiting, node: &str, reserved: Reserved) {
        let bound = match self.extenders.bind(&waiting.pod, node).await {
            Some(bound) => bound.map_err(|error| BindError::Failed(error.into())),
            None => self.binder.bind(&waiting.pod, node).await,
        };
        let Err(error) = bound else {
            tracing::debug!(pod = %key, node, "bound");
            return;
        };
        reserved.release();
        self.forget(&key, waiting);
        match error {
            BindError::Moot(why) => tracing::info!(pod = %key, node, "{why}"),
            error @ BindError::Failed(_) => tracing::warn!(pod = %key, node, "{:#}", anyhow::Error::new(error)),
        }
        self.queue.retry(&key, waiting, Retry::Failed);
    }

    /// A placement that was assumed did not come about: to other pods it is as if the pod had gone.
    fn forget(&self, key: &ObjectKey, waiting: &Waiting) {
        if self.cache.lock().forget(waiting.pod.uid()) {
            self.queue.wake(Change::Pod { old: Some(Arc::clone(&waiting.pod)), new: None });
        }
        if let Some(node) = waiting.pod.nominated_node() {
            self.keep_room(key, waiting, node);
        }
    }
}
