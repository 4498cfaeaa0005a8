//! How pods get their addresses: what `--network-plugin` chooses.
//!
//! A [`PodNetwork`] wires the network namespace of a sandbox that the runtime has just started, and takes back what it
//! gave when the sandbox goes. Pods in the node's own network never come here.

pub mod cni;
pub mod cri;
pub mod dial;
pub mod docker;
pub mod error;
pub mod kubenet;
pub mod records;

use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;

use crate::runtime::{PodIdentity, SandboxId, SandboxStatus};
pub use error::{NetworkError, Result};

/// One way of connecting pods.
///
/// Everything is idempotent, and what was set up is found again after the kubelet has restarted.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Tells the node's Pod CIDRs, as soon as the API server has given them; calling again with the same is cheap.
    /// The node's side (bridge, sysctls, rules) is made then.
    async fn set_pod_cidrs(&self, cidrs: &[IpNet]) -> Result<()>;

    /// Whether pods can be connected; the error is the message of the node's `NetworkReady` condition.
    async fn ready(&self) -> Result<()>;

    /// Waits until it may have changed whether pods can be connected, for another reason than a call.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// Connects a running sandbox. A sandbox that is connected already keeps its addresses.
    async fn set_up(&self, pod: &PodIdentity, sandbox: &SandboxStatus, host_ports: &[HostPort]) -> Result<PodIps>;

    /// Addresses of a sandbox that was connected, now or before a restart; empty when it is not connected.
    async fn pod_ips(&self, sandbox: &SandboxStatus) -> Result<PodIps>;

    /// Takes back everything given to a sandbox, which may be gone already. To be called before the sandbox is removed,
    /// and harmless to repeat.
    async fn tear_down(&self, sandbox: &SandboxId) -> Result<()>;

    /// Sandboxes that something was given to, now or before a restart, and not taken back: some may have disappeared
    /// while nobody looked.
    async fn connected(&self) -> Vec<SandboxId>;
}

/// A pod's addresses, the primary one first. Empty means not connected.
pub type PodIps = Vec<IpAddr>;

/// `hostPort` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct HostPort {
    /// `hostIP`; `None` is every address of the node.
    pub host_ip: Option<IpAddr>,
    /// Port on the node.
    pub host_port: u16,
    /// Port in the pod.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// Transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name that iptables and `/proc` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}
