//! Which of the others' leases become routes: whoever may write leases must not thereby lead packets astray.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::backend::{self, Leases};
use crate::config::NetworkConfig;
use crate::lease::{Lease, Mac, quote};

/// How many nodes there may be: a network of /8 has 65,536 subnets of 24 bits.
pub const MAX_PEERS: usize = 65_536;

/// What this node knows without being told.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The network.
    pub config: &'a NetworkConfig,
    /// The network that is on this node's link.
    pub link: Ipv4Net,
    /// This node's own lease.
    pub own: &'a Lease,
}

/// What is known of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Leases that can be believed, by subnet; no two overlap, and no two nodes have one hardware address.
    pub leases: Leases,
    /// What is wrong with the rest, a line each.
    pub complaints: Vec<String>,
}

impl Peers {
    /// Sorts out the others' leases, of which those that are older come first. Of two that cannot both be, the one counts that is as
    /// long as the configuration says; else the one that was believed `before`; else the older. So who comes later takes
    /// nothing from others.
    #[must_use]
    pub fn check(local: Local<'_>, others: &[Lease], before: &Leases) -> Self {
        let others = &others[..others.len().min(MAX_PEERS)];
        let addresses = others.iter().map(|lease| lease.attributes.public_ip).collect();
        let mut check = Check { local, addresses, macs: BTreeMap::new(), peers: Self::default() };
        if let Ok(Some(mac)) = backend::claim(&local.config.backend, local.own) {
            check.macs.insert(mac, local.own.attributes.public_ip);
        }
        let mut ranked: Vec<&Lease> = others.iter().collect();
        ranked.sort_by_key(|lease| (!local.config.admits(lease.subnet), before.get(&lease.subnet) != Some(*lease)));
        for lease in ranked {
            check.take(lease);
        }
        check.peers
    }
}

/// A check that is under way.
struct Check<'a> {
    local: Local<'a>,
    /// Where everybody says to be.
    addresses: BTreeSet<Ipv4Addr>,
    /// Whose hardware addresses are whose.
    macs: BTreeMap<Mac, Ipv4Addr>,
    peers: Peers,
}

