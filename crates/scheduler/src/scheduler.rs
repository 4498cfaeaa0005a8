//! The loop: takes the next pod, decides, assumes, and lets a task of its own write.

use std::{sync::Arc, time::Instant};

use component::{
    Daemon,
    informer::{Event, Informers, ObjectKey},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    binder::{BindError, Binder},
    cache::{Cache, PodInfo, Snapshot},
    config::Backoff,
    directory::Directory,
    framework::{Candidate, Change, Decision, Failure, Profiles, Reserved, Sampling, schedule, unschedulable_message},
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
    binder: Binder,
    metrics: Metrics,
    writes: Arc<Semaphore>,
}

/// What the loop carries from one decision to the next.
struct Desk {
    snapshot: Snapshot,
    sampling: Sampling,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new(profiles: Profiles, backoff: Backoff, binder: Binder, metrics: Metrics) -> Self {
        let profiles = Arc::new(profiles);
        Self {
            queue: SchedulingQueue::new(Arc::clone(&profiles), backoff),
            profiles,
            cache: Mutex::default(),
            directory: Arc::default(),
            binder,
            metrics,
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    /// Keeps cache, directory and queue in step with the API server.
    pub fn follow(self: &Arc<Self>, informers: &Informers) {
        self.directory.follow(informers);
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
            Some(pod) => self.pod_is(key, pod),
            None => {
                self.queue.remove(&key);
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
    fn pod_is(&self, key: ObjectKey, pod: &Arc<Pod>) -> bool {
        match pod.node_name() {
            Some(node) => {
                self.queue.remove(&key);
                return self.cache.lock().set_pod(pod, node);
            }
            None if self.is_mine(pod) => {
                let info = Arc::new(PodInfo::of(pod));
                self.queue.set(key, Arc::clone(pod), info);
            }
            None => self.queue.remove(&key),
        }
        false
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
            let decision = self.decide(&waiting, &mut desk);
            let result = if decision.is_ok() { "scheduled" } else { "unschedulable" };
            self.metrics.attempt(result, started.elapsed().as_secs_f64());
            let scheduler = Arc::clone(&self);
            daemon.spawn(async move {
                match decision {
                    Ok((node, reserved)) => scheduler.bind(key, &waiting, &node, reserved).await,
                    Err(failure) => scheduler.reject(key, &waiting, failure).await,
                }
                drop(permit);
            });
        }
    }

    /// Finds a node, counts the pod on it, and sets aside what plugins want there. The cache is locked only to look and
    /// to count.
    fn decide(&self, waiting: &Waiting, desk: &mut Desk) -> Result<(Arc<str>, Reserved), Failure> {
        self.cache.lock().refresh(&mut desk.snapshot);
        let snapshot = &desk.snapshot;
        let candidate = Candidate { pod: &waiting.pod, info: &waiting.info };
        // The queue holds pods of known profiles only.
        let Some(profile) = self.profiles.get(waiting.pod.scheduler_name()) else { return Err(Failure::default()) };
        let Decision { node, next_start } =
            schedule(profile, snapshot, candidate, desk.sampling, &mut |n| rand::random_range(0..n))?;
        desk.sampling.start = next_start;
        self.cache.lock().assume(waiting.pod.uid(), &node, &waiting.info);
        let chosen = snapshot.node(&node);
        let reserved = chosen.map_or_else(|| Ok(Reserved::default()), |chosen| profile.reserve(candidate, chosen));
        match reserved {
            Ok(reserved) => Ok((node, reserved)),
            Err((plugin, rejection)) => {
                self.cache.lock().forget(waiting.pod.uid());
                Err(Failure::everywhere(snapshot.node_count(), plugin, rejection))
            }
        }
    }

    async fn bind(&self, key: ObjectKey, waiting: &Waiting, node: &str, mut reserved: Reserved) {
        if let Err((plugin, rejection)) = reserved.prepare().await {
            reserved.release();
            self.forget(waiting);
            let nodes = self.cache.lock().node_count();
            return self.reject(key, waiting, Failure::everywhere(nodes, plugin, rejection)).await;
        }
        let Err(error) = self.binder.bind(&waiting.pod, node).await else {
            tracing::debug!(pod = %key, node, "bound");
            return;
        };
        reserved.release();
        self.forget(waiting);
        match error {
            BindError::Moot(why) => tracing::info!(pod = %key, node, "{why}"),
            error @ BindError::Failed(_) => tracing::warn!(pod = %key, node, "{:#}", anyhow::Error::new(error)),
        }
        self.queue.retry(&key, waiting, Retry::Failed);
    }

    /// A placement that was assumed did not come about: to other pods it is as if the pod had gone.
    fn forget(&self, waiting: &Waiting) {
        if self.cache.lock().forget(waiting.pod.uid()) {
            self.queue.wake(Change::Pod { old: Some(Arc::clone(&waiting.pod)), new: None });
        }
    }

    async fn reject(&self, key: ObjectKey, waiting: &Waiting, failure: Failure) {
        let message = unschedulable_message(&failure);
        tracing::info!(pod = %key, "unable to schedule: {message}");
        self.queue.retry(&key, waiting, Retry::Rejected(failure.remembered()));
        if let Err(error) = self.binder.reject(&waiting.pod, &message).await {
            tracing::warn!(pod = %key, "writing why it is not scheduled: {error}");
        }
    }
}
