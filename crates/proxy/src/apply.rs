//! Brings one address family's rules into force, with iptables.

use std::collections::HashSet;

use iptables::{ChainName, Delta, Desired, Family, Iptables, Observed, Table};

use crate::chains::{self, CANARY};
use crate::entrance::entrances;
use crate::rules::{add_own, add_shared, forwarding, render, shared};
use crate::settings::Settings;
use crate::table::{Change, ServiceTable};

/// How many rules one `iptables-restore` writes: with ten times as many it takes a hundred times as long.
const RULES_A_RESTORE: usize = 5000;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rules in the nat table that are ours, or elements that lead somewhere.
    pub nat_rules: usize,
    /// Rules in the filter table that are ours.
    pub filter_rules: usize,
    /// Rules or elements that were written.
    pub written: usize,
    /// Whether something that is no longer needed could not be removed.
    pub left_over: bool,
}

/// How many rules there are.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Of services alone, in the nat table.
    own: usize,
    /// Of all services, in the nat table.
    shared: usize,
    /// In the filter table.
    filter: usize,
}

/// The rules of one address family. It remembers what is in force, so that a change costs one restore of the chains
/// that differ and no reading; [`FamilyRules::distrust`] makes it read the kernel's state the next time.
#[derive(Debug)]
pub struct FamilyRules {
    family: Family,
    /// What is in force, and the settings that it was computed with; `None` when it is not known.
    observed: Option<(Observed, Settings)>,
    counts: Counts,
}

impl FamilyRules {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self { family, observed: None, counts: Counts::default() }
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

    /// Whether what is in force is known.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.observed.is_some()
    }

    /// Whether the tables have been flushed by somebody else. Costs less than reading all rules.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn is_flushed(&self, iptables: &impl Iptables) -> Result<bool, iptables::Error> {
        for table in [Table::Nat, Table::Filter] {
            if !iptables.has_chain(self.family, table, &CANARY).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings all services into force: what has changed since the last time, or everything if that is not known.
    ///
    /// # Errors
    /// When rules cannot be read or written. The next call starts by reading.
    pub async fn apply(
        &mut self,
        iptables: &impl Iptables,
        services: &ServiceTable,
        changes: &[Change],
        settings: &Settings,
    ) -> Result<Applied, iptables::Error> {
        let written = match self.observed.take() {
            Some((observed, with)) if with == *settings => {
                self.apply_changes(iptables, observed, services, changes, settings).await?
            }
            known => {
                let desired = render(services.ports(), settings, self.family);
                let own = own_rules(&desired);
                let (nat, filter) = (desired.rules_in(Table::Nat), desired.rules_in(Table::Filter));
                self.counts = Counts { own, shared: nat.saturating_sub(own), filter };
                self.replace(iptables, known.map(|(observed, _)| observed), &desired, settings).await?
            }
        };
        let Counts { own, shared, filter } = self.counts;
        Ok(Applied { nat_rules: own + shared, filter_rules: filter, written, left_over: false })
    }

    /// Keeps only what lets translated packets be forwarded.
    ///
    /// # Errors
    /// When rules cannot be read or written.
    pub async fn forward_only(
        &mut self,
        iptables: &impl Iptables,
        settings: &Settings,
    ) -> Result<usize, iptables::Error> {
        match self.observed.take() {
            Some((observed, with)) if with == *settings => {
                self.observed = Some((observed, with));
                Ok(0)
            }
            known => self.replace(iptables, known.map(|(observed, _)| observed), &forwarding(settings), settings).await,
        }
    }

    /// Removes every chain that belongs to the proxy, and the rules that lead there.
    ///
    /// # Errors
    /// When rules cannot be read or written.
    pub async fn clean_up(&mut self, iptables: &impl Iptables) -> Result<(), iptables::Error> {
        self.replace(iptables, None, &Desired::default(), &Settings::default()).await.map(|_| ())
    }

    /// Makes the chains that belong to the proxy these and no others.
    async fn replace(
        &mut self,
        iptables: &impl Iptables,
        known: Option<Observed>,
        desired: &Desired,
        settings: &Settings,
    ) -> Result<usize, iptables::Error> {
        let observed = match known {
            Some(observed) => observed,
            None => Observed::of(&iptables.save(self.family).await?),
        };
        let delta = Delta::between(desired, &observed, chains::owned);
        self.restore(iptables, observed, &delta, settings).await
    }

    async fn restore(
        &mut self,
        iptables: &impl Iptables,
        mut observed: Observed,
        delta: &Delta,
        settings: &Settings,
    ) -> Result<usize, iptables::Error> {
        let scripts = delta.to_scripts(RULES_A_RESTORE);
        for script in &scripts {
            iptables.restore(self.family, script).await?;
        }
        observed.advance(delta);
        self.observed = Some((observed, settings.clone()));
        Ok(scripts.iter().map(iptables::Script::rules).sum())
    }

    /// Computes the chains of these services alone, and those that all share if they change.
    async fn apply_changes(
        &mut self,
        iptables: &impl Iptables,
        observed: Observed,
        services: &ServiceTable,
        changes: &[Change],
        settings: &Settings,
    ) -> Result<usize, iptables::Error> {
        let family = self.family;
        let olds = || changes.iter().filter_map(|change| Some((&*change.name, change.old.as_deref()?)));
        let news = || changes.iter().filter_map(|change| Some((&*change.name, change.new.as_deref()?)));
        let (mut shared_before, mut shared_now) = (Desired::default(), Desired::default());
        olds().for_each(|(name, port)| add_shared(&mut shared_before, name, port, settings, family, entrances(port)));
        news().for_each(|(name, port)| add_shared(&mut shared_now, name, port, settings, family, entrances(port)));
        let mut before = Desired::default();
        olds().for_each(|(name, port)| add_own(&mut before, name, port, settings, family));
        let mut desired = Desired::default();
        if shared_before != shared_now {
            desired = shared(services.ports(), settings, family);
            self.counts.shared = desired.rules_in(Table::Nat);
            self.counts.filter = desired.rules_in(Table::Filter);
        }
        news().for_each(|(name, port)| add_own(&mut desired, name, port, settings, family));
        self.counts.own = (self.counts.own + own_rules(&desired)).saturating_sub(own_rules(&before));
        let theirs: HashSet<ChainName> = before.chains().map(|(_, name, _)| name.clone()).collect();
        let delta = Delta::between(&desired, &observed, |name| theirs.contains(name));
        self.restore(iptables, observed, &delta, settings).await
    }
}

fn own_rules(desired: &Desired) -> usize {
    desired.chains().filter(|(_, name, _)| chains::of_service(name)).map(|(_, _, rules)| rules.len()).sum()
}
