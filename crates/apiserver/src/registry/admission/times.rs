//! What admission takes and refuses.

use std::{
    mem,
    sync::OnceLock,
    time::{Duration, Instant},
};

use api_types::StatusError;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::registry::Operation;

/// Upstream's buckets for plugins and for all of them, in seconds.
const DURATIONS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// Which side of admission, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What may change an object.
    Admit,
    /// What only looks at it.
    Validate,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stepped {
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: &'static str,
    #[prometheus(flatten)]
    step: Stepped,
}

/// Upstream's metrics of admission.
#[derive(Clone, Debug)]
pub struct Admissions {
    steps: Family<Stepped, Histogram, fn() -> Histogram>,
    controllers: Family<Named, Histogram, fn() -> Histogram>,
}

impl Default for Admissions {
    fn default() -> Self {
        let histogram = || Histogram::new(DURATIONS);
        Self { steps: Family::new_with_constructor(histogram), controllers: Family::new_with_constructor(histogram) }
    }
}

impl Admissions {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "How long all plugins take for a side of admission";
        registry.register("apiserver_admission_step_admission_duration_seconds", help, self.steps.clone());
        let help = "How long a plugin takes for a side of admission";
        registry.register("apiserver_admission_controller_admission_duration_seconds", help, self.controllers.clone());
    }

    /// What a plugin of this name takes.
    #[must_use]
    pub fn of_plugin(&self, name: &'static str) -> PluginTimes {
        PluginTimes { name, family: self.controllers.clone(), known: Default::default() }
    }

    /// All plugins together have taken this.
    pub fn step(&self, taken: Taken) {
        self.steps.get_or_create(&taken.labels()).observe(taken.time.as_secs_f64());
    }
}

/// What one plugin takes. There are many, each is asked twice for a write: what was looked up is kept.
pub struct PluginTimes {
    name: &'static str,
    family: Family<Named, Histogram, fn() -> Histogram>,
    known: [OnceLock<Histogram>; 16],
}

impl PluginTimes {
    /// The plugin has taken this.
    pub fn observe(&self, taken: Taken) {
        let look_up = || self.family.get_or_create(&Named { name: self.name, step: taken.labels() }).clone();
        self.known[taken.position()].get_or_init(look_up).observe(taken.time.as_secs_f64());
    }
}

/// How long plugins take, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    step: Step,
    operation: Operation,
    rejected: bool,
    time: Duration,
}

impl Taken {
    fn position(self) -> usize {
        self.step as usize * 8 + self.operation as usize * 2 + usize::from(self.rejected)
    }

    fn labels(self) -> Stepped {
        let r#type = match self.step {
            Step::Admit => "admit",
            Step::Validate => "validate",
        };
        let rejected = if self.rejected { "true" } else { "false" };
        Stepped { r#type, operation: self.operation.as_str(), rejected }
    }
}

/// Measures one side of admission: each plugin from the end of the one before.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    step: Step,
    operation: Operation,
    begun: Instant,
    lap: Instant,
}

impl Clock {
    /// Plugins begin to look at an operation.
    #[must_use]
    pub fn start(step: Step, operation: Operation) -> Self {
        let begun = Instant::now();
        Self { step, operation, begun, lap: begun }
    }

    /// A plugin has said this.
    pub fn lap<T, E>(&mut self, outcome: &Result<T, E>) -> Taken {
        let since = mem::replace(&mut self.lap, Instant::now());
        self.taken(outcome, self.lap - since)
    }

    /// Together they have said this.
    #[must_use]
    pub fn total(&self, outcome: &Result<(), StatusError>) -> Taken {
        self.taken(outcome, self.begun.elapsed())
    }

    fn taken<T, E>(&self, outcome: &Result<T, E>, time: Duration) -> Taken {
        Taken { step: self.step, operation: self.operation, rejected: outcome.is_err(), time }
    }
}
