//! `--network-plugin=kubenet`: a bridge with the node's Pod CIDR, to which the kubelet wires each sandbox itself.
//!
//! A pod gets a veth pair: one end is `eth0` in the sandbox's namespace, the other a port of the bridge, in hairpin
//! mode so that a pod reaches itself through a Service. Addresses are remembered in files ([`Records`]), so that a
//! restarted kubelet gives none out twice. iptables rules are computed as a whole ([`rules`]) and what differs from the
//! rules in force is written by one `iptables-restore`.

pub mod pool;
pub mod record;
pub mod rules;

mod iptables;
mod netlink;
mod netns;
mod sysctl;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use async_trait::async_trait;
use ipnet::{IpNet, Ipv4Net};
use tokio::sync::Mutex;

use self::netlink::Netlink;
use self::pool::Pool;
use self::record::Record;
use self::rules::{Chains, Facts};
use super::records::Records;
use super::{HostPort, NetworkError, PodIps, PodNetwork, Result};
use crate::runtime::{PodIdentity, SandboxId, SandboxStatus};

/// Upstream's name of the bridge.
pub const DEFAULT_BRIDGE: &str = "cbr0";

/// How pods are wired.
#[derive(Debug, Clone)]
pub struct KubenetConfig {
    /// The bridge, [`DEFAULT_BRIDGE`] unless several nodes share a network namespace.
    pub bridge: String,
    /// Where given addresses are remembered.
    pub state_dir: PathBuf,
    /// Traffic to these is never masqueraded (`--cluster-cidr`); the node's own Pod CIDR never is.
    pub cluster_cidrs: Vec<Ipv4Net>,
    /// MTU of the bridge and of pods; `None` is the kernel's default.
    pub mtu: Option<u32>,
}

/// The plugin.
pub struct Kubenet {
    config: KubenetConfig,
    chains: Chains,
    iptables: iptables::Host,
    node: Mutex<Node>,
}

/// What is known and made on this node; one change at a time.
struct Node {
    /// Addresses to give out; `None` until the Pod CIDR is known.
    pool: Option<Pool>,
    records: Records<Record>,
    /// What went wrong when the node's side was made, if anything.
    trouble: Option<String>,
}

impl Kubenet {
    /// Reads back what was given out before a restart.
    pub fn new(config: KubenetConfig) -> Result<Self> {
        let records = Records::open(&config.state_dir)?;
        let node = Node { pool: None, records, trouble: None };
        let chains = Chains::of_bridge(&config.bridge)?;
        Ok(Self { chains, config, iptables: iptables::Host::default(), node: Mutex::new(node) })
    }

    /// Takes everything away: bridge, rules, records. Pods lose their network.
    pub async fn destroy(&self) -> Result<()> {
        let mut node = self.node.lock().await;
        let sandboxes: Vec<SandboxId> = node.records.iter().map(|record| record.sandbox.clone()).collect();
        for sandbox in &sandboxes {
            self.disconnect(&mut node, sandbox).await?;
        }
        node.pool = None;
        self.iptables.make(&::iptables::Desired::default(), &self.chains).await?;
        Netlink::open()?.delete_link(&self.config.bridge).await
    }

    async fn make_node_side(&self, cidr: Ipv4Net, records: &Records<Record>) -> Result<()> {
        sysctl::forwarding()?;
        Netlink::open()?.ensure_bridge(&self.config.bridge, on_bridge(cidr), self.config.mtu).await?;
        self.sync_rules(cidr, records).await
    }

    async fn sync_rules(&self, cidr: Ipv4Net, records: &Records<Record>) -> Result<()> {
        let facts = Facts {
            bridge: &self.config.bridge,
            pod_cidr: cidr,
            cluster_cidrs: &self.config.cluster_cidrs,
            records: records.iter().collect(),
        };
        self.iptables.make(&rules::render(&self.chains, &facts)?, &self.chains).await
    }

    /// The record of a sandbox, made if there is none: an address is on disk before it is used.
    fn allocate(
        &self,
        node: &mut Node,
        pod: &PodIdentity,
        sandbox: &SandboxId,
        ports: &[HostPort],
    ) -> Result<(Ipv4Net, Record)> {
        let pool = node.pool.as_mut().ok_or(NetworkError::NoPodCidr)?;
        if let Some(record) = node.records.get(sandbox) {
            return Ok((pool.cidr(), record.clone()));
        }
        let record =
            Record { sandbox: sandbox.clone(), pod: pod.clone(), ip: pool.allocate()?, host_ports: ports.to_vec() };
        if let Err(error) = node.records.insert(record.clone()) {
            pool.release(record.ip);
            return Err(error);
        }
        Ok((pool.cidr(), record))
    }

