//! A queue of keys to reconcile.
//!
//! A key that is queued twice is processed once; a key that is added while it is being processed
//! is processed again afterwards; a key that fails comes back later and later. Bounded by the
//! number of distinct keys. After client-go's `workqueue`.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque, hash_map},
    fmt::{Debug, Display},
    future::Future,
    hash::Hash,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    Daemon,
    metrics::{Observation, Observed, Told, tell_of},
};

/// client-go's `ItemExponentialFailureRateLimiter` starts here.
const FIRST_RETRY: Duration = Duration::from_millis(5);
/// Upstream's 1000 s is too long for people who watch; see `docs/architecture.md`.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What a reconcile that succeeded asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing until the next event.
    Done,
    /// Come back after this time even without an event.
    RequeueAfter(Duration),
}

/// See the module.
#[derive(Debug)]
pub struct WorkQueue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    /// Where the queue tells how long things take, once it has a name.
    told: OnceLock<Told>,
}

#[derive(Debug)]
struct State<K> {
    /// In order of arrival.
    ready: VecDeque<K>,
    /// Everything in `ready`, and what must return to it when done; since when.
    dirty: HashMap<K, Instant>,
    /// With a worker now; since when.
    processing: HashMap<K, Instant>,
    /// Consecutive failures of a key.
    failures: HashMap<K, u32>,
    /// Waiting for their time; the number keeps keys out of the ordering.
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The keys of `delayed`.
    delayed_keys: HashMap<u64, K>,
    /// When each delayed key is due at the earliest.
    due: HashMap<K, Instant>,
    /// Numbers `delayed`.
    sequence: u64,
    /// How many keys were queued, ever.
    adds: u64,
    /// How many of them after a delay.
    retries: u64,
}

impl<K: Clone + Eq + Hash> Default for WorkQueue<K> {
    fn default() -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashMap::new(),
            processing: HashMap::new(),
            failures: HashMap::new(),
            delayed: BinaryHeap::new(),
            delayed_keys: HashMap::new(),
            due: HashMap::new(),
            sequence: 0,
            adds: 0,
            retries: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), told: OnceLock::new() }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: K) {
        let hash_map::Entry::Vacant(place) = self.dirty.entry(key.clone()) else { return };
        place.insert(Instant::now());
        self.adds += 1;
        if !self.processing.contains_key(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if self.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        self.due.insert(key.clone(), at);
        self.sequence += 1;
        self.retries += 1;
        self.delayed.push(Reverse((at, self.sequence)));
        self.delayed_keys.insert(self.sequence, key);
    }

    /// Moves what is due to `ready`; returns when the next one is.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, sequence))) = self.delayed.peek().copied() {
            if at > now {
                return Some(at);
            }
            self.delayed.pop();
            if let Some(key) = self.delayed_keys.remove(&sequence)
                && self.due.get(&key) == Some(&at)
            {
                self.due.remove(&key);
                self.add(key);
            }
        }
        None
    }

    /// The next key, and how long it has waited.
    fn pop(&mut self) -> Option<(K, Duration)> {
        let (key, now) = (self.ready.pop_front()?, Instant::now());
        let added = self.dirty.remove(&key).unwrap_or(now);
        self.processing.insert(key.clone(), now);
        Some((key, now.duration_since(added)))
    }
}

