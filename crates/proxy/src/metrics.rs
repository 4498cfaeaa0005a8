//! Metrics, under upstream's names.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use iptables::Family;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::apply::Applied;
use crate::health::Answers;

/// What the proxy counts. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// How long it takes to bring the rules into force.
    pub sync_duration: Histogram,
    /// How long that takes when everything is written or compared.
    pub full_duration: Histogram,
    /// How long that takes when only what has changed is.
    pub partial_duration: Histogram,
    /// From a change of endpoints until it is in force.
    pub programming_duration: Histogram,
    /// When that last succeeded.
    pub last_sync: Gauge<f64, AtomicU64>,
    /// When a change last arrived.
    pub last_queued: Gauge<f64, AtomicU64>,
    /// How often it failed with iptables.
    pub restore_failures: Counter,
    /// How often a part failed, so that everything was done anew.
    pub partial_failures: Counter,
    /// How often it failed with nftables.
    pub nft_failures: Counter,
    /// Services that changed.
    pub service_changes: Counter,
    /// EndpointSlices that changed.
    pub endpoint_changes: Counter,
    /// Services whose changes are not in force.
    pub service_pending: Gauge,
    /// UDP flows that were deleted.
    pub flows_deleted: Labelled<OfFamily, Counter>,
    /// Service ports whose traffic has to stay on this node, where there is no endpoint.
    pub no_local_endpoints: Labelled<OfPolicy, Gauge>,
    rules: Labelled<Labels, Gauge>,
    rules_written: Labelled<Labels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    ip_family: String,
    table: String,
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfFamily {
    /// `IPv4` or `IPv6`.
    pub ip_family: String,
}

/// Labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfPolicy {
    /// `IPv4` or `IPv6`.
    pub ip_family: String,
    /// `internal` or `external`.
    pub traffic_policy: &'static str,
}

/// As upstream's, in seconds: steps of 0.25 to one, of one to a minute, of five to two and of thirty to five minutes.
fn latency_buckets() -> impl Iterator<Item = f64> {
    let steps = |from: f64, step: f64, to: f64| {
        std::iter::successors(Some(from), move |at| Some(at + step)).take_while(move |at| *at <= to)
    };
    steps(0.25, 0.25, 0.5).chain(steps(1.0, 1.0, 59.0)).chain(steps(60.0, 5.0, 115.0)).chain(steps(120.0, 30.0, 300.0))
}

impl Metrics {
    /// Registers them, and what the health server answered.
    pub fn register(registry: &mut Registry, answers: &Answers) -> Arc<Self> {
        let duration = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let metrics = Self {
            sync_duration: duration(),
            full_duration: duration(),
            partial_duration: duration(),
            programming_duration: Histogram::new(latency_buckets()),
            last_sync: Gauge::default(),
            last_queued: Gauge::default(),
            restore_failures: Counter::default(),
            partial_failures: Counter::default(),
            nft_failures: Counter::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            service_pending: Gauge::default(),
            flows_deleted: Labelled::default(),
            no_local_endpoints: Labelled::default(),
            rules: Labelled::default(),
            rules_written: Labelled::default(),
        };
        metrics.add_to(registry.sub_registry_with_prefix("kubeproxy"), answers);
        Arc::new(metrics)
    }

    fn add_to(&self, registry: &mut Registry, answers: &Answers) {
        let programming = "From a change of endpoints until it is in force";
        registry.register("network_programming_duration_seconds", programming, self.programming_duration.clone());
        registry.register("proxy_healthz", "Answers to /healthz", answers.healthz.clone());
        registry.register("proxy_livez", "Answers to /livez", answers.livez.clone());
        registry.register("conntrack_reconciler_deleted_entries", "UDP flows deleted", self.flows_deleted.clone());
        let registry = registry.sub_registry_with_prefix("sync");
        let durations = [
            ("proxy_rules_duration_seconds", "Time of a sync", &self.sync_duration),
            ("full_proxy_rules_duration_seconds", "Time of a sync of everything", &self.full_duration),
            ("partial_proxy_rules_duration_seconds", "Time of a sync of changes", &self.partial_duration),
        ];
        for (name, help, histogram) in durations {
            registry.register(name, help, histogram.clone());
        }
        let registry = registry.sub_registry_with_prefix("proxy_rules");
        registry.register("last_timestamp_seconds", "The last sync that succeeded", self.last_sync.clone());
        registry.register("last_queued_timestamp_seconds", "The last change that arrived", self.last_queued.clone());
        let counters = [
            ("iptables_restore_failures", "Syncs that failed with iptables", &self.restore_failures),
            ("iptables_partial_restore_failures", "Syncs of changes that failed", &self.partial_failures),
            ("nftables_sync_failures", "Syncs that failed with nftables", &self.nft_failures),
            ("service_changes", "Changes of Services", &self.service_changes),
            ("endpoint_changes", "Changes of EndpointSlices", &self.endpoint_changes),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register("service_changes_pending", "Services with changes to sync", self.service_pending.clone());
        let help = "Service ports that need an endpoint on this node and have none";
        registry.register("no_local_endpoints_total", help, self.no_local_endpoints.clone());
        registry.register("iptables_total", "Rules, or entrances of services", self.rules.clone());
        registry.register("iptables_last", "Rules or elements written by the last sync", self.rules_written.clone());
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