impl Check<'_> {
    fn take(&mut self, lease: &Lease) {
        let (own, ip) = (self.local.own, lease.attributes.public_ip);
        if lease.subnet == own.subnet && ip == own.attributes.public_ip {
            return;
        }
        match self
            .fault_of_subnet(lease.subnet)
            .or_else(|| self.fault_of_node(lease))
            .map_or_else(|| self.mac(lease), Err)
        {
            Ok(mac) => {
                self.macs.extend(mac.map(|mac| (mac, ip)));
                self.peers.leases.insert(lease.subnet, lease.clone());
            }
            Err(fault) => self.peers.complaints.push(format!("{} of {ip}: {fault}", lease.subnet)),
        }
    }

    fn fault_of_subnet(&self, subnet: Ipv4Net) -> Option<String> {
        let Local { config, link, own } = self.local;
        if !config.network.contains(&subnet) || subnet == config.network {
            return Some(format!("it is no part of {}", config.network));
        }
        if overlap(subnet, link) {
            return Some(format!("it overlaps {link}, on which the nodes are"));
        }
        if overlap(subnet, own.subnet) {
            return Some(format!("it overlaps this node's {}", own.subnet));
        }
        if let Some(other) = self.overlapping(subnet) {
            return Some(format!("it overlaps {other}, which was there before"));
        }
        // Only where the configuration keeps addresses from pods can a node have one of the network.
        let node = self.addresses.range(subnet.network()..=subnet.broadcast()).find(|ip| !config.pods.contains(*ip));
        node.map(|ip| format!("a node is at {ip}"))
    }

    /// Of what was taken, which does not overlap each other, only two can.
    fn overlapping(&self, subnet: Ipv4Net) -> Option<Ipv4Net> {
        let leases = &self.peers.leases;
        let last = Ipv4Net::new_assert(subnet.broadcast(), 32);
        leases.range(..=last).next_back().map(|(other, _)| *other).filter(|other| overlap(*other, subnet))
    }

    fn fault_of_node(&self, lease: &Lease) -> Option<String> {
        let Local { config, link, own } = self.local;
        let ip = lease.attributes.public_ip;
        let is_nobodys = ip.octets()[0] == 0 || ip.octets()[0] >= 224 || ip.is_loopback();
        let is_everybodys =
            link.contains(&ip) && link.prefix_len() < 31 && [link.network(), link.broadcast()].contains(&ip);
        if is_nobodys || is_everybodys || config.pods.contains(&ip) {
            Some("nodes have no such address".to_owned())
        } else if ip == own.attributes.public_ip {
            Some("that is this node's address".to_owned())
        } else if !lease.attributes.is_of(config.backend.name()) {
            let theirs = quote(&lease.attributes.backend_type);
            Some(format!("its backend is \"{theirs}\", not {}", config.backend.name()))
        } else {
            None
        }
    }

    fn mac(&self, lease: &Lease) -> Result<Option<Mac>, String> {
        let mac = backend::claim(&self.local.config.backend, lease)?;
        // A node can have two leases, while it changes from one to the other.
        match mac.and_then(|mac| self.macs.get(&mac)).filter(|node| **node != lease.attributes.public_ip) {
            Some(node) => Err(format!("its hardware address is that of {node}")),
            None => Ok(mac),
        }
    }
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::lease::Attributes;

    fn lease(subnet: &str, ip: &str, backend: &str, backend_data: Value) -> Lease {
        let attributes = Attributes {
            public_ip: ip.parse().unwrap(),
            public_ipv6: None,
            backend_type: backend.to_owned(),
            backend_data,
        };
        Lease { subnet: subnet.parse().unwrap(), attributes }
    }

    fn routed(subnet: &str, ip: &str) -> Lease {
        lease(subnet, ip, "host-gw", Value::Null)
    }

    fn tunnel(subnet: &str, ip: &str, mac: &str) -> Lease {
        lease(subnet, ip, "vxlan", json!({"VNI": 1, "VtepMAC": mac}))
    }

    /// Of a node at 192.168.0.1 of 192.168.0.0/24.
    fn check(config: &str, own: &Lease, others: &[Lease], before: &Leases) -> Peers {
        let config = NetworkConfig::parse(config).unwrap();
        Peers::check(Local { config: &config, link: "192.168.0.0/24".parse().unwrap(), own }, others, before)
    }

    fn subnets(peers: &Peers) -> Vec<String> {
        peers.leases.keys().map(ToString::to_string).collect()
    }

    const HOST_GW: &str = r#"{"Network": "10.5.0.0/16", "Backend": {"Type": "host-gw"}}"#;
    const VXLAN: &str = r#"{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}"#;

    #[test]
    fn only_what_can_be_believed() {
        let own = routed("10.5.1.0/24", "192.168.0.1");
        let bad = [
            routed("0.0.0.0/0", "192.168.0.3"),
            routed("10.5.0.0/16", "192.168.0.3"),
            routed("10.5.1.128/25", "192.168.0.3"),
            routed("10.5.2.128/25", "192.168.0.3"),
            routed("10.5.0.0/17", "192.168.0.3"),
            routed("192.168.0.0/24", "192.168.0.3"),
            routed("10.5.4.0/24", "127.0.0.1"),
            routed("10.5.4.0/24", "0.0.0.7"),
            routed("10.5.4.0/24", "224.0.0.1"),
            routed("10.5.4.0/24", "255.255.255.255"),
            routed("10.5.4.0/24", "192.168.0.255"),
            routed("10.5.4.0/24", "192.168.0.0"),
            routed("10.5.5.0/24", "10.5.9.9"),
            routed("10.5.6.0/24", "192.168.0.1"),
            lease("10.5.7.0/24", "192.168.0.7", "vxlan", Value::Null),
            lease("10.5.7.0/24", "192.168.0.7", "", Value::Null),
        ];
        let good = [own.clone(), routed("10.5.2.0/24", "192.168.0.2")];
        let peers = check(HOST_GW, &own, &[&good[..], &bad[..]].concat(), &Leases::new());
        assert_eq!(subnets(&peers), ["10.5.2.0/24"]);
        assert_eq!(peers.complaints.len(), bad.len(), "{:#?}", peers.complaints);
    }

    #[test]
    fn who_comes_later_takes_nothing() {
        let own = tunnel("10.5.1.0/24", "192.168.0.1", "0e:2a:00:00:00:01");
        let node = tunnel("10.5.2.0/24", "192.168.0.2", "0e:2a:00:00:00:02");
        let later = [
            tunnel("10.5.2.0/25", "192.168.0.3", "0e:2a:00:00:00:03"),
            tunnel("10.5.0.0/24", "192.168.0.3", "0e:2a:00:00:00:02"),
            tunnel("10.5.3.0/24", "192.168.0.3", "0e:2a:00:00:00:01"),
            tunnel("10.5.4.0/24", "192.168.0.3", "01:00:5e:00:00:01"),
            lease("10.5.5.0/24", "192.168.0.3", "vxlan", json!({"VNI": 9, "VtepMAC": "0e:2a:00:00:00:05"})),
            lease("10.5.5.0/24", "192.168.0.3", "vxlan", json!("x".repeat(1000))),
        ];
        let peers = check(VXLAN, &own, &[&[node.clone()][..], &later[..]].concat(), &Leases::new());
        assert_eq!(subnets(&peers), ["10.5.2.0/24"]);
        let complaints = peers.complaints.join("\n");
        assert!(
            complaints.contains("10.5.0.0/24 of 192.168.0.3: its hardware address is that of 192.168.0.2"),
            "{complaints}"
        );
        assert!(peers.complaints.len() == later.len() && complaints.len() < 800, "{complaints}");
        // Whoever claims to be older than a node that is believed already is too late all the same.
        let again = check(VXLAN, &own, &[&later[..], &[node][..]].concat(), &peers.leases);
        assert_eq!(again.leases, peers.leases);
        // Who changes from one subnet to another has two for a while.
        let both = [
            tunnel("10.5.2.0/24", "192.168.0.2", "0e:2a:00:00:00:02"),
            tunnel("10.5.9.0/24", "192.168.0.2", "0e:2a:00:00:00:02"),
        ];
        assert_eq!(subnets(&check(VXLAN, &own, &both, &Leases::new())), ["10.5.2.0/24", "10.5.9.0/24"]);
    }

    /// A network that is wider than what pods get of it, as in upstream's example: nodes may be in the rest.
    #[test]
    fn nodes_within_the_network() {
        let config = r#"{"Network": "192.168.0.0/16", "SubnetMin": "192.168.128.0", "Backend": {"Type": "host-gw"}}"#;
        let own = routed("192.168.128.0/24", "192.168.0.1");
        let others = [
            routed("192.168.129.0/24", "192.168.0.2"),
            routed("192.168.130.0/24", "192.168.5.3"),
            routed("192.168.131.0/24", "192.168.129.7"),
            routed("192.168.0.0/25", "192.168.0.2"),
            routed("192.168.0.0/20", "192.168.0.2"),
            routed("192.168.5.0/24", "192.168.0.2"),
        ];
        let peers = check(config, &own, &others, &Leases::new());
        assert_eq!(subnets(&peers), ["192.168.129.0/24", "192.168.130.0/24"], "{:#?}", peers.complaints);
    }

    proptest! {
        #[test]
        fn no_two_overlap(parts in proptest::collection::vec((0_u32..1 << 16, 17_u8..33, 2_u8..9), 0..40)) {
            let others: Vec<Lease> = parts.iter().map(|(offset, length, node)| {
                let subnet = Ipv4Net::new((0x0a05_0000 + offset).into(), *length).unwrap().trunc();
                routed(&subnet.to_string(), &format!("192.168.0.{node}"))
            }).collect();
            let own = routed("10.5.1.0/24", "192.168.0.1");
            let peers = check(HOST_GW, &own, &others, &Leases::new());
            let taken: Vec<_> = peers.leases.keys().chain([&own.subnet]).collect();
            for (number, one) in taken.iter().enumerate() {
                prop_assert!(taken[..number].iter().all(|other| !overlap(**one, **other)));
            }
            let mut free = others.iter().map(|lease| lease.subnet).filter(|subnet| !overlap(*subnet, own.subnet));
            let config = NetworkConfig::parse(HOST_GW).unwrap();
            let first = free.clone().find(|subnet| config.admits(*subnet)).or_else(|| free.next());
            prop_assert!(first.is_none_or(|subnet| peers.leases.contains_key(&subnet)), "the oldest is taken");
            prop_assert_eq!(&check(HOST_GW, &own, &others, &peers.leases).leases, &peers.leases);
        }
    }
}
