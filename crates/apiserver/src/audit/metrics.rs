//! Upstream's metrics of the audit.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::Level;

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Events that were written.
    pub events: Counter,
    /// Requests that were refused because nothing could be recorded of them.
    pub rejected: Counter,
    errors: Family<Plugin, Counter>,
    levels: Family<OfLevel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Plugin {
    plugin: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLevel {
    level: &'static str,
}

impl Metrics {
    /// Registers the metrics under upstream's names.
    pub fn register(&self, registry: &mut Registry) {
        let name = |name: &str| format!("apiserver_audit_{name}");
        registry.register(name("event"), "Events that were handed to the audit's outputs", self.events.clone());
        registry.register(name("error"), "Events that an output has lost", self.errors.clone());
        registry.register(name("level"), "Requests by how much is recorded of them", self.levels.clone());
        let help = "Requests that were refused because nothing could be recorded of them";
        registry.register(name("requests_rejected"), help, self.rejected.clone());
    }

    /// So much is recorded of a request.
    pub fn level(&self, level: Level) {
        let level = match level {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        };
        self.levels.get_or_create(&OfLevel { level }).inc();
    }

    /// So many events are lost, and why: told once, here.
    pub fn lost(&self, plugin: &'static str, count: usize, why: &str) {
        self.errors.get_or_create(&Plugin { plugin }).inc_by(count as u64);
        tracing::error!(plugin, count, "audit events are lost: {why}");
    }
}
