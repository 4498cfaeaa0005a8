//! What a sandbox was given.

use std::net::Ipv4Addr;

use super::super::{HostPort, records};
use crate::runtime::{PodIdentity, SandboxId};

/// What one sandbox was given.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Its pod.
    #[serde(flatten)]
    pub pod: PodIdentity,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Ports of the node that lead to it.
    #[serde(default)]
    pub host_ports: Vec<HostPort>,
}

impl records::Record for Record {
    fn sandbox(&self) -> &SandboxId {
        &self.sandbox
    }
}
