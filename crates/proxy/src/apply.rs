//! Brings one address family's rules into force.

use iptables::{Delta, Desired, Family, Iptables, Observed, Table};

use crate::chains;
use crate::conntrack::{self, UdpServices};
use crate::endpoint::endpoint_map;
use crate::model::{EndpointSlice, Service};
use crate::rules::render;
use crate::service::service_map;
use crate::settings::Settings;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rules in the nat table that are ours.
    pub nat_rules: usize,
    /// Rules in the filter table that are ours.
    pub filter_rules: usize,
    /// Rules that were written.
    pub written: usize,
}

/// The rules of one address family. It remembers what is in force, so that a change costs one restore of the chains
/// that differ and no reading; [`FamilyRules::distrust`] makes it read the kernel's state the next time.
#[derive(Debug)]
pub struct FamilyRules {
    family: Family,
    /// What is in force; `None` when it is not known.
    observed: Option<Observed>,
    /// The UDP services whose flows were last compared; `None` when they were not yet.
    compared: Option<UdpServices>,
}

impl FamilyRules {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self { family, observed: None, compared: None }
    }

    /// The address family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Forgets what is believed to be in force: others may have changed it.
    pub fn distrust(&mut self) {
        self.observed = None;
    }

    /// Computes the whole and applies the difference, in one restore or none.
    ///
    /// # Errors
    /// When rules cannot be read or written. The next call starts by reading.
    pub async fn apply<'a>(
        &mut self,
        iptables: &impl Iptables,
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
        node: &str,
        settings: &Settings,
    ) -> Result<Applied, iptables::Error> {
        let endpoints = endpoint_map(slices, node, self.family);
        let services = service_map(services, endpoints, self.family);
        let desired = render(&services, settings, self.family);
        let written = self.restore(iptables, &desired).await?;
        self.compare_flows(UdpServices::of(&services), settings).await;
        Ok(Applied { nat_rules: desired.rules_in(Table::Nat), filter_rules: desired.rules_in(Table::Filter), written })
    }

    /// Removes every rule and chain of the proxy.
    ///
    /// # Errors
    /// When rules cannot be read or written.
    pub async fn clean_up(&mut self, iptables: &impl Iptables) -> Result<(), iptables::Error> {
        self.distrust();
        self.restore(iptables, &Desired::default()).await.map(|_| ())
    }

    async fn restore(&mut self, iptables: &impl Iptables, desired: &Desired) -> Result<usize, iptables::Error> {
        let mut observed = match self.observed.take() {
            Some(observed) => observed,
            None => Observed::of(&iptables.save(self.family).await?),
        };
        let delta = Delta::between(desired, &observed, chains::owned);
        let script = delta.to_script();
        if !script.is_empty() {
            iptables.restore(self.family, &script).await?;
            observed.advance(&delta);
        }
        self.observed = Some(observed);
        Ok(script.rules())
    }

    /// Failing is logged only: clients recover when their flows expire, and rules matter more.
    async fn compare_flows(&mut self, current: UdpServices, settings: &Settings) {
        if self.compared.as_ref() == Some(&current) {
            return;
        }
        let before = self.compared.take().unwrap_or_default();
        let wanted = current.clone().with_removed(&before);
        if wanted.is_empty() {
            self.compared = Some(current);
            return;
        }
        match conntrack::delete_stale(self.family, &wanted, &settings.node_addresses).await {
            Ok(0) => self.compared = Some(current),
            Ok(count) => {
                tracing::debug!(family = %self.family, count, "deleted UDP flows to endpoints that are gone");
                self.compared = Some(current);
            }
            Err(error) => {
                tracing::warn!(family = %self.family, "delete UDP flows to endpoints that are gone: {error}");
                self.compared = Some(wanted);
            }
        }
    }
}
