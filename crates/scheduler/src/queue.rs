//! Pods that wait: ready ones by priority, failed ones for their back-off, rejected ones for a
//! change in the cluster that may help.

mod log;

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use component::informer::ObjectKey;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use self::log::Log;
use crate::{
    config::Backoff,
    framework::{Candidate, Change, Hint, Profiles, Rejected},
    model::Pod,
};

/// A rejected pod is tried again after this long even if nothing seems to have changed; upstream's
/// `podMaxInUnschedulablePodsDuration`.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A pod that waits, or is being scheduled.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The newest state.
    pub pod: Arc<Pod>,
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
    /// Until this time, or until nobody else is in line.
    BackingOff(Instant),
    /// Something failed: until this time.
    Paused(Instant),
    /// For a change that helps against those who rejected it, at most until this time.
    Unschedulable { rejected: Rejected, until: Instant },
    /// With the scheduling loop now.
    InFlight {
        /// Where what has happened in the cluster since begins in the log; `None` when that does not matter any more.
        since: Option<u64>,
        /// The pod as the loop saw it.
        seen: Arc<Pod>,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct SchedulingQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Who decides about pods, and is asked whether a change helps one.
    profiles: Arc<Profiles>,
    backoff: Backoff,
    /// Every pod that is not placed, and where it waits.
    pods: HashMap<ObjectKey, (Waiting, Place)>,
    /// The line.
    active: BTreeSet<Rank>,
    /// The rejected ones: most changes concern few of all that wait.
    unschedulable: BTreeSet<ObjectKey>,
    /// Who need not back off for longer when there is nothing else to do.
    backing_off: BTreeSet<(Instant, ObjectKey)>,
    /// Who comes back when: pods that back off, and rejected ones' longest wait.
    timers: BTreeSet<(Instant, ObjectKey)>,
    /// What has happened since the first of the pods that are with the loop was taken.
    log: Log,
    /// Numbers arrivals.
    sequence: u64,
}

/// How an attempt ended, for a pod that must be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No node took it: wait for a change that may help.
    Rejected(Rejected),
    /// Something failed: only wait a little.
    Failed,
}

impl State {
    fn rank(waiting: &Waiting, key: &ObjectKey) -> Rank {
        let priority = waiting.pod.spec.priority.unwrap_or(0);
        Rank { priority, sequence: waiting.sequence, key: key.clone() }
    }

    /// Takes a pod out of wherever it waits.
    fn detach(&mut self, key: &ObjectKey) -> Option<(Waiting, Place)> {
        let (waiting, place) = self.pods.remove(key)?;
        match &place {
            Place::Active => {
                self.active.remove(&Self::rank(&waiting, key));
            }
            Place::BackingOff(until) => {
                self.backing_off.remove(&(*until, key.clone()));
                self.timers.remove(&(*until, key.clone()));
            }
            Place::Paused(until) => {
                self.timers.remove(&(*until, key.clone()));
            }
            Place::Unschedulable { until, .. } => {
                self.unschedulable.remove(key);
                self.timers.remove(&(*until, key.clone()));
            }
            Place::InFlight { since, .. } => since.iter().for_each(|since| self.log.close(*since)),
        }
        Some((waiting, place))
    }

    fn attach(&mut self, key: ObjectKey, waiting: Waiting, place: Place) {
        match &place {
            Place::Active => {
                self.active.insert(Self::rank(&waiting, &key));
            }
            Place::BackingOff(until) => {
                self.backing_off.insert((*until, key.clone()));
                self.timers.insert((*until, key.clone()));
            }
            Place::Paused(until) => {
                self.timers.insert((*until, key.clone()));
            }
            Place::Unschedulable { until, .. } => {
                self.unschedulable.insert(key.clone());
                self.timers.insert((*until, key.clone()));
            }
            Place::InFlight { .. } => {}
        }
        self.pods.insert(key, (waiting, place));
    }

    fn set(&mut self, key: ObjectKey, pod: Arc<Pod>) {
        if let Some((waiting, Place::InFlight { .. })) = self.pods.get_mut(&key) {
            // The loop is told of it when it brings the pod back.
            waiting.pod = pod;
            return;
        }
        let Some((mut waiting, place)) = self.detach(&key) else {
            self.sequence += 1;
            let waiting = Waiting { pod, attempts: 0, sequence: self.sequence };
            self.attach(key, waiting, Place::Active);
            return;
        };
        let old = std::mem::replace(&mut waiting.pod, pod);
        let place = match place {
            Place::Unschedulable { rejected, .. }
                if has_lost_its_room(&old, &waiting.pod)
                    || self.hint(&waiting, &rejected, &own_change(&old, &waiting.pod)) == Hint::Queue =>
            {
                Place::Active
            }
            place => place,
        };
        self.attach(key, waiting, place);
    }

