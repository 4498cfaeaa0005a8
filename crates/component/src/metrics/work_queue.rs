//! Work queues that have a name.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        MetricType,
        counter::ConstCounter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// How long keys wait, and how long they are worked on.
static TIMES: LazyLock<[Family<Named, Histogram>; 2]> = LazyLock::new(|| [(); 2].map(|()| histograms()));

/// The queues that are told of, as long as they are there.
static QUEUES: Mutex<Vec<(&'static str, Weak<dyn Observed>)>> = Mutex::new(Vec::new());

/// Upstream's buckets: from 10 ns to 10 s.
fn histograms() -> Family<Named, Histogram> {
    Family::new_with_constructor(|| Histogram::new(exponential_buckets(1e-8, 10.0, 10)))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

/// What a queue is like just now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observation {
    /// Keys that were queued, since it began.
    pub adds: u64,
    /// Keys that were queued because they had failed, or were to come back, since it began.
    pub retries: u64,
    /// Keys that are ready.
    pub depth: u64,
    /// How long all keys that are worked on have been so, together.
    pub unfinished: Duration,
    /// How long the one has been that has been so for longest.
    pub longest: Duration,
}

/// A queue that can be looked at.
pub(crate) trait Observed: Send + Sync {
    /// What it is like.
    fn observe(&self) -> Observation;
}

/// Where a queue tells how long things take.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    waiting: Histogram,
    working: Histogram,
}

impl Told {
    /// A key has waited so long for a worker.
    pub(crate) fn waited(&self, time: Duration) {
        self.waiting.observe(time.as_secs_f64());
    }

    /// A key was worked on for so long.
    pub(crate) fn worked(&self, time: Duration) {
        self.working.observe(time.as_secs_f64());
    }
}

/// From now on the queue is told of under this name; queues of the same name are told of as one.
pub(crate) fn tell_of(name: &'static str, queue: Weak<dyn Observed>) -> Told {
    let mut queues = QUEUES.lock();
    queues.retain(|(_, queue)| queue.strong_count() > 0);
    queues.push((name, queue));
    let [waiting, working] = &*TIMES;
    Told {
        waiting: waiting.get_or_create(&Named { name }).clone(),
        working: working.get_or_create(&Named { name }).clone(),
    }
}

pub(super) fn register(registry: &mut Registry) {
    let [waiting, working] = &*TIMES;
    registry.register("workqueue_queue_duration_seconds", "How long keys wait for a worker", waiting.clone());
    registry.register("workqueue_work_duration_seconds", "How long keys are worked on", working.clone());
    registry.register_collector(Box::new(Queues));
}

#[derive(Debug)]
struct Queues;

/// A number about each queue: its name, what it is, and how it is told.
type Column = (&'static str, &'static str, MetricType, fn(&Observation) -> f64);

const COLUMNS: [Column; 5] = [
    ("workqueue_adds", "Keys that were queued", MetricType::Counter, |seen| seen.adds as f64),
    ("workqueue_retries", "Keys that were queued again", MetricType::Counter, |seen| seen.retries as f64),
    ("workqueue_depth", "Keys that are ready", MetricType::Gauge, |seen| seen.depth as f64),
    (
        "workqueue_unfinished_work_seconds",
        "How long the keys that are worked on have been so",
        MetricType::Gauge,
        |seen| seen.unfinished.as_secs_f64(),
    ),
    (
        "workqueue_longest_running_processor_seconds",
        "How long the key has been worked on that has been for longest",
        MetricType::Gauge,
        |seen| seen.longest.as_secs_f64(),
    ),
];

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let queues: Vec<(&str, Arc<dyn Observed>)> =
            QUEUES.lock().iter().filter_map(|(name, queue)| Some((*name, queue.upgrade()?))).collect();
        let mut seen = BTreeMap::<&str, Observation>::new();
        for (name, queue) in queues {
            let (all, one) = (seen.entry(name).or_default(), queue.observe());
            all.adds += one.adds;
            all.retries += one.retries;
            all.depth += one.depth;
            all.unfinished += one.unfinished;
            all.longest = all.longest.max(one.longest);
        }
        for (column, help, kind, value) in COLUMNS {
            let mut family = encoder.encode_descriptor(column, help, None, kind)?;
            for (name, seen) in &seen {
                let (labels, value) = ([("name", *name)], value(seen));
                let encoder = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value).encode(encoder)?,
                    _ => ConstGauge::new(value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}
