//! The rules in force, and making them what they should be.

use std::error::Error;

use iptables::{Delta, Desired, Family, HostIptables, Iptables, Observed};
use tokio::sync::OnceCell;

use super::super::{NetworkError, Result};
use super::rules::Chains;

/// The node's iptables.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Found when it is first needed: without pods of its own network, a node need not have any.
    found: OnceCell<HostIptables>,
}

impl Host {
    /// Makes our rules these; see [`make`].
    pub(super) async fn make(&self, desired: &Desired, chains: &Chains) -> Result<()> {
        let host = self.found.get_or_try_init(HostIptables::detect).await.map_err(|error| failed(&error))?;
        make(host, desired, chains).await
    }
}

/// Makes our rules these: reads what is there and writes what differs. Rules of others stay.
pub(super) async fn make(iptables: &impl Iptables, desired: &Desired, chains: &Chains) -> Result<()> {
    let present = iptables.save(Family::V4).await.map_err(|error| failed(&error))?;
    let delta = Delta::between(desired, &Observed::of(&present), |chain| chains.owns(chain));
    if delta.is_empty() {
        return Ok(());
    }
    iptables.restore(Family::V4, &delta.to_script()).await.map_err(|error| failed(&error))
}

/// The error with its causes.
fn failed(error: &iptables::Error) -> NetworkError {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    NetworkError::Rules(text)
}