    async fn disconnect(&self, node: &mut Node, sandbox: &SandboxId) -> Result<()> {
        let Some(record) = node.records.get(sandbox).cloned() else { return Ok(()) };
        Netlink::open()?.delete_link(&link_name(sandbox)).await?;
        node.records.remove(sandbox)?;
        if let Some(pool) = &mut node.pool {
            pool.release(record.ip);
            if !record.host_ports.is_empty() {
                let cidr = pool.cidr();
                self.sync_rules(cidr, &node.records).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl PodNetwork for Kubenet {
    async fn set_pod_cidrs(&self, cidrs: &[IpNet]) -> Result<()> {
        let cidr = usable(cidrs)?;
        let mut node = self.node.lock().await;
        let same = node.pool.as_ref().is_some_and(|pool| pool.cidr() == cidr);
        if same && node.trouble.is_none() {
            return Ok(());
        }
        let made = self.make_node_side(cidr, &node.records).await;
        node.trouble = made.as_ref().err().map(ToString::to_string);
        made?;
        if !same {
            node.pool = Some(Pool::new(cidr, gateway(cidr), node.records.iter().map(|record| record.ip)));
        }
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        let node = self.node.lock().await;
        match (&node.trouble, &node.pool) {
            (Some(trouble), _) => Err(NetworkError::NotMade(trouble.clone())),
            (None, None) => Err(NetworkError::NoPodCidr),
            (None, Some(_)) => Ok(()),
        }
    }

    async fn set_up(&self, pod: &PodIdentity, sandbox: &SandboxStatus, host_ports: &[HostPort]) -> Result<PodIps> {
        let pid = sandbox.pid.ok_or_else(|| NetworkError::SandboxGone(sandbox.id.0.clone()))?;
        let mut node = self.node.lock().await;
        let (cidr, record) = self.allocate(&mut node, pod, &sandbox.id, host_ports)?;
        if !record.host_ports.is_empty() {
            self.sync_rules(cidr, &node.records).await?;
        }
        drop(node);
        let wire = netlink::Wire {
            bridge: self.config.bridge.clone(),
            host_link: link_name(&sandbox.id),
            pid,
            address: Ipv4Net::new_assert(record.ip, cidr.prefix_len()),
            gateway: gateway(cidr),
            mtu: self.config.mtu,
        };
        wire.connect().await?;
        Ok(vec![IpAddr::V4(record.ip)])
    }

    async fn pod_ips(&self, sandbox: &SandboxStatus) -> Result<PodIps> {
        let record = self.node.lock().await.records.get(&sandbox.id).cloned();
        let Some(record) = record else { return Ok(PodIps::new()) };
        // The kubelet may have ended between the record and the last step of the wiring.
        let wired = Netlink::open()?.is_up(&link_name(&sandbox.id)).await?;
        Ok(if wired { vec![IpAddr::V4(record.ip)] } else { PodIps::new() })
    }

    async fn tear_down(&self, sandbox: &SandboxId) -> Result<()> {
        let mut node = self.node.lock().await;
        self.disconnect(&mut node, sandbox).await
    }

    async fn connected(&self) -> Vec<SandboxId> {
        let node = self.node.lock().await;
        node.records.iter().map(|record| record.sandbox.clone()).collect()
    }
}

/// The smallest network that has room for a bridge and a pod.
const LONGEST_PREFIX: u8 = 30;

fn usable(cidrs: &[IpNet]) -> Result<Ipv4Net> {
    let first = cidrs.first().ok_or(NetworkError::NoPodCidr)?;
    let v4 = cidrs.iter().find_map(|cidr| match cidr {
        IpNet::V4(v4) => Some(v4.trunc()),
        IpNet::V6(_) => None,
    });
    let v4 = v4.ok_or(NetworkError::BadPodCidr(*first, "kubenet knows IPv4 only"))?;
    if v4.prefix_len() > LONGEST_PREFIX {
        return Err(NetworkError::BadPodCidr(IpNet::V4(v4), "it has no room for pods"));
    }
    Ok(v4)
}

/// The bridge's address: the first of the network.
fn gateway(cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(cidr.network().to_bits().saturating_add(1))
}

fn on_bridge(cidr: Ipv4Net) -> Ipv4Net {
    Ipv4Net::new_assert(gateway(cidr), cidr.prefix_len())
}

/// The node's end of a sandbox's pair: derived from its id, so that it is found again. 12 of 15 characters.
fn link_name(sandbox: &SandboxId) -> String {
    let id: String = sandbox.as_str().chars().take(8).collect();
    format!("veth{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_network_is_taken() {
        let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>();
        for (cidrs, expected) in [
            (&["10.0.3.0/24"][..], "10.0.3.0/24"),
            (&["fd00::/64", "10.0.3.9/24"], "10.0.3.0/24"),
            (&["10.0.3.0/31"], "pod CIDR 10.0.3.0/31 cannot be used: it has no room for pods"),
            (&["fd00::/64"], "pod CIDR fd00::/64 cannot be used: kubenet knows IPv4 only"),
            (&[], "the node has no pod CIDR yet"),
        ] {
            let got = usable(&nets(cidrs)).map_or_else(|error| error.to_string(), |net| net.to_string());
            assert_eq!(got, expected);
        }
    }
}
