//! Which of the others' leases become routes: whoever may write leases must not thereby lead packets astray.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::lease::Lease;

/// How many nodes there may be: a network of /8 has 65,536 subnets of 24 bits.
const MAX_PEERS: usize = 65_536;

/// What is known of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Leases that can be believed, by subnet; no two overlap.
    pub leases: BTreeMap<Ipv4Net, Lease>,
    /// What is wrong with the rest, a line each.
    pub complaints: Vec<String>,
}

impl Peers {
    /// Sorts out the others' leases. Of two that overlap, the one whose subnet comes first counts.
    #[must_use]
    pub fn check(network: Ipv4Net, own: &Lease, others: impl IntoIterator<Item = Lease>) -> Self {
        let by_subnet: BTreeMap<Ipv4Net, Lease> =
            others.into_iter().take(MAX_PEERS).map(|lease| (lease.subnet, lease)).collect();
        let mut peers = Self::default();
        let mut last: Option<Ipv4Net> = None;
        for (subnet, lease) in by_subnet {
            if subnet == own.subnet && lease.attributes.public_ip == own.attributes.public_ip {
                continue;
            }
            match fault(network, own, &lease, last) {
                Some(fault) => peers.complaints.push(format!("{subnet} of {}: {fault}", lease.attributes.public_ip)),
                None => {
                    last = Some(subnet);
                    peers.leases.insert(subnet, lease);
                }
            }
        }
        peers
    }
}

fn fault(network: Ipv4Net, own: &Lease, lease: &Lease, last: Option<Ipv4Net>) -> Option<String> {
    let (subnet, ip) = (lease.subnet, lease.attributes.public_ip);
    let overlap = |other: Ipv4Net| other.contains(&subnet) || subnet.contains(&other);
    if !network.contains(&subnet) || subnet == network {
        Some(format!("it is no part of {network}"))
    } else if overlap(own.subnet) {
        Some(format!("it overlaps this node's {}", own.subnet))
    } else if let Some(other) = last.filter(|last| overlap(*last)) {
        Some(format!("it overlaps {other}"))
    } else if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() || network.contains(&ip)
    {
        Some("nodes have no such address".to_owned())
    } else if ip == own.attributes.public_ip {
        Some("that is this node's address".to_owned())
    } else if lease.attributes.backend_type != own.attributes.backend_type {
        Some(format!("its backend is {:?}, not {}", lease.attributes.backend_type, own.attributes.backend_type))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::lease::Attributes;

    fn lease(subnet: &str, ip: &str, backend: &str) -> Lease {
        let attributes = Attributes {
            public_ip: ip.parse().unwrap(),
            public_ipv6: None,
            backend_type: backend.to_owned(),
            backend_data: Value::Null,
        };
        Lease { subnet: subnet.parse().unwrap(), attributes }
    }

    #[test]
    fn only_what_can_be_believed() {
        let own = lease("10.5.1.0/24", "192.168.0.1", "host-gw");
        let others = [
            own.clone(),
            lease("10.5.2.0/24", "192.168.0.2", "host-gw"),
            lease("0.0.0.0/0", "192.168.0.3", "host-gw"),
            lease("10.5.0.0/16", "192.168.0.3", "host-gw"),
            lease("10.5.1.128/25", "192.168.0.3", "host-gw"),
            lease("10.5.2.128/25", "192.168.0.3", "host-gw"),
            lease("192.168.0.0/24", "192.168.0.3", "host-gw"),
            lease("10.5.4.0/24", "127.0.0.1", "host-gw"),
            lease("10.5.5.0/24", "10.5.9.9", "host-gw"),
            lease("10.5.6.0/24", "192.168.0.1", "host-gw"),
            lease("10.5.7.0/24", "192.168.0.7", "vxlan"),
        ];
        let peers = Peers::check("10.5.0.0/16".parse().unwrap(), &own, others);
        assert_eq!(peers.leases.keys().map(ToString::to_string).collect::<Vec<_>>(), ["10.5.2.0/24"]);
        assert_eq!(peers.complaints.len(), 9, "{:#?}", peers.complaints);
    }
}
