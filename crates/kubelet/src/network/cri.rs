//! Runtimes behind CRI connect sandboxes themselves, through the CNI plugins that a configuration names: the kubelet's own,
//! for the bridge that it makes from the node's Pod CIDR, or the administrator's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kubenet::Kubenet;
use super::{HostPort, NetworkError, PodIps, PodNetwork, Result};
use crate::runtime::{PodIdentity, Runtime, SandboxId, SandboxStatus};

/// The file that the kubelet writes; runtimes take the first by name.
const FILE: &str = "10-ferrokube.conflist";
/// How long the runtime is believed that sandboxes can be connected.
const BELIEVED: Duration = Duration::from_secs(10);

/// The network of a runtime behind CRI.
pub struct CriNetwork {
    runtime: Arc<dyn Runtime>,
    /// Where the kubelet itself makes the bridge and the configuration.
    bridge: Option<Bridge>,
    /// When the runtime last said that it is ready.
    ready: Mutex<Option<Instant>>,
}

/// The kubelet's own bridge, on which the plugin `bridge` puts pods.
pub struct Bridge {
    /// Makes the bridge and the rules around it; no pod is connected by it.
    pub kubenet: Kubenet,
    /// The bridge's name.
    pub name: String,
    /// MTU of pods; `None` is the kernel's default.
    pub mtu: Option<u32>,
    /// `--cni-conf-dir`.
    pub directory: PathBuf,
}

impl CriNetwork {
    /// With a bridge of the kubelet's own, or with what the administrator has configured.
    pub fn new(runtime: Arc<dyn Runtime>, bridge: Option<Bridge>) -> Self {
        Self { runtime, bridge, ready: Mutex::new(None) }
    }
}

impl Bridge {
    async fn configure(&self, cidrs: &[IpNet]) -> Result<()> {
        self.kubenet.set_pod_cidrs(cidrs).await?;
        let v4 = cidrs.iter().find(|cidr| matches!(cidr, IpNet::V4(_))).ok_or(NetworkError::NoPodCidr)?;
        let text = format!("{:#}\n", configuration(&self.name, *v4, self.mtu));
        let path = self.directory.join(FILE);
        if tokio::fs::read_to_string(&path).await.is_ok_and(|known| known == text) {
            return Ok(());
        }
        let written = write(&self.directory, &path, &text).await;
        written.map_err(|error| NetworkError::NotMade(format!("writing {}: {error}", path.display())))
    }
}

/// Whole or not at all: runtimes read it as soon as it is there.
async fn write(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    let unfinished = path.with_extension("tmp");
    tokio::fs::write(&unfinished, text).await?;
    tokio::fs::rename(unfinished, path).await
}

/// A list of the standard plugins: pods on a bridge, and ports of the node that lead to them.
fn configuration(bridge: &str, cidr: IpNet, mtu: Option<u32>) -> Value {
    let mut plugin = json!({
        "type": "bridge", "bridge": bridge, "isGateway": true, "hairpinMode": true, "ipMasq": false,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": cidr.trunc().to_string()}]], "routes": [{"dst": "0.0.0.0/0"}]},
    });
    if let Some(mtu) = mtu {
        plugin["mtu"] = mtu.into();
    }
    // The name is that of the directory in which addresses are remembered.
    json!({
        "cniVersion": "0.4.0", "name": format!("ferrokube-{bridge}"),
        "plugins": [plugin, {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}],
    })
}

#[async_trait]
impl PodNetwork for CriNetwork {
    async fn set_pod_cidrs(&self, cidrs: &[IpNet]) -> Result<()> {
        match &self.bridge {
            Some(bridge) => bridge.configure(cidrs).await,
            None => Ok(()),
        }
    }

    async fn ready(&self) -> Result<()> {
        if let Some(bridge) = &self.bridge {
            bridge.kubenet.ready().await?;
        }
        if self.ready.lock().is_some_and(|at| at.elapsed() < BELIEVED) {
            return Ok(());
        }
        let info = self.runtime.info().await.map_err(|error| NetworkError::NotMade(error.to_string()))?;
        let trouble = info.network_trouble;
        *self.ready.lock() = trouble.is_none().then(Instant::now);
        trouble.map_or(Ok(()), |why| Err(NetworkError::NotMade(why)))
    }

    /// Sandboxes come connected, with their ports.
    async fn set_up(&self, _pod: &PodIdentity, sandbox: &SandboxStatus, _host_ports: &[HostPort]) -> Result<PodIps> {
        match sandbox.runtime_ips.clone() {
            none if none.is_empty() => Err(NetworkError::SandboxGone(sandbox.id.0.clone())),
            ips => Ok(ips),
        }
    }

    async fn pod_ips(&self, sandbox: &SandboxStatus) -> Result<PodIps> {
        Ok(sandbox.runtime_ips.clone())
    }

    /// The runtime disconnects what it stops.
    async fn tear_down(&self, _sandbox: &SandboxId) -> Result<()> {
        Ok(())
    }

    async fn connected(&self) -> Vec<SandboxId> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_the_plugins_read() {
        let made = configuration("cbr0", "10.1.2.5/24".parse().unwrap(), Some(1400));
        assert_eq!(made["name"], "ferrokube-cbr0");
        assert_eq!(made["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.1.2.0/24");
        assert_eq!((&made["plugins"][0]["mtu"], &made["plugins"][1]["type"]), (&json!(1400), &json!("portmap")));
        assert_eq!(configuration("cbr0", "10.1.2.0/24".parse().unwrap(), None)["plugins"][0].get("mtu"), None);
    }

    #[tokio::test]
    async fn it_is_written_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("net.d");
        let path = inside.join(FILE);
        for text in ["a", "b"] {
            write(&inside, &path, text).await.unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(inside).unwrap().count(), 1);
    }
}
