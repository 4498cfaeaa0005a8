//! Metrics, under upstream's names.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use iptables::Family;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::apply::Applied;

/// What the proxy counts. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// How long it takes to bring the rules into force.
    pub sync_duration: Histogram,
    /// When that last succeeded.
    pub last_sync: Gauge<f64, AtomicU64>,
    /// How often it failed.
    pub restore_failures: Counter,
    /// Services that changed.
    pub service_changes: Counter,
    /// EndpointSlices that changed.
    pub endpoint_changes: Counter,
    rules: Labelled<Labels, Gauge>,
    rules_written: Labelled<Labels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    ip_family: String,
    table: String,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            sync_duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            last_sync: Gauge::default(),
            restore_failures: Counter::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            rules: Labelled::default(),
            rules_written: Labelled::default(),
        };
        let registry = registry.sub_registry_with_prefix("kubeproxy_sync_proxy_rules");
        let m = &metrics;
        registry.register_with_unit("duration", "SyncProxyRules latency", Unit::Seconds, m.sync_duration.clone());
        registry.register(
            "last_timestamp_seconds",
            "The last time proxy rules were successfully synced",
            m.last_sync.clone(),
        );
        registry.register(
            "iptables_restore_failures",
            "Cumulative proxy iptables restore failures",
            m.restore_failures.clone(),
        );
        registry.register("service_changes", "Cumulative proxy rules Service changes", m.service_changes.clone());
        registry.register("endpoint_changes", "Cumulative proxy rules Endpoint changes", m.endpoint_changes.clone());
        registry.register("iptables_total", "Total number of iptables rules owned by kube-proxy", m.rules.clone());
        registry.register("iptables_last", "Number of iptables rules written in last sync", m.rules_written.clone());
        Arc::new(metrics)
    }

    /// Notes how many rules a family has.
    pub fn applied(&self, family: Family, applied: Applied) {
        let labels = |table: &str| Labels { ip_family: family.to_string(), table: table.to_owned() };
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.rules.get_or_create(&labels("nat")).set(count(applied.nat_rules));
        self.rules.get_or_create(&labels("filter")).set(count(applied.filter_rules));
        self.rules_written.get_or_create(&labels("all")).set(count(applied.written));
    }
}
