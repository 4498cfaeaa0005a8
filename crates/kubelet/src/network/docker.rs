//! `--network-plugin=docker`: Docker's own bridge connects the pods, which flannel may have set up with `--bip`.

use async_trait::async_trait;
use ipnet::IpNet;

use super::{HostPort, NetworkError, PodIps, PodNetwork, Result};
use crate::runtime::{PodIdentity, SandboxId, SandboxStatus};

/// Sandboxes come connected: Docker has done everything when they run.
#[derive(Debug, Default)]
pub struct DockerNetwork;

#[async_trait]
impl PodNetwork for DockerNetwork {
    async fn set_pod_cidrs(&self, _cidrs: &[IpNet]) -> Result<()> {
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn set_up(&self, _pod: &PodIdentity, sandbox: &SandboxStatus, host_ports: &[HostPort]) -> Result<PodIps> {
        if !host_ports.is_empty() {
            return Err(NetworkError::Unsupported("hostPort needs --network-plugin=kubenet"));
        }
        match sandbox.runtime_ips.clone() {
            none if none.is_empty() => Err(NetworkError::SandboxGone(sandbox.id.0.clone())),
            ips => Ok(ips),
        }
    }

    async fn pod_ips(&self, sandbox: &SandboxStatus) -> Result<PodIps> {
        Ok(sandbox.runtime_ips.clone())
    }

    async fn tear_down(&self, _sandbox: &SandboxId) -> Result<()> {
        Ok(())
    }

    async fn connected(&self) -> Vec<SandboxId> {
        Vec::new()
    }
}
