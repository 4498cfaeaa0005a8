//! Pods that wait: ready ones by priority, failed ones for their back-off, rejected ones for a
//! change in the cluster that may help.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use component::informer::ObjectKey;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    cache::PodInfo,
    framework::{ClusterEvent, PLUGINS},
    model::Pod,
};

/// Back-off after the first failed attempt; upstream's `podInitialBackoffSeconds`.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest; upstream's `podMaxBackoffSeconds`.
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// A rejected pod is tried again after this long even if nothing seems to have changed; upstream's
/// `podMaxInUnschedulablePodsDuration`.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A pod that waits, or is being scheduled.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The newest state.
    pub pod: Arc<Pod>,
    /// The sums made of it, once.
    pub info: Arc<PodInfo>,
    /// Attempts so far.
    pub attempts: u32,
    /// When it came; decides among equal priorities.
    sequence: u64,
}

/// Place in line: higher priority first, then the older.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rank {
    priority: i32,
    sequence: u64,
    key: ObjectKey,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .priority
            .cmp(&self.priority)
            .then(self.sequence.cmp(&other.sequence))
            .then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a pod waits.
#[derive(Clone, Debug)]
enum Place {
    /// In line.
    Active,
    /// Until this time.
    BackingOff(Instant),
    /// For one of these plugins' changes, at most until this time.
    Unschedulable { rejected_by: Vec<&'static str>, until: Instant },
    /// With the scheduling loop now. What has happened in the cluster since.
    InFlight(Vec<ClusterEvent>),
}

/// See the module.
#[derive(Debug, Default)]
pub struct SchedulingQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Every pod that is not placed, and where it waits.
    pods: HashMap<ObjectKey, (Waiting, Place)>,
    /// The line.
    active: BTreeSet<Rank>,
    /// Who comes back when: pods that back off, and rejected ones' longest wait.
    timers: BTreeSet<(Instant, ObjectKey)>,
    /// Numbers arrivals.
    sequence: u64,
}

/// How an attempt ended, for a pod that must be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No node took it: wait for a change that may help.
    Rejected(Vec<&'static str>),
    /// Something failed: only wait a little.
    Failed,
}

impl State {
    fn rank(waiting: &Waiting, key: &ObjectKey) -> Rank {
        let priority = waiting.pod.spec.priority.unwrap_or(0);
        Rank { priority, sequence: waiting.sequence, key: key.clone() }
    }

    /// Takes a pod out of the line and off the clock, wherever it waits.
    fn detach(&mut self, key: &ObjectKey) -> Option<(Waiting, Place)> {
        let (waiting, place) = self.pods.remove(key)?;
        match &place {
            Place::Active => {
                self.active.remove(&Self::rank(&waiting, key));
            }
            Place::BackingOff(until) | Place::Unschedulable { until, .. } => {
                self.timers.remove(&(*until, key.clone()));
            }
            Place::InFlight(_) => {}
        }
        Some((waiting, place))
    }

    fn attach(&mut self, key: ObjectKey, waiting: Waiting, place: Place) {
        match &place {
            Place::Active => {
                self.active.insert(Self::rank(&waiting, &key));
            }
            Place::BackingOff(until) | Place::Unschedulable { until, .. } => {
                self.timers.insert((*until, key.clone()));
            }
            Place::InFlight(_) => {}
        }
        self.pods.insert(key, (waiting, place));
    }

    fn set(&mut self, key: ObjectKey, pod: Arc<Pod>, info: Arc<PodInfo>) {
        let Some((mut waiting, place)) = self.detach(&key) else {
            self.sequence += 1;
            let waiting = Waiting { pod, info, attempts: 0, sequence: self.sequence };
            self.attach(key, waiting, Place::Active);
            return;
        };
        let changed = waiting.info != info
            || waiting.pod.spec.tolerations != pod.spec.tolerations
            || waiting.pod.spec.node_selector != pod.spec.node_selector;
        waiting.pod = pod;
        waiting.info = info;
        let place = match place {
            Place::Unschedulable { .. } if changed => Place::Active,
            Place::InFlight(mut events) if changed => {
                events.push(ClusterEvent::PodChanged);
                Place::InFlight(events)
            }
            place => place,
        };
        self.attach(key, waiting, place);
    }

    fn wake_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some((until, key)) = self.timers.first().cloned() {
            if until > now {
                return Some(until);
            }
            match self.detach(&key) {
                Some((waiting, _)) => self.attach(key, waiting, Place::Active),
                None => {
                    self.timers.remove(&(until, key));
                }
            }
        }
        None
    }

    fn pop(&mut self) -> Option<(ObjectKey, Waiting)> {
        let rank = self.active.pop_first()?;
        let (waiting, place) = self.pods.get_mut(&rank.key)?;
        waiting.attempts += 1;
        *place = Place::InFlight(Vec::new());
        Some((rank.key, waiting.clone()))
    }

    /// Brings back the rejected pods that `event` may help.
    fn wake(&mut self, event: ClusterEvent) {
        let mut woken = Vec::new();
        for (key, (waiting, place)) in &mut self.pods {
            match place {
                Place::InFlight(events) if !events.contains(&event) => events.push(event),
                Place::Unschedulable { rejected_by, .. } if helps(event, rejected_by) => {
                    woken.push((key.clone(), backoff(waiting.attempts)));
                }
                _ => {}
            }
        }
        let now = Instant::now();
        for (key, backoff) in woken {
            if let Some((waiting, place)) = self.detach(&key) {
                let back_at = match place {
                    Place::Unschedulable { until, .. } => until - LONGEST_WAIT + backoff,
                    _ => now,
                };
                let place = if back_at <= now { Place::Active } else { Place::BackingOff(back_at) };
                self.attach(key, waiting, place);
            }
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1))).min(LAST_BACKOFF)
}

