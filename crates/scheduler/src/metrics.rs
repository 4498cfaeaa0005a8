//! Upstream's metric names.

use component::serve::health::Health;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
};

/// How an attempt ended: `scheduled`, `unschedulable`, `error`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    result: &'static str,
}

/// Counters of the scheduling loop.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: Family<ResultLabel, Counter>,
    duration: Histogram,
    preemptions: Counter,
    victims: Histogram,
}

impl Metrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(health: &Health) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            duration: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
            preemptions: Counter::default(),
            victims: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
        };
        health.metrics(|registry| {
            registry.register(
                "scheduler_schedule_attempts",
                "Attempts to schedule pods, by the result",
                metrics.attempts.clone(),
            );
            registry.register(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Time to decide where a pod goes",
                metrics.duration.clone(),
            );
            registry.register(
                "scheduler_preemption_attempts",
                "Pods that no node took and for which others might have gone",
                metrics.preemptions.clone(),
            );
            let help = "Pods that went for a more important one";
            registry.register("scheduler_preemption_victims", help, metrics.victims.clone());
        });
        metrics
    }

    /// It was looked who might go for a pod; so many do.
    pub fn preemption(&self, victims: Option<usize>) {
        self.preemptions.inc();
        if let Some(victims) = victims {
            #[expect(clippy::cast_precision_loss, reason = "a few pods")]
            self.victims.observe(victims as f64);
        }
    }

    /// One attempt has ended.
    pub fn attempt(&self, result: &'static str, seconds: f64) {
        self.attempts.get_or_create(&ResultLabel { result }).inc();
        self.duration.observe(seconds);
    }
}
