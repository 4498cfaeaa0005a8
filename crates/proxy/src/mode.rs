//! The ways in which services are brought into force.

use iptables::{Family, HostIptables, Iptables};
use netfilter::NftError;

use crate::apply::{Applied, FamilyRules};
use crate::nft::apply::{FamilyTable, probe};
use crate::settings::Settings;
use crate::table::{Change, ServiceTable};

/// `--proxy-mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// `iptables`
    Iptables,
    /// `nftables`
    Nftables,
}

impl ProxyMode {
    /// The name as flags and `/proxyMode` have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ProxyMode::Iptables => "iptables",
            ProxyMode::Nftables => "nftables",
        }
    }

    /// The mode that is asked for, or else the fastest that works here.
    ///
    /// # Errors
    /// When the mode that is asked for does not work here.
    pub async fn choose(asked: Option<Self>, families: &[Family]) -> Result<Self, NftError> {
        match asked {
            Some(ProxyMode::Iptables) => return Ok(ProxyMode::Iptables),
            Some(ProxyMode::Nftables) => return probe(families).await.map(|()| ProxyMode::Nftables),
            None => {}
        }
        match probe(families).await {
            Ok(()) => Ok(ProxyMode::Nftables),
            Err(error) => {
                tracing::info!("iptables is used, since nftables does not work here: {error}");
                Ok(ProxyMode::Iptables)
            }
        }
    }
}

/// Services were not brought into force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// With iptables.
    #[error("{0}")]
    Iptables(#[from] iptables::Error),
    /// With nftables.
    #[error("{0}")]
    Nft(#[from] NftError),
}

/// The rules of one address family in the chosen mode.
#[derive(Debug)]
pub enum Rules<I = HostIptables> {
    /// With iptables alone.
    Iptables {
        /// The kernel.
        iptables: I,
        /// What is there.
        rules: FamilyRules,
    },
    /// With nftables, and the little that has to be in iptables where other programs use it.
    Nftables {
        /// The kernel's iptables.
        iptables: Option<I>,
        /// What is there of ours.
        forwarding: FamilyRules,
        /// The services.
        table: Box<FamilyTable>,
    },
}

impl<I: Iptables> Rules<I> {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(mode: ProxyMode, family: Family, iptables: Option<I>) -> Self {
        let rules = FamilyRules::new(family);
        match (mode, iptables) {
            (ProxyMode::Iptables, Some(iptables)) => Rules::Iptables { iptables, rules },
            (_, iptables) => Rules::Nftables { iptables, forwarding: rules, table: Box::new(FamilyTable::new(family)) },
        }
    }

    /// Forgets what is believed to be in force.
    pub fn distrust(&mut self) {
        match self {
            Rules::Iptables { rules, .. } => rules.distrust(),
            Rules::Nftables { forwarding, table, .. } => {
                forwarding.distrust();
                table.distrust();
            }
        }
    }

    /// Whether what is in force is known; if not, everything is written or compared.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        match self {
            Rules::Iptables { rules, .. } => rules.is_trusted(),
            Rules::Nftables { table, .. } => table.is_trusted(),
        }
    }

    /// Looks cheaply whether somebody else has removed what is ours; forgets what is believed to be in force if so,
    /// or if that cannot be told.
    pub async fn look(&mut self) {
        let sound = match self {
            Rules::Iptables { iptables, rules } => rules.is_flushed(iptables).await.is_ok_and(|flushed| !flushed),
            Rules::Nftables { table, forwarding, .. } => {
                // Few rules, among those of others: they are simply compared.
                forwarding.distrust();
                table.is_doubtful().await.is_ok_and(|doubtful| !doubtful)
            }
        };
        if !sound {
            self.distrust();
        }
    }

    /// Brings all services into force: what has changed since the last time, or everything if that is not known.
    ///
    /// # Errors
    /// When that fails; the next call does everything.
    pub async fn apply(
        &mut self,
        services: &ServiceTable,
        changes: &[Change],
        settings: &Settings,
    ) -> Result<Applied, Error> {
        match self {
            Rules::Iptables { iptables, rules } => Ok(rules.apply(iptables, services, changes, settings).await?),
            Rules::Nftables { iptables, forwarding, table } => {
                let applied = table.apply(services, changes, settings).await?;
                // Only now: the rules of another mode are removed here, and carry traffic until then.
                if let Some(iptables) = iptables {
                    forwarding.forward_only(iptables, settings).await?;
                }
                Ok(applied)
            }
        }
    }
}