    fn hint(&self, waiting: &Waiting, rejected: &Rejected, change: &Change) -> Hint {
        let name = waiting.pod.scheduler_name();
        let candidate = Candidate { pod: &waiting.pod, info: &waiting.pod.info };
        // Nobody decides about a pod whose profile is gone.
        self.profiles.get(name).map_or(Hint::Skip, |profile| profile.hint(candidate, rejected, change))
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
        if self.active.is_empty()
            && let Some((_, key)) = self.backing_off.first().cloned()
            && let Some((waiting, _)) = self.detach(&key)
        {
            self.attach(key, waiting, Place::Active);
        }
        let rank = self.active.pop_first()?;
        let (waiting, place) = self.pods.get_mut(&rank.key)?;
        waiting.attempts += 1;
        *place = Place::InFlight { since: Some(self.log.open()), seen: Arc::clone(&waiting.pod) };
        Some((rank.key, waiting.clone()))
    }

    /// Brings back the rejected pods that a change may help; whether there were any.
    fn wake(&mut self, change: Change) -> bool {
        let helped = |key: &&ObjectKey| match self.pods.get(*key) {
            Some((waiting, Place::Unschedulable { rejected, .. })) => {
                self.hint(waiting, rejected, &change) == Hint::Queue
            }
            _ => false,
        };
        let woken: Vec<ObjectKey> = self.unschedulable.iter().filter(helped).cloned().collect();
        let now = Instant::now();
        for key in &woken {
            let Some((waiting, place)) = self.detach(key) else { continue };
            let back_at = match place {
                Place::Unschedulable { until, .. } => until - LONGEST_WAIT + self.backoff(waiting.attempts),
                _ => now,
            };
            let place = if back_at <= now { Place::Active } else { Place::BackingOff(back_at) };
            self.attach(key.clone(), waiting, place);
        }
        self.log.note(change);
        !woken.is_empty()
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let doubled = self.backoff.first.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
        doubled.min(self.backoff.last)
    }

    /// Where a pod waits after an attempt that began at `since`.
    fn place_after(&self, waiting: &Waiting, since: Option<u64>, seen: &Arc<Pod>, retry: Retry) -> Place {
        let now = Instant::now();
        let back_at = now + self.backoff(waiting.attempts);
        let (Retry::Rejected(rejected), Some(since)) = (retry, since) else { return Place::Paused(back_at) };
        let changed = !Arc::ptr_eq(seen, &waiting.pod);
        let own = changed.then(|| own_change(seen, &waiting.pod));
        let lost = has_lost_its_room(seen, &waiting.pod);
        let helps = |change: &Change| self.hint(waiting, &rejected, change) == Hint::Queue;
        if lost || self.log.since(since).any(helps) || own.is_some_and(|own| helps(&own)) {
            return Place::BackingOff(back_at);
        }
        Place::Unschedulable { rejected, until: now + LONGEST_WAIT }
    }
}

/// Whether room was kept for a pod and is no more, so that it must look for another place at once.
fn has_lost_its_room(old: &Pod, new: &Pod) -> bool {
    old.nominated_node().is_some() && new.nominated_node().is_none()
}

fn own_change(old: &Arc<Pod>, new: &Arc<Pod>) -> Change {
    Change::Own { old: Arc::clone(old), new: Arc::clone(new) }
}

impl SchedulingQueue {
    /// An empty queue of pods that these profiles decide about.
    #[must_use]
    pub fn new(profiles: Arc<Profiles>, backoff: Backoff) -> Self {
        let state = State { profiles, backoff, ..State::default() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// An unplaced pod is new, or has changed.
    pub fn set(&self, key: ObjectKey, pod: Arc<Pod>) {
        self.state.lock().set(key, pod);
        self.changed.notify_one();
    }

    /// A pod is placed, or gone.
    pub fn remove(&self, key: &ObjectKey) {
        self.state.lock().detach(key);
    }

    /// Whether a pod is not placed and not gone.
    #[must_use]
    pub fn holds(&self, key: &ObjectKey, uid: &str) -> bool {
        self.state.lock().pods.get(key).is_some_and(|(waiting, _)| waiting.pod.uid() == uid)
    }

    /// Something changed in the cluster.
    pub fn wake(&self, change: Change) {
        if self.state.lock().wake(change) {
            self.changed.notify_one();
        }
    }

    /// A pod has its place, and only what was set aside for it there is waited for. Should that come to nothing, it is
    /// tried again after a while, whatever has happened meanwhile, which need not be kept for it.
    pub fn settle(&self, key: &ObjectKey, attempt: &Waiting) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some((waiting, Place::InFlight { since, .. })) = state.pods.get_mut(key)
            && waiting.pod.uid() == attempt.pod.uid()
            && let Some(since) = since.take()
        {
            state.log.close(since);
        }
    }

    /// An attempt failed. Does nothing if the pod has been removed meanwhile, even if another has come in its place.
    pub fn retry(&self, key: &ObjectKey, attempt: &Waiting, retry: Retry) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some((waiting, Place::InFlight { since, seen })) = state.pods.get(key) else { return };
        if waiting.pod.uid() != attempt.pod.uid() {
            return;
        }
        let place = state.place_after(waiting, *since, seen, retry);
        if let Some((waiting, _)) = state.detach(key) {
            state.attach(key.clone(), waiting, place);
        }
        drop(guard);
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
                Place::Active | Place::InFlight { .. } => counts.0 += 1,
                Place::BackingOff(_) | Place::Paused(_) => counts.1 += 1,
                Place::Unschedulable { .. } => counts.2 += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests;
