//! Pure: what an autoscaler does, given what its metrics ask for.

use api_types::{
    autoscaling_v2::{HorizontalPodAutoscalerStatus, MetricStatus},
    jiff::Timestamp,
    meta::Time,
};
use component::recorder::EventType;

use super::{
    conditions::Condition,
    limits::{Limited, Wish},
    metric::{Computed, Failure},
};
use crate::slim::Autoscaler;

/// An event to record: kind, reason and message.
pub(super) type Told = (EventType, &'static str, String);

/// A status in the making, and what is to be told.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub status: HorizontalPodAutoscalerStatus,
    pub told: Vec<Told>,
    now: Timestamp,
}

impl Draft {
    pub(super) fn of(autoscaler: &Autoscaler, now: Timestamp) -> Self {
        Self { status: autoscaler.status.clone(), told: Vec::new(), now }
    }

    pub(super) fn set(&mut self, condition: Condition) {
        condition.put(self.status.conditions.get_or_insert_default(), self.now);
    }

    pub(super) fn warn(&mut self, reason: &'static str, message: impl Into<String>) {
        self.told.push((EventType::Warning, reason, message.into()));
    }

    /// The target cannot be found.
    pub(super) fn lost(&mut self, error: &str) {
        self.warn("FailedGetScale", error);
        let message = format!("the HPA controller was unable to get the target's current scale: {error}");
        self.set(Condition::able(false, ("FailedGetScale", &message)));
    }

    /// The target was found.
    pub(super) fn found(&mut self) {
        let message = "the HPA controller was able to get the target's current scale";
        self.set(Condition::able(true, ("SucceededGetScale", message)));
    }

    /// The metrics say nothing.
    pub(super) fn clueless(&mut self, current: i32, metrics: Option<Vec<MetricStatus>>, error: String) {
        self.observe(current, metrics);
        self.warn("FailedComputeMetricsReplicas", error);
    }

    /// The target did not let itself be scaled.
    pub(super) fn refused(&mut self, step: &Step, error: &str) {
        let Rescale { replicas, reason } = &step.rescale;
        self.warn("FailedRescale", format!("New size: {replicas}; reason: {reason}; error: {error}"));
        let message = format!("the HPA controller was unable to update the target scale: {error}");
        self.set(Condition::able(false, ("FailedUpdateScale", &message)));
        self.observe(step.current, step.metrics.clone());
    }

    /// The target was scaled.
    pub(super) fn rescaled(&mut self, step: &Step) {
        let Rescale { replicas, reason } = &step.rescale;
        let message = format!("the HPA controller was able to update the target scale to {replicas}");
        self.set(Condition::able(true, ("SucceededRescale", &message)));
        let message = format!("New size: {replicas}; reason: {reason}");
        self.told.push((EventType::Normal, "SuccessfulRescale", message));
        self.settle(step.current, *replicas, step.metrics.clone());
        self.status.last_scale_time = Some(Time(self.now));
    }

    /// Nothing was to be done.
    pub(super) fn settle(&mut self, current: i32, desired: i32, metrics: Option<Vec<MetricStatus>>) {
        self.observe(current, metrics);
        self.status.desired_replicas = desired;
    }

    fn observe(&mut self, current: i32, metrics: Option<Vec<MetricStatus>>) {
        self.status.current_replicas = Some(current);
        self.status.current_metrics = metrics;
    }
}

/// What is to become of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rescale {
    pub replicas: i32,
    pub reason: String,
}

/// A target that is to be scaled, as it is.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub current: i32,
    pub rescale: Rescale,
    pub metrics: Option<Vec<MetricStatus>>,
}

/// What the limits of an autoscaler alone say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Somebody has turned the target off.
    Disabled,
    /// Whatever the metrics say.
    Outside(Rescale),
    /// The metrics say how many.
    Within,
}

/// The fewest replicas.
pub(super) fn min(autoscaler: &Autoscaler) -> i32 {
    autoscaler.spec.min_replicas.unwrap_or(1)
}

pub(super) fn bounds(autoscaler: &Autoscaler, current: i32) -> Bounds {
    let (min, max) = (min(autoscaler), autoscaler.spec.max_replicas);
    let outside = |replicas, reason: &str| Bounds::Outside(Rescale { replicas, reason: reason.to_owned() });
    if current == 0 && min != 0 {
        Bounds::Disabled
    } else if current > max {
        outside(max, "Current number of replicas above Spec.MaxReplicas")
    } else if current < min {
        outside(min, "Current number of replicas below Spec.MinReplicas")
    } else {
        Bounds::Within
    }
}

/// What the metrics of an autoscaler say together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// One a metric, in their order; empty for those that say nothing.
    pub statuses: Vec<MetricStatus>,
    /// How many replicas, and after which metric; or why that is not known.
    pub wanted: Result<(i32, String), String>,
    /// Whether it is known.
    pub active: Condition,
}

/// The greatest number counts. When not all metrics say something, nothing is scaled down.
pub(super) fn judge(computed: &[Result<Computed, Failure>], current: i32) -> Verdict {
    let statuses = computed.iter().map(|one| one.as_ref().map(|one| one.status.clone()).unwrap_or_default()).collect();
    let mut greatest: Option<&Computed> = None;
    for one in computed.iter().flatten() {
        if greatest.is_none_or(|before| one.replicas > before.replicas) {
            greatest = Some(one);
        }
    }
    let mut failures = computed.iter().filter_map(|one| one.as_ref().err());
    let first = failures.next();
    match (greatest, first) {
        (Some(greatest), None) => valid(statuses, greatest),
        (Some(greatest), Some(_)) if greatest.replicas >= current => valid(statuses, greatest),
        (_, first) => {
            let count = failures.count() + usize::from(first.is_some());
            let (reason, error, named) =
                first.map_or(("", "", ""), |first| (first.reason, first.error.as_str(), first.named.as_str()));
            let message = format!("the HPA was unable to compute the replica count: {error}");
            let all = computed.len();
            let error = format!("invalid metrics ({count} invalid out of {all}), first error is: {named}");
            Verdict { statuses, wanted: Err(error), active: Condition::active(false, (reason, &message)) }
        }
    }
}

fn valid(statuses: Vec<MetricStatus>, greatest: &Computed) -> Verdict {
    let message = format!("the HPA was able to successfully calculate a replica count from {}", greatest.name);
    Verdict {
        statuses,
        wanted: Ok((greatest.replicas, greatest.name.clone())),
        active: Condition::active(true, ("ValidMetricFound", &message)),
    }
}

/// What the metrics want, as a wish.
pub(super) fn wish(autoscaler: &Autoscaler, current: i32, desired: i32, now: Timestamp) -> Wish {
    Wish { current, desired, min: min(autoscaler), max: autoscaler.spec.max_replicas, now }
}

/// Why the target is scaled, when it is: what the metrics wanted says so, not what was left of it.
pub(super) fn rescale(wish: &Wish, metric: &str, limited: &Limited) -> Option<Rescale> {
    let reason = match wish.desired.cmp(&wish.current) {
        std::cmp::Ordering::Greater => format!("{metric} above target"),
        std::cmp::Ordering::Less => "All metrics below target".to_owned(),
        std::cmp::Ordering::Equal => String::new(),
    };
    (limited.replicas != wish.current).then_some(Rescale { replicas: limited.replicas, reason })
}
