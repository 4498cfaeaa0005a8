//! The loop: wait for a change, bring it into force, again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api_types::jiff::Timestamp;
use component::backoff::Backoff;
use component::informer::{Informer, ObjectKey};
use iptables::{Family, Iptables};
use netfilter::Monitor;
use tokio::time::{Instant, sleep_until};

use crate::changes::{Changes, Pending, service_of};
use crate::config::{Config, Pace};
use crate::conntrack::UdpServices;
use crate::endpoint::{Locality, Place, Readiness};
use crate::health::ProxyHealth;
use crate::health_checks::HealthChecks;
use crate::metrics::{Metrics, OfFamily, OfPolicy};
use crate::mode::{Error, ProxyMode, Rules};
use crate::model::{EndpointSlice, Service};
use crate::nft::table;
use crate::service::TrafficPolicy;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::table::{Change, ServiceTable};

/// For how long a change waits for the others that belong to it: a Service and its EndpointSlice arrive apart.
const GATHER: Duration = Duration::from_millis(10);
/// With an adaptive pace, a tenth of the time at most is spent on changing rules…
const REST_FACTOR: u32 = 10;
/// …but a change waits no longer than upstream's `iptables-min-sync-period`.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// A hundredth of the time at most is spent on comparing all iptables rules with the kernel's…
const COMPARE_FACTOR: u32 = 100;
/// …but it is done as often as upstream does it.
const LONGEST_COMPARE: Duration = Duration::from_secs(3600);
/// How soon a failed sync is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// The index of slices by their Service.
pub const BY_SERVICE: &str = "service";

/// The key of a slice in the index [`BY_SERVICE`].
#[must_use]
pub fn index_by_service(slice: &EndpointSlice) -> Vec<String> {
    service_of(slice).iter().map(ToString::to_string).collect()
}

impl Pace {
    /// How long to rest after a sync that took this long.
    fn rest(&self, took: Duration) -> Duration {
        self.minimum.unwrap_or_else(|| (took * REST_FACTOR).min(LONGEST_REST))
    }
}

/// Everything of one address family.
#[derive(Debug)]
pub struct FamilySync<I> {
    table: ServiceTable,
    rules: Rules<I>,
    /// UDP services whose flows have not been looked at.
    flows: UdpServices,
}

impl<I: Iptables> FamilySync<I> {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(family: Family, rules: Rules<I>) -> Self {
        Self { table: ServiceTable::new(family), rules, flows: UdpServices::default() }
    }
}

/// Everything the loop needs.
#[derive(Debug)]
pub struct Syncer<I> {
    /// How services are brought into force.
    pub mode: ProxyMode,
    /// One an address family.
    pub families: Vec<FamilySync<I>>,
    /// Settings.
    pub config: Config,
    /// Services.
    pub services: Informer<Service>,
    /// EndpointSlices.
    pub slices: Informer<EndpointSlice>,
    /// The node and the ranges of virtual addresses.
    pub surroundings: Surroundings,
    /// What has changed.
    pub changes: Changes,
    /// Told of every success.
    pub health: ProxyHealth,
    /// Told of everything.
    pub metrics: Arc<Metrics>,
    /// Told of local endpoints.
    pub checks: HealthChecks,
}

/// Why the loop woke up.
enum Wake {
    Changed,
    Due,
    Disturbed,
}

impl<I: Iptables> Syncer<I> {
    /// Keeps the rules as Services and EndpointSlices say, for ever. Nothing is changed before both are known
    /// completely: rules from a half of them would cut connections that another proxy's rules still carry.
    pub async fn run(mut self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.surroundings.settled(&self.config).await;
        let mut state = Loop::new(&self.config);
        let mut everything = true;
        loop {
            let started = Instant::now();
            let succeeded = self.sync(&mut state, everything).await;
            everything = false;
            let rested = Instant::now() + self.config.pace.rest(started.elapsed());
            let wake_at = if succeeded {
                state.backoff.reset();
                state.verify_at
            } else {
                Instant::now() + state.backoff.next_delay()
            };
            let wake = tokio::select! {
                () = self.changes.wait() => Wake::Changed,
                () = sleep_until(wake_at) => Wake::Due,
                () = disturbed(&mut state.monitor) => Wake::Disturbed,
            };
            match wake {
                Wake::Changed => sleep_until(rested.max(Instant::now() + GATHER)).await,
                Wake::Due => self.verify(&mut state).await,
                Wake::Disturbed => {
                    tracing::info!("somebody else changed the rules of services: they are written anew");
                    self.distrust();
                    sleep_until(rested).await;
                }
            }
        }
    }

    fn distrust(&mut self) {
        self.families.iter_mut().for_each(|family| family.rules.distrust());
    }

