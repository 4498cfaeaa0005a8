//! Names of the chains, the same as upstream's: people and tools look for them.

use iptables::ChainName;
use sha2::{Digest, Sha256};

use crate::endpoint::Endpoint;
use crate::entrance::Transport;
use crate::service::ServicePortName;

/// Dispatch by virtual address (nat), and rejection of services without endpoints (filter).
pub const SERVICES: ChainName = ChainName::from_static("KUBE-SERVICES");
/// Rejection on node ports, external and load balancer addresses (filter).
pub const EXTERNAL_SERVICES: ChainName = ChainName::from_static("KUBE-EXTERNAL-SERVICES");
/// Dispatch by node port (nat), and acceptance of health check ports (filter).
pub const NODE_PORTS: ChainName = ChainName::from_static("KUBE-NODEPORTS");
/// Masquerading of marked packets (nat).
pub const POSTROUTING: ChainName = ChainName::from_static("KUBE-POSTROUTING");
/// Marks packets for masquerading (nat).
pub const MARK_MASQ: ChainName = ChainName::from_static("KUBE-MARK-MASQ");
/// Acceptance of forwarded packets (filter).
pub const FORWARD: ChainName = ChainName::from_static("KUBE-FORWARD");
/// Enforcement of load balancer source ranges (filter).
pub const PROXY_FIREWALL: ChainName = ChainName::from_static("KUBE-PROXY-FIREWALL");
/// Holds nothing: where it is gone, all rules have been flushed.
pub const CANARY: ChainName = ChainName::from_static("KUBE-PROXY-CANARY");
/// Protection of loopback addresses (filter).
pub const FIREWALL: ChainName = ChainName::from_static("KUBE-FIREWALL");

const FIXED: [&ChainName; 9] = [
    &SERVICES,
    &EXTERNAL_SERVICES,
    &NODE_PORTS,
    &POSTROUTING,
    &MARK_MASQ,
    &FORWARD,
    &PROXY_FIREWALL,
    &FIREWALL,
    &CANARY,
];

/// What the names of chains made for services start with; `KUBE-XLB-` is left behind by upstream's.
const PREFIXES: [&str; 6] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-", "KUBE-XLB-"];

/// Whether the chain belongs to the proxy, this one or upstream's: then it is deleted when it is not wanted.
#[must_use]
pub fn owned(name: &ChainName) -> bool {
    FIXED.contains(&name) || of_service(name)
}

/// Whether the chain is made for one service port.
#[must_use]
pub fn of_service(name: &ChainName) -> bool {
    PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// The chains of one service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChains {
    /// Balances over all endpoints.
    pub cluster: ChainName,
    /// Balances over this node's endpoints.
    pub local: ChainName,
    /// For traffic to external addresses.
    pub external: ChainName,
    /// For traffic to load balancer addresses with source ranges.
    pub firewall: ChainName,
}

impl ServiceChains {
    /// The chains of this port.
    #[must_use]
    pub fn of(name: &ServicePortName, transport: Transport) -> Self {
        let hash = service_hash(name, transport);
        let chain = |prefix: &str| named(prefix, &hash);
        Self { cluster: chain("SVC"), local: chain("SVL"), external: chain("EXT"), firewall: chain("FW") }
    }
}

/// The chain that sends traffic of a service port to one endpoint.
#[must_use]
pub fn endpoint_chain(name: &ServicePortName, transport: Transport, endpoint: &Endpoint) -> ChainName {
    named("SEP", &endpoint_hash(name, transport, endpoint))
}

/// Stands for a service port in names.
#[must_use]
pub fn service_hash(name: &ServicePortName, transport: Transport) -> String {
    hash(&format!("{name}{}", transport.name()))
}

/// Stands for an endpoint of a service port in names.
#[must_use]
pub fn endpoint_hash(name: &ServicePortName, transport: Transport, endpoint: &Endpoint) -> String {
    hash(&format!("{name}{}{}", transport.name(), endpoint.address))
}

fn named(prefix: &str, hash: &str) -> ChainName {
    ChainName::new(format!("KUBE-{prefix}-{hash}")).expect("five letters, at most three, and sixteen of base 32")
}

/// 16 characters of the SHA-256 in base 32 (RFC 4648), so 80 bits, which fit the length of a chain's name.
pub(crate) fn hash(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(text);
    let bits = |i: usize| {
        let pair = u16::from_be_bytes([digest[i * 5 / 8], digest[i * 5 / 8 + 1]]);
        usize::from(pair >> (11 - i * 5 % 8) & 31)
    };
    (0..16).map(|i| char::from(ALPHABET[bits(i)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        let name = |namespace: &str, name: &str, port: &str| ServicePortName {
            namespace: namespace.into(),
            name: name.into(),
            port: port.into(),
        };
        let cases = [
            (name("default", "kubernetes", "https"), Transport::Tcp, "KUBE-SVC-NPX46M4PTMTKRN6Y"),
            (name("kube-system", "kube-dns", "dns"), Transport::Udp, "KUBE-SVC-TCOU7JCQXEZGVUNU"),
            (name("kube-system", "kube-dns", "dns-tcp"), Transport::Tcp, "KUBE-SVC-ERIFXISQEP7F7OF4"),
        ];
        for (port, transport, expected) in cases {
            assert_eq!(ServiceChains::of(&port, transport).cluster.as_str(), expected, "{port}");
        }
    }

    #[test]
    fn only_the_proxys_chains_are_owned() {
        for (name, expected) in [
            ("KUBE-SERVICES", true),
            ("KUBE-SEP-ABCDEFGHIJKLMNOP", true),
            ("KUBE-PROXY-CANARY", true),
            ("KUBE-KUBELET-CANARY", false),
            ("KUBE-HOSTPORTS", false),
            ("DOCKER", false),
        ] {
            assert_eq!(owned(&ChainName::from_static(name)), expected, "{name}");
        }
    }
}
