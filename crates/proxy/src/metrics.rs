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

/// One for each address family.
pub type ByFamily<M> = Labelled<OfFamily, M, fn() -> M>;

/// What the proxy counts. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// How long it takes to bring the rules into force.
    pub sync_duration: ByFamily<Histogram>,
    /// How long that takes when everything is written or compared.
    pub full_duration: ByFamily<Histogram>,
    /// How long that takes when only what has changed is.
    pub partial_duration: ByFamily<Histogram>,
    /// From a change of endpoints until it is in force.
    pub programming_duration: ByFamily<Histogram>,
    /// When that last succeeded.
    pub last_sync: ByFamily<Gauge<f64, AtomicU64>>,
    /// When a change last arrived.
    pub last_queued: ByFamily<Gauge<f64, AtomicU64>>,
    /// How often it failed with iptables.
    pub restore_failures: ByFamily<Counter>,
    /// How often a part failed, so that everything was done anew.
    pub partial_failures: ByFamily<Counter>,
    /// How often it failed with nftables.
    pub nft_failures: ByFamily<Counter>,
    /// Services that changed.
    pub service_changes: Counter,
    /// EndpointSlices that changed.
    pub endpoint_changes: Counter,
    /// Services whose changes are not in force.
    pub service_pending: Gauge,
    /// EndpointSlices whose changes are not in force.
    pub endpoint_pending: Gauge,
    /// How often chains that were no longer needed could not be removed.
    pub cleanup_failures: ByFamily<Counter>,
    /// UDP flows that were deleted.
    pub flows_deleted: ByFamily<Counter>,
    /// How long it takes to look for such flows.
    pub flows_duration: ByFamily<Histogram>,
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

/// Metrics that begin with nothing.
fn by_family<M: Default>() -> ByFamily<M> {
    ByFamily::new_with_constructor(M::default)
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfFamily {
    /// `IPv4` or `IPv6`.
    ip_family: &'static str,
}

impl From<Family> for OfFamily {
    fn from(family: Family) -> Self {
        Self { ip_family: family.name() }
    }
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
        let duration = || ByFamily::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15)));
        let metrics = Self {
            sync_duration: duration(),
            full_duration: duration(),
            partial_duration: duration(),
            programming_duration: ByFamily::new_with_constructor(|| Histogram::new(latency_buckets())),
            last_sync: by_family(),
            last_queued: by_family(),
            restore_failures: by_family(),
            partial_failures: by_family(),
            nft_failures: by_family(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            service_pending: Gauge::default(),
            endpoint_pending: Gauge::default(),
            cleanup_failures: by_family(),
            flows_deleted: by_family(),
            flows_duration: duration(),
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
        let help = "Time of looking for UDP flows to delete";
        registry.register("conntrack_reconciler_sync_duration_seconds", help, self.flows_duration.clone());
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
            ("nftables_cleanup_failures", "Removals that failed with nftables", &self.cleanup_failures),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let counters = [
            ("service_changes", "Changes of Services", &self.service_changes),
            ("endpoint_changes", "Changes of EndpointSlices", &self.endpoint_changes),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register("service_changes_pending", "Services with changes to sync", self.service_pending.clone());
        let help = "EndpointSlices with changes to sync";
        registry.register("endpoint_changes_pending", help, self.endpoint_pending.clone());
        let help = "Service ports that need an endpoint on this node and have none";
        registry.register("no_local_endpoints_total", help, self.no_local_endpoints.clone());
        registry.register("iptables_total", "Rules, or entrances of services", self.rules.clone());
        registry.register("iptables_last", "Rules or elements written by the last sync", self.rules_written.clone());
    }

    /// Notes how many rules a family has.
    pub fn applied(&self, family: Family, applied: Applied) {
        if applied.left_over {
            self.cleanup_failures.get_or_create(&family.into()).inc();
        }
        let labels = |table: &str| Labels { ip_family: family.to_string(), table: table.to_owned() };
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.rules.get_or_create(&labels("nat")).set(count(applied.nat_rules));
        self.rules.get_or_create(&labels("filter")).set(count(applied.filter_rules));
        self.rules_written.get_or_create(&labels("all")).set(count(applied.written));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's, but for the two that its iptables mode reads from counters of `nfacct`.
    const NAMES: &[&str] = &[
        "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"}",
        "kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family=\"IPv4\"}",
        "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}",
        "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
        "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total",
        "kubeproxy_sync_proxy_rules_iptables_last{ip_family=\"IPv4\",table=\"all\"}",
        "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_iptables_total{ip_family=\"IPv4\",table=\"nat\"}",
        "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=\"IPv4\",traffic_policy=\"internal\"}",
        "kubeproxy_sync_proxy_rules_service_changes_pending",
        "kubeproxy_sync_proxy_rules_service_changes_total",
    ];

    #[test]
    fn names_are_upstreams() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, &Answers::default());
        metrics.applied(Family::V4, Applied { left_over: true, ..Applied::default() });
        let labels = OfFamily::from(Family::V4);
        for histogram in [
            &metrics.sync_duration,
            &metrics.full_duration,
            &metrics.partial_duration,
            &metrics.programming_duration,
            &metrics.flows_duration,
        ] {
            histogram.get_or_create(&labels).observe(1.0);
        }
        for counter in
            [&metrics.restore_failures, &metrics.partial_failures, &metrics.nft_failures, &metrics.flows_deleted]
        {
            counter.get_or_create(&labels).inc();
        }
        for gauge in [&metrics.last_sync, &metrics.last_queued] {
            gauge.get_or_create(&labels).set(1.0);
        }
        let labels = OfPolicy { ip_family: "IPv4".into(), traffic_policy: "internal" };
        metrics.no_local_endpoints.get_or_create(&labels).set(1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in NAMES {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} in {text}");
        }
    }
}