    /// Looks after the rules, from time to time.
    async fn verify(&mut self, state: &mut Loop) {
        if Instant::now() < state.verify_at {
            return;
        }
        state.verify_at = Instant::now() + self.config.pace.verify;
        if self.mode == ProxyMode::Iptables && Instant::now() >= state.compare_at {
            self.distrust();
        }
        for family in self.families.iter_mut().filter(|family| family.rules.is_trusted()) {
            family.rules.look().await;
        }
    }

    /// One pass over all families; whether all of them succeeded.
    async fn sync(&mut self, state: &mut Loop, everything: bool) -> bool {
        let seen = std::time::Instant::now();
        let mut pending = self.changes.take();
        self.metrics.service_pending.set(i64::try_from(pending.services.len()).unwrap_or(i64::MAX));
        self.metrics.endpoint_pending.set(i64::try_from(pending.slices).unwrap_or(i64::MAX));
        let surroundings = self.surroundings.now(&self.config);
        if everything || state.place != surroundings.place {
            state.place.clone_from(&surroundings.place);
            pending.services = self.known_services();
        }
        if state.disturbed_unheard() {
            self.distrust();
        }
        let full = !self.families.iter().all(|family| family.rules.is_trusted());
        let mut succeeded = true;
        for i in 0..self.families.len() {
            let started = std::time::Instant::now();
            let changes = self.update(i, &pending.services, &state.place);
            let in_force = self.bring_into_force(i, &changes, &surroundings.settings).await;
            if in_force {
                self.delete_stale_flows(i, &surroundings.settings).await;
            }
            self.observe(i, &pending, started, full, in_force);
            succeeded &= in_force;
        }
        state.listen(self.mode, &self.families);
        self.tell_health_checks(&pending, &surroundings.settings);
        if succeeded {
            self.health.updated(seen);
            self.metrics.service_pending.set(0);
            self.metrics.endpoint_pending.set(0);
        }
        if full && self.mode == ProxyMode::Iptables {
            let pause = (seen.elapsed() * COMPARE_FACTOR).clamp(self.config.pace.verify, LONGEST_COMPARE);
            state.compare_at = Instant::now() + pause;
        }
        succeeded
    }

    fn known_services(&self) -> HashSet<ObjectKey> {
        let known = self.families.iter().flat_map(|family| family.table.ports().keys());
        let known = known.map(|port| ObjectKey::new(port.namespace.clone(), port.name.clone()));
        known.chain(self.services.store().list().iter().map(|service| ObjectKey::of(&**service))).collect()
    }

    /// What these services have become in one family.
    fn update(&mut self, family: usize, services: &HashSet<ObjectKey>, place: &Place) -> Vec<Change> {
        let Some(family) = self.families.get_mut(family) else { return Vec::new() };
        let mut changes = Vec::new();
        for key in services {
            let service = self.services.store().get(key);
            let slices = self.slices.store().by_index(BY_SERVICE, &key.to_string());
            changes.extend(family.table.update(key, service.as_deref(), slices.iter().map(AsRef::as_ref), place));
        }
        changes
    }

    async fn bring_into_force(&mut self, family: usize, changes: &[Change], settings: &Settings) -> bool {
        let Some(FamilySync { table, rules, flows }) = self.families.get_mut(family) else { return true };
        let (family, partial) = (table.family(), rules.is_trusted());
        flows.note(changes, table.ports());
        for change in changes {
            count_no_local_endpoints(&self.metrics, family, change);
        }
        let applied = match rules.apply(table, changes, settings).await {
            Ok(applied) => applied,
            Err(error) => {
                rules.distrust();
                self.count_failure(family, &error, partial);
                tracing::error!(%family, "change the rules: {error}");
                return false;
            }
        };
        tracing::debug!(%family, ?applied, "services are in force");
        self.metrics.applied(family, applied);
        true
    }

