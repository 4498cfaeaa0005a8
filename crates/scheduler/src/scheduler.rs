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
    cache::{Cache, PodInfo},
    framework::{Candidate, ClusterEvent, Decision, Failure, Sampling, schedule, unschedulable_message},
    metrics::Metrics,
    model::{Node, Pod},
    queue::{Retry, SchedulingQueue, Waiting},
};

/// Writes under way at once. More would only queue up in the API server.
const WRITES: usize = 64;

/// See the module.
pub struct Scheduler {
    /// Pods that name this scheduler are its own.
    name: String,
    cache: Mutex<Cache>,
    queue: SchedulingQueue,
    binder: Binder,
    metrics: Metrics,
    writes: Arc<Semaphore>,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new(name: &str, binder: Binder, metrics: Metrics) -> Self {
        Self {
            name: name.to_owned(),
            cache: Mutex::default(),
            queue: SchedulingQueue::default(),
            binder,
            metrics,
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    /// Keeps cache and queue in step with the API server.
    pub fn follow(self: &Arc<Self>, informers: &Informers) {
        let scheduler = Arc::clone(self);
        informers.of::<Node>().on_event(move |event| scheduler.node_event(event));
        let scheduler = Arc::clone(self);
        informers.of::<Pod>().on_event(move |event| scheduler.pod_event(event));
    }

    fn node_event(&self, event: &Event<Node>) {
        match event {
            Event::Deleted(node) => {
                self.cache.lock().remove_node(node.metadata.name.as_deref().unwrap_or_default());
            }
            Event::Updated { old, new }
                if old.spec == new.spec && old.status == new.status && old.metadata.labels == new.metadata.labels => {}
            Event::Added(node) | Event::Updated { new: node, .. } => {
                self.cache.lock().set_node(node);
                self.queue.wake(ClusterEvent::NodeChanged);
            }
        }
    }

    fn pod_event(&self, event: &Event<Pod>) {
        let key = ObjectKey::of(&**event.object());
        match event {
            Event::Added(pod) | Event::Updated { new: pod, .. } => self.pod_is(key, pod),
            Event::Deleted(pod) => {
                self.queue.remove(&key);
                self.cache.lock().remove_pod(pod.uid());
                self.queue.wake(ClusterEvent::PodGone);
            }
        }
        if let Event::Updated { old, new } = event
            && old.is_active()
            && !new.is_active()
        {
            self.queue.wake(ClusterEvent::PodGone);
        }
    }

    fn pod_is(&self, key: ObjectKey, pod: &Arc<Pod>) {
        match pod.spec.node_name.as_deref().filter(|node| !node.is_empty()) {
            Some(node) => {
                self.queue.remove(&key);
                self.cache.lock().set_pod(pod, node);
            }
            None if self.is_mine(pod) => {
                let info = Arc::new(PodInfo::of(pod));
                self.queue.set(key, Arc::clone(pod), info);
            }
            None => self.queue.remove(&key),
        }
    }

    fn is_mine(&self, pod: &Pod) -> bool {
        pod.spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == self.name
            && pod.is_active()
            && pod.metadata.deletion_timestamp.is_none()
            && pod.spec.scheduling_gates.is_empty()
    }

    /// Schedules pod after pod, for ever.
    pub async fn run(self: Arc<Self>, daemon: &Daemon) {
        let mut sampling = Sampling::default();
        loop {
            let (key, waiting) = self.queue.pop().await;
            // Waiting here, not in a growing heap of tasks, when the API server is slow.
            let Ok(permit) = Arc::clone(&self.writes).acquire_owned().await else { return };
            let started = Instant::now();
            let decision = self.decide(&waiting, sampling);
            let result = if decision.is_ok() { "scheduled" } else { "unschedulable" };
            self.metrics.attempt(result, started.elapsed().as_secs_f64());
            if let Ok(decision) = &decision {
                sampling.start = decision.next_start;
            }
            let scheduler = Arc::clone(&self);
            daemon.spawn(async move {
                match decision {
                    Ok(decision) => scheduler.bind(key, &waiting, &decision.node).await,
                    Err(failure) => scheduler.reject(key, &waiting, failure).await,
                }
                drop(permit);
            });
        }
    }

    fn decide(&self, waiting: &Waiting, sampling: Sampling) -> Result<Decision, Failure> {
        let mut cache = self.cache.lock();
        let candidate = Candidate { pod: &waiting.pod, info: &waiting.info };
        let decision = schedule(&cache, candidate, sampling, &mut |n| rand::random_range(0..n))?;
        cache.assume(waiting.pod.uid(), &decision.node, &waiting.info);
        Ok(decision)
    }

    async fn bind(&self, key: ObjectKey, waiting: &Waiting, node: &str) {
        match self.binder.bind(&waiting.pod, node).await {
            Ok(()) => tracing::debug!(pod = %key, node, "bound"),
            Err(BindError::Moot(why)) => {
                tracing::info!(pod = %key, node, "{why}");
                self.cache.lock().forget(waiting.pod.uid());
                self.queue.retry(&key, Retry::Failed);
            }
            Err(error @ BindError::Failed(_)) => {
                tracing::warn!(pod = %key, node, "{:#}", anyhow::Error::new(error));
                self.cache.lock().forget(waiting.pod.uid());
                self.queue.retry(&key, Retry::Failed);
                self.queue.wake(ClusterEvent::PodGone);
            }
        }
    }

    async fn reject(&self, key: ObjectKey, waiting: &Waiting, failure: Failure) {
        let message = unschedulable_message(&failure);
        tracing::info!(pod = %key, "unable to schedule: {message}");
        self.queue.retry(&key, Retry::Rejected(failure.rejected_by));
        if let Err(error) = self.binder.reject(&waiting.pod, &message).await {
            tracing::warn!(pod = %key, "writing why it is not scheduled: {error}");
        }
    }
}
