//! Where packets for services come in, and who has an entrance that several services claim.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use iptables::Protocol;

use crate::service::{ServiceMap, ServicePort, ServicePortName};

/// Where packets for a service port come in. Where the same is claimed as several of these, the first has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entrance {
    /// The virtual address, which the API server gave to one service only.
    ClusterIp(IpAddr, Transport, u16),
    /// A load balancer's address.
    Balanced(IpAddr, Transport, u16),
    /// An external address, which whoever may write a Service may name.
    External(IpAddr, Transport, u16),
    /// A port of the node's addresses.
    NodePort(Transport, u16),
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs)]
pub enum Transport {
    Tcp,
    Udp,
    Sctp,
}

impl Transport {
    /// The protocol of this name in the API, `TCP` when it is empty; `None` when it has no ports.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "" | "TCP" => Some(Transport::Tcp),
            "UDP" => Some(Transport::Udp),
            "SCTP" => Some(Transport::Sctp),
            _ => None,
        }
    }

    /// As iptables and nftables write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Sctp => "sctp",
        }
    }

    /// As rules of iptables have it.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
            Transport::Sctp => Protocol::Sctp,
        }
    }
}

/// The address (none: any of the node's), protocol and port that packets are sent to, whoever claims it and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Option<IpAddr>, pub Transport, pub u16);

impl Entrance {
    /// What two entrances must not have in common.
    #[must_use]
    pub fn key(self) -> Key {
        match self {
            Entrance::ClusterIp(ip, transport, port)
            | Entrance::Balanced(ip, transport, port)
            | Entrance::External(ip, transport, port) => Key(Some(ip), transport, port),
            Entrance::NodePort(transport, port) => Key(None, transport, port),
        }
    }

    /// Among the claims of an entrance the lowest has it: whoever may write a Service must not take the virtual address
    /// of another by naming it as an external one.
    fn rank(self) -> u8 {
        match self {
            Entrance::ClusterIp(..) | Entrance::NodePort(..) => 0,
            Entrance::Balanced(..) => 1,
            Entrance::External(..) => 2,
        }
    }
}

/// A service port that wants an entrance; claims are ordered by who has it first.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose.
    pub name: Arc<ServicePortName>,
    /// As what it wants it.
    pub entrance: Entrance,
    /// What is behind it.
    pub port: Arc<ServicePort>,
}

impl Claim {
    /// Whether this one has it rather than the other.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        (self.entrance.rank(), &self.name) < (other.entrance.rank(), &other.name)
    }
}

/// Every entrance of a service port, each once.
#[must_use]
pub fn entrances(port: &ServicePort) -> Vec<Entrance> {
    let (transport, number) = (port.transport, port.port);
    let mut entrances = vec![Entrance::ClusterIp(port.cluster_ip, transport, number)];
    entrances.extend(port.load_balancer_ips().iter().map(|ip| Entrance::Balanced(*ip, transport, number)));
    entrances.extend(port.external_ips().iter().map(|ip| Entrance::External(*ip, transport, number)));
    entrances.extend(port.node_port.map(|number| Entrance::NodePort(transport, number)));
    if entrances.len() > 2 {
        let mut seen = HashSet::new();
        entrances.retain(|entrance| seen.insert(entrance.key()));
    }
    entrances
}

/// Who has each entrance among those for which `counts` holds.
#[must_use]
pub fn owners(services: &ServiceMap, counts: impl Fn(Key) -> bool) -> HashMap<Key, Claim> {
    let mut owners: HashMap<Key, Claim> = HashMap::new();
    for (name, port) in services {
        for entrance in entrances(port).into_iter().filter(|entrance| counts(entrance.key())) {
            let claim = Claim { name: Arc::clone(name), entrance, port: Arc::clone(port) };
            match owners.get(&entrance.key()) {
                Some(owner) if !claim.precedes(owner) => {}
                _ => drop(owners.insert(entrance.key(), claim)),
            }
        }
    }
    owners
}