    /// Clients of UDP services that had endpoints which are gone are balanced anew. Failing is logged only: clients
    /// recover when their flows expire, and rules matter more.
    async fn delete_stale_flows(&mut self, family: usize, settings: &Settings) {
        let Some(FamilySync { table, flows, .. }) = self.families.get_mut(family) else { return };
        if flows.is_empty() {
            return;
        }
        let (family, wanted) = (table.family(), std::mem::take(flows));
        let (labels, started) = (OfFamily::from(family), Instant::now());
        match wanted.clone().delete_stale(family, settings.node_addresses.clone()).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::debug!(%family, count, "deleted UDP flows to endpoints that are gone");
                self.metrics.flows_deleted.get_or_create(&labels).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Err(error) => {
                tracing::warn!(%family, "delete UDP flows to endpoints that are gone: {error}");
                *flows = wanted;
            }
        }
        self.metrics.flows_duration.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
    }

    fn count_failure(&self, family: Family, error: &Error, partial: bool) {
        let labels = OfFamily::from(family);
        let failures = match error {
            Error::Nft(_) => &self.metrics.nft_failures,
            Error::Iptables(_) => &self.metrics.restore_failures,
        };
        failures.get_or_create(&labels).inc();
        if partial {
            self.metrics.partial_failures.get_or_create(&labels).inc();
        }
    }

    fn tell_health_checks(&mut self, pending: &Pending, settings: &Settings) {
        let serving: Vec<ObjectKey> = match pending.surroundings {
            true => self.checks.services().cloned().collect(),
            false => Vec::new(),
        };
        let tables = self.families.iter().map(|family| &family.table);
        for key in pending.services.iter().chain(&serving) {
            self.checks.update(key, tables.clone(), settings);
        }
    }

    /// Notes what a pass over one family was.
    fn observe(&self, family: usize, pending: &Pending, started: std::time::Instant, full: bool, succeeded: bool) {
        let Some(family) = self.families.get(family).map(|family| family.table.family()) else { return };
        let (labels, metrics, took) = (OfFamily::from(family), &self.metrics, started.elapsed().as_secs_f64());
        metrics.last_queued.get_or_create(&labels).set(epoch_seconds() - took);
        let part = if full { &metrics.full_duration } else { &metrics.partial_duration };
        for histogram in [&metrics.sync_duration, part] {
            histogram.get_or_create(&labels).observe(took);
        }
        if succeeded {
            metrics.last_sync.get_or_create(&labels).set(epoch_seconds());
            let (now, latency) = (Timestamp::now(), metrics.programming_duration.get_or_create(&labels));
            for trigger in &pending.triggers {
                latency.observe(now.duration_since(*trigger).as_secs_f64().max(0.0));
            }
        }
    }
}

/// What the loop remembers from one pass to the next.
#[derive(Debug)]
struct Loop {
    backoff: Backoff,
    /// When the rules are looked at.
    verify_at: Instant,
    /// When all iptables rules are compared.
    compare_at: Instant,
    /// Where the services' tables were computed for.
    place: Place,
    /// Hears of others' changes, in the mode that has a table of its own.
    monitor: Option<Monitor>,
}

impl Loop {
    fn new(config: &Config) -> Self {
        Self {
            backoff: Backoff::new(FIRST_RETRY, config.pace.verify),
            verify_at: Instant::now() + config.pace.verify,
            compare_at: Instant::now() + config.pace.verify,
            place: Place::default(),
            monitor: None,
        }
    }

    /// Whether others have changed the tables since that was last asked.
    fn disturbed_unheard(&mut self) -> bool {
        self.monitor.as_mut().is_some_and(|monitor| monitor.forget().unwrap_or(true))
    }

    /// Forgets what was said of our own changes, and listens from now on.
    fn listen<I>(&mut self, mode: ProxyMode, families: &[FamilySync<I>]) {
        if mode != ProxyMode::Nftables {
            return;
        }
        if self.monitor.as_mut().is_some_and(|monitor| monitor.forget().is_ok()) {
            return;
        }
        let tables = families.iter().map(|family| table(family.table.family()));
        self.monitor =
            Monitor::open(tables).inspect_err(|error| tracing::warn!("hear of changes by others: {error}")).ok();
    }
}

/// Waits until others change the tables; for ever when that is not heard of.
async fn disturbed(monitor: &mut Option<Monitor>) {
    let failed = match monitor.as_mut() {
        Some(heard) => heard.changed().await.is_err(),
        None => return std::future::pending().await,
    };
    if failed {
        *monitor = None;
    }
}

fn count_no_local_endpoints(metrics: &Metrics, family: Family, change: &Change) {
    let lacks = |port: &crate::service::ServicePort, policy: &'static str| {
        let here = |e: &crate::endpoint::Endpoint| e.locality == Locality::Here && e.readiness != Readiness::Unusable;
        let asked = match policy {
            "internal" => port.internal_policy == TrafficPolicy::Local,
            _ => port.external_policy == TrafficPolicy::Local && port.externally_accessible(),
        };
        i64::from(asked && !port.endpoints.is_empty() && !port.endpoints.iter().any(here))
    };
    for traffic_policy in ["internal", "external"] {
        let of = |port: &Option<Arc<_>>| port.as_ref().map_or(0, |port| lacks(port, traffic_policy));
        let difference = of(&change.new) - of(&change.old);
        if difference != 0 {
            let labels = OfPolicy { ip_family: family.to_string(), traffic_policy };
            metrics.no_local_endpoints.get_or_create(&labels).inc_by(difference);
        }
    }
}

fn epoch_seconds() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}