fn helps(event: ClusterEvent, rejected_by: &[&'static str]) -> bool {
    let plugins = PLUGINS.iter().map(|row| row.plugin).filter(|plugin| rejected_by.contains(&plugin.name()));
    // A pod that nobody rejected found no node at all.
    rejected_by.is_empty() || plugins.into_iter().any(|plugin| plugin.requeue_on().contains(&event))
}

impl SchedulingQueue {
    /// An unplaced pod is new, or has changed.
    pub fn set(&self, key: ObjectKey, pod: Arc<Pod>, info: Arc<PodInfo>) {
        self.state.lock().set(key, pod, info);
        self.changed.notify_one();
    }

    /// A pod is placed, or gone.
    pub fn remove(&self, key: &ObjectKey) {
        self.state.lock().detach(key);
    }

    /// Something changed in the cluster.
    pub fn wake(&self, event: ClusterEvent) {
        self.state.lock().wake(event);
        self.changed.notify_one();
    }

    /// An attempt failed. Does nothing if the pod has been removed meanwhile.
    pub fn retry(&self, key: &ObjectKey, retry: Retry) {
        let mut state = self.state.lock();
        let Some((waiting, Place::InFlight(events))) = state.detach(key) else { return };
        let now = Instant::now();
        let place = match retry {
            Retry::Rejected(rejected_by) if !events.iter().any(|event| helps(*event, &rejected_by)) => {
                Place::Unschedulable { rejected_by, until: now + LONGEST_WAIT }
            }
            Retry::Rejected(_) | Retry::Failed => Place::BackingOff(now + backoff(waiting.attempts)),
        };
        state.attach(key.clone(), waiting, place);
        drop(state);
        self.changed.notify_one();
    }

    /// The next pod, when there is one. Stays in flight until [`SchedulingQueue::retry`] or
    /// [`SchedulingQueue::remove`]. Cancel-safe.
    pub async fn pop(&self) -> (ObjectKey, Waiting) {
        loop {
            let changed = self.changed.notified();
            let next = {
                let mut state = self.state.lock();
                let next = state.wake_due(Instant::now());
                if let Some(popped) = state.pop() {
                    return popped;
                }
                next
            };
            match next {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    /// Pods waiting: in line, backing off, rejected. Upstream's `scheduler_pending_pods`.
    #[must_use]
    pub fn pending(&self) -> (usize, usize, usize) {
        let state = self.state.lock();
        let mut counts = (0, 0, 0);
        for (_, place) in state.pods.values() {
            match place {
                Place::Active | Place::InFlight(_) => counts.0 += 1,
                Place::BackingOff(_) => counts.1 += 1,
                Place::Unschedulable { .. } => counts.2 += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(queue: &SchedulingQueue, name: &str, priority: i32) {
        let mut pod = Pod::default();
        pod.spec.priority = Some(priority);
        let info = Arc::new(PodInfo::of(&pod));
        queue.set(ObjectKey::new("ns", name), Arc::new(pod), info);
    }

    async fn pop(queue: &SchedulingQueue) -> String {
        queue.pop().await.0.name
    }

    async fn is_silent(queue: &SchedulingQueue, seconds: u64) -> bool {
        tokio::time::timeout(Duration::from_secs(seconds), queue.pop()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn priority_then_age() {
        let queue = SchedulingQueue::default();
        for (name, priority) in [("low", 0), ("high", 9), ("low2", 0)] {
            add(&queue, name, priority);
        }
        assert_eq!([pop(&queue).await, pop(&queue).await, pop(&queue).await], ["high", "low", "low2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_pod_waits_for_a_change_that_helps() {
        let queue = SchedulingQueue::default();
        add(&queue, "a", 0);
        pop(&queue).await;
        queue.retry(&ObjectKey::new("ns", "a"), Retry::Rejected(vec!["NodeName"]));
        queue.wake(ClusterEvent::PodGone);
        assert!(is_silent(&queue, 60).await);
        queue.wake(ClusterEvent::NodeChanged);
        assert_eq!(pop(&queue).await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_the_attempt_counts() {
        let queue = SchedulingQueue::default();
        add(&queue, "a", 0);
        pop(&queue).await;
        queue.wake(ClusterEvent::NodeChanged);
        queue.retry(&ObjectKey::new("ns", "a"), Retry::Rejected(vec!["NodeName"]));
        let start = Instant::now();
        assert_eq!(pop(&queue).await, "a");
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let queue = SchedulingQueue::default();
        add(&queue, "a", 0);
        pop(&queue).await;
        queue.retry(&ObjectKey::new("ns", "a"), Retry::Rejected(vec!["NodeName"]));
        let start = Instant::now();
        assert_eq!(pop(&queue).await, "a");
        assert_eq!(start.elapsed(), LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_pod_does_not_come_back() {
        let queue = SchedulingQueue::default();
        add(&queue, "a", 0);
        pop(&queue).await;
        queue.remove(&ObjectKey::new("ns", "a"));
        queue.retry(&ObjectKey::new("ns", "a"), Retry::Failed);
        assert!(is_silent(&queue, 1000).await);
    }
}