/// After a delay, which may come from a client: beyond a century it does not matter.
fn from_now(delay: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    Instant::now() + delay.min(CENTURY)
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Queues a key.
    pub fn add(&self, key: K) {
        self.state.lock().add(key);
        self.changed.notify_one();
    }

    /// Queues a key after a delay; the earliest of several delays wins.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.state.lock().add_at(key, from_now(delay));
        self.changed.notify_one();
    }

    /// Queues a key that failed, after a delay that doubles with each failure.
    pub fn retry(&self, key: K) {
        let mut state = self.state.lock();
        let failures = state.failures.entry(key.clone()).or_insert(0);
        let delay = FIRST_RETRY.saturating_mul(1u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(LAST_RETRY);
        *failures = (*failures + 1).min(31);
        state.add_at(key, from_now(delay));
        drop(state);
        self.changed.notify_one();
    }

    /// Forgets a key's failures.
    pub fn forget(&self, key: &K) {
        self.state.lock().failures.remove(key);
    }

    /// How often in a row a key has failed.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Keys that are ready now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Whether no key is ready now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key, when there is one. Cancel-safe. Call [`WorkQueue::done`] afterwards.
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let next_due = {
                let mut state = self.state.lock();
                let next_due = state.promote(Instant::now());
                if let Some((key, waited)) = state.pop() {
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    if let Some(told) = self.told.get() {
                        told.waited(waited);
                    }
                    return key;
                }
                next_due
            };
            match next_due {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    /// The worker has finished with a key. If it was added meanwhile it is ready again.
    pub fn done(&self, key: &K) {
        let mut state = self.state.lock();
        if let (Some(since), Some(told)) = (state.processing.remove(key), self.told.get()) {
            told.worked(since.elapsed());
        }
        if state.dirty.contains_key(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.changed.notify_one();
        }
    }
}

impl<K: Send> Observed for WorkQueue<K> {
    fn observe(&self) -> Observation {
        let state = self.state.lock();
        let now = Instant::now();
        let running = || state.processing.values().map(|since| now.duration_since(*since));
        Observation {
            adds: state.adds,
            retries: state.retries,
            depth: state.ready.len() as u64,
            unfinished: running().sum(),
            longest: running().max().unwrap_or_default(),
        }
    }
}

impl<K> WorkQueue<K>
where
    K: Clone + Debug + Display + Eq + Hash + Send + Sync + 'static,
{
    /// Starts `workers` tasks that reconcile keys until shutdown, and tells of the queue by the controller's name. The error of a reconcile is
    /// logged here and nowhere else, and the key retried.
    pub fn run<F, Fut, E>(self: &Arc<Self>, daemon: &Daemon, controller: &'static str, workers: usize, reconcile: F)
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Outcome, E>> + Send,
        E: Into<anyhow::Error> + Send,
    {
        let observed: Arc<dyn Observed> = Arc::<Self>::clone(self);
        self.told.get_or_init(|| tell_of(controller, Arc::downgrade(&observed)));
        let reconcile = Arc::new(reconcile);
        for _ in 0..workers {
            let (queue, reconcile) = (Arc::clone(self), Arc::clone(&reconcile));
            daemon.spawn_until_shutdown(async move {
                loop {
                    let key = queue.next().await;
                    let result = reconcile(key.clone()).await.map_err(Into::into);
                    queue.settle(controller, key, result);
                }
            });
        }
    }

    fn settle(&self, controller: &'static str, key: K, result: Result<Outcome, anyhow::Error>) {
        match result {
            Ok(outcome) => {
                self.forget(&key);
                if let Outcome::RequeueAfter(delay) = outcome {
                    self.add_after(key.clone(), delay);
                }
            }
            Err(error) => {
                tracing::warn!(controller, %key, failures = self.failures(&key), "{error:#}");
                self.retry(key.clone());
            }
        }
        self.done(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_with_two_workers() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert!(queue.is_empty());
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_kept_and_the_earliest_wins() {
        let queue = WorkQueue::new();
        let start = Instant::now();
        queue.add_after("never", Duration::MAX);
        queue.add_after("late", Duration::from_secs(9));
        queue.add_after("late", Duration::from_secs(2));
        queue.add_after("early", Duration::from_secs(1));
        assert_eq!(queue.next().await, "early");
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!(queue.next().await, "late");
        assert_eq!(start.elapsed().as_secs(), 2);
        queue.done(&"late");
        let silent = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
        assert!(silent.is_err(), "the later delay was dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn queues_with_a_name_are_told_of() {
        let (queue, daemon) = (WorkQueue::new(), Daemon::new());
        let (done, mut results) = tokio::sync::mpsc::unbounded_channel();
        queue.add("early");
        queue.run(&daemon, "told-of", 1, move |key: &str| {
            let done = done.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let _ = done.send(key);
                if key == "bad" { Err(anyhow::anyhow!("bad")) } else { Ok(Outcome::Done) }
            }
        });
        assert_eq!(results.recv().await, Some("early"));
        queue.add("bad");
        assert_eq!((results.recv().await, results.recv().await), (Some("bad"), Some("bad")));
        queue.add("stays");
        let mut registry = prometheus_client::registry::Registry::default();
        crate::metrics::register(&mut registry);
        let told = crate::metrics::encode(&registry).unwrap();
        for line in [
            "workqueue_adds_total{name=\"told-of\"} 4.0",
            "workqueue_depth{name=\"told-of\"} 1.0",
            "workqueue_retries_total{name=\"told-of\"} 2.0",
            "workqueue_work_duration_seconds_count{name=\"told-of\"} 3",
            "workqueue_work_duration_seconds_bucket{le=\"1\",name=\"told-of\"} 0",
            "workqueue_queue_duration_seconds_count{name=\"told-of\"} 3",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}: {told}");
        }
        drop(queue);
        daemon.shutdown.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_are_forgotten() {
        let queue = WorkQueue::new();
        for expected_ms in [5, 10, 20, 40] {
            let start = Instant::now();
            queue.retry("a");
            assert_eq!(queue.next().await, "a");
            queue.done(&"a");
            assert_eq!(start.elapsed().as_millis(), expected_ms);
        }
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
    }
}
