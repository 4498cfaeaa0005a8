//! Which servers behind this one cannot be asked, in upstream's names.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::availability::Verdict;

/// Which API services are not available, and how often that was found.
#[derive(Clone, Debug, Default)]
pub struct Unavailable {
    now: Family<Name, Gauge>,
    counted: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    name: String,
    reason: &'static str,
}

impl Unavailable {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let what = "Whether an API service is not available";
        registry.register("aggregator_unavailable_apiservice", what, self.now.clone());
        // The suffix is added.
        let what = "API services that were found not to be available, by reason";
        registry.register("aggregator_unavailable_apiservice", what, self.counted.clone());
    }

    /// Notes what was found of an API service.
    pub(super) fn note(&self, name: &str, verdict: &Verdict) {
        let unavailable = !verdict.is_available();
        self.now.get_or_create(&Name { name: name.to_owned() }).set(unavailable.into());
        if unavailable {
            self.counted.get_or_create(&Reason { name: name.to_owned(), reason: verdict.reason }).inc();
        }
    }

    /// An API service is gone. What was counted of it remains known, of those whose reasons there are.
    pub(super) fn forget(&self, name: &str) {
        self.now.remove(&Name { name: name.to_owned() });
    }
}
