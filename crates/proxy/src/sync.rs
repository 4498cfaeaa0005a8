//! The loop: wait for a change, bring everything into force, again.

use std::sync::Arc;
use std::time::Duration;

use component::backoff::Backoff;
use component::informer::Informer;
use iptables::Iptables;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::apply::FamilyRules;
use crate::config::{Config, Pace};
use crate::health::ProxyHealth;
use crate::metrics::Metrics;
use crate::model::{EndpointSlice, Service};
use crate::node;

/// For how long a change waits for the others that belong to it: a Service and its EndpointSlice arrive apart.
const GATHER: Duration = Duration::from_millis(10);
/// With an adaptive pace, a tenth of the time at most is spent on changing rules…
const REST_FACTOR: u32 = 10;
/// …but a change waits no longer than upstream's `iptables-min-sync-period`.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How soon a failed sync is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(200);

impl Pace {
    /// How long to rest after a sync that took this long.
    fn rest(&self, took: Duration) -> Duration {
        self.minimum.unwrap_or_else(|| (took * REST_FACTOR).min(LONGEST_REST))
    }
}

/// Everything the loop needs.
#[derive(Debug)]
pub struct Syncer<I> {
    /// The kernel.
    pub iptables: I,
    /// One an address family.
    pub families: Vec<FamilyRules>,
    /// Settings.
    pub config: Config,
    /// Services.
    pub services: Informer<Service>,
    /// EndpointSlices.
    pub slices: Informer<EndpointSlice>,
    /// Rung at every change of either.
    pub changed: Arc<Notify>,
    /// Told of every success.
    pub health: ProxyHealth,
    /// Told of everything.
    pub metrics: Arc<Metrics>,
}

impl<I: Iptables> Syncer<I> {
    /// Keeps the rules as Services and EndpointSlices say, for ever. Nothing is changed before both are known
    /// completely: rules from a half of them would cut connections that another proxy's rules still carry.
    pub async fn run(mut self) {
        self.services.synced().await;
        self.slices.synced().await;
        let mut backoff = Backoff::new(FIRST_RETRY, self.config.pace.verify);
        let mut verify_at = Instant::now() + self.config.pace.verify;
        loop {
            let started = Instant::now();
            let succeeded = self.sync().await;
            let rested = Instant::now() + self.config.pace.rest(started.elapsed());
            let wake_at = if succeeded {
                backoff.reset();
                verify_at
            } else {
                Instant::now() + backoff.next_delay()
            };
            tokio::select! {
                () = self.changed.notified() => sleep_until(rested.max(Instant::now() + GATHER)).await,
                () = sleep_until(wake_at) => {}
            }
            if Instant::now() >= verify_at {
                verify_at = Instant::now() + self.config.pace.verify;
                self.families.iter_mut().for_each(FamilyRules::distrust);
            }
        }
    }

    /// One pass over all families; whether all of them succeeded.
    async fn sync(&mut self) -> bool {
        let seen = std::time::Instant::now();
        let addresses = node::addresses().unwrap_or_else(|error| {
            tracing::error!("list this node's addresses: {error}");
            Vec::new()
        });
        let settings = node::with_addresses(&self.config.settings, addresses, &self.config.node_port_networks);
        let (services, slices) = (self.services.store().list(), self.slices.store().list());
        let mut succeeded = true;
        for rules in &mut self.families {
            let services = services.iter().map(AsRef::as_ref);
            let slices = slices.iter().map(AsRef::as_ref);
            match rules.apply(&self.iptables, services, slices, &self.config.node, &settings).await {
                Ok(applied) => {
                    tracing::debug!(family = %rules.family(), ?applied, took = ?seen.elapsed(), "rules are in force");
                    self.metrics.applied(rules.family(), applied);
                }
                Err(error) => {
                    succeeded = false;
                    self.metrics.restore_failures.inc();
                    tracing::error!(family = %rules.family(), "change the rules: {error}");
                }
            }
        }
        self.metrics.sync_duration.observe(seen.elapsed().as_secs_f64());
        if succeeded {
            self.health.updated(seen);
            self.metrics.last_sync.set(epoch_seconds());
        }
        succeeded
    }
}

fn epoch_seconds() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}
