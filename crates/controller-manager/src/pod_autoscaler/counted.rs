//! What is counted of autoscalers, under upstream's names.

use std::{sync::LazyLock, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    action: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Computed {
    action: &'static str,
    error: &'static str,
    metric_type: &'static str,
}

#[derive(Default)]
struct Counted {
    reconciliations: Family<Reconciled, Counter>,
    reconciling: Times<Reconciled>,
    computations: Family<Computed, Counter>,
    computing: Times<Computed>,
}

/// How long things take.
struct Times<L: Clone + std::hash::Hash + Eq>(Family<L, Histogram>);

impl<L: Clone + std::hash::Hash + Eq> Default for Times<L> {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))))
    }
}

static COUNTED: LazyLock<Counted> = LazyLock::new(Counted::default);

/// Kinds of metrics, so that no label is a client's.
const KINDS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// What came of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The autoscaler makes no sense.
    Spec,
    Internal,
}

impl Fault {
    fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Spec => "spec",
            Self::Internal => "internal",
        }
    }
}

fn action(from: i32, to: i32) -> &'static str {
    match to.cmp(&from) {
        std::cmp::Ordering::Greater => "scale_up",
        std::cmp::Ordering::Less => "scale_down",
        std::cmp::Ordering::Equal => "none",
    }
}

/// An autoscaler was looked at; its target was scaled, or not.
pub(super) fn reconciled((from, to): (i32, i32), fault: Fault, time: Duration) {
    let labels = Reconciled { action: action(from, to), error: fault.label() };
    COUNTED.reconciliations.get_or_create(&labels).inc();
    COUNTED.reconciling.0.get_or_create(&labels).observe(time.as_secs_f64());
}

/// A metric was computed.
pub(super) fn computed(kind: &str, (from, to): (i32, i32), fault: Fault, time: Duration) {
    let metric_type = KINDS.into_iter().find(|known| *known == kind).unwrap_or_default();
    let labels = Computed { action: action(from, to), error: fault.label(), metric_type };
    COUNTED.computations.get_or_create(&labels).inc();
    COUNTED.computing.0.get_or_create(&labels).observe(time.as_secs_f64());
}

/// Registers them.
pub fn register(registry: &mut Registry) {
    let own = registry.sub_registry_with_prefix("horizontal_pod_autoscaler_controller");
    own.register("reconciliations", "Number of reconciliations of HPA controller", COUNTED.reconciliations.clone());
    own.register(
        "reconciliation_duration_seconds",
        "The time that the HPA controller takes to reconcile once",
        COUNTED.reconciling.0.clone(),
    );
    own.register("metric_computation", "Number of metric computations", COUNTED.computations.clone());
    own.register(
        "metric_computation_duration_seconds",
        "The time that the HPA controller takes to calculate one metric",
        COUNTED.computing.0.clone(),
    );
}
