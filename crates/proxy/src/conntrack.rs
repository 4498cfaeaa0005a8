//! Connection tracking entries of UDP services.
//!
//! The kernel remembers where a flow was translated to. A TCP connection to an endpoint that is gone breaks by itself;
//! a UDP client that keeps its port would send to it for ever. So entries whose endpoint is not one of the service's
//! are deleted. The entries themselves are compared with the services, not changes with each other: what happened
//! while no proxy ran is seen too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use iptables::Family;
use netfilter::conntrack::{Conntrack, Flow, UDP};

use crate::endpoint::Reachable;
use crate::entrance::{Key, Transport, entrances, owners};
use crate::nft::table;
use crate::service::ServiceMap;
use crate::table::Change;

/// Entrances of UDP services, and where their flows may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpServices(BTreeMap<Key, Arc<BTreeSet<SocketAddr>>>);

impl UdpServices {
    /// Takes note of what has changed among the services, which are as they are now. Where nobody has an entrance any
    /// more, its flows may lead nowhere.
    pub fn note(&mut self, changes: &[Change], services: &ServiceMap) {
        let ports = changes.iter().flat_map(|change| [&change.old, &change.new]).flatten();
        let udp = ports.filter(|port| port.transport == Transport::Udp);
        let keys: BTreeSet<Key> = udp.flat_map(|port| entrances(port)).map(|entrance| entrance.key()).collect();
        if keys.is_empty() {
            return;
        }
        let nowhere = Arc::default();
        self.0.extend(keys.iter().map(|key| (*key, Arc::clone(&nowhere))));
        let mut known: BTreeMap<_, Arc<BTreeSet<SocketAddr>>> = BTreeMap::new();
        for (key, owner) in owners(services, |key| keys.contains(&key)) {
            let endpoints = || Reachable::of(&owner.port).all().iter().map(|endpoint| endpoint.address).collect();
            let endpoints = known.entry(owner.name).or_insert_with(|| Arc::new(endpoints()));
            self.0.insert(key, Arc::clone(endpoints));
        }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the flow leads to a wrong place.
    #[must_use]
    pub fn is_stale(&self, flow: &Flow, node_addresses: &[IpAddr]) -> bool {
        let (ip, port) = (flow.to.ip(), flow.to.port());
        let on_node = ip.is_loopback() || node_addresses.contains(&ip);
        let by_port = || self.0.get(&Key(None, Transport::Udp, port)).filter(|_| on_node);
        let allowed = self.0.get(&Key(Some(ip), Transport::Udp, port)).or_else(by_port);
        allowed.is_some_and(|endpoints| !endpoints.contains(&flow.answered_by))
    }

    /// Deletes the flows of the family that lead to a wrong place; answers how many there were. The table is read
    /// once, whatever the number of services.
    ///
    /// # Errors
    /// When the kernel does not tell of flows, or does not delete them.
    pub async fn delete_stale(self, family: Family, node_addresses: Vec<IpAddr>) -> io::Result<usize> {
        // Opened here, because a thread may be in a network namespace of its own.
        let conntrack = Conntrack::open()?;
        let family = table(family).family;
        let work = move || {
            let mut stale = Vec::new();
            conntrack.each(family, UDP, |flow| {
                if self.is_stale(&flow, &node_addresses) {
                    stale.push(flow);
                }
            })?;
            conntrack.delete(family, &stale)?;
            Ok(stale.len())
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_to_endpoints_that_are_gone_are_stale() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let here = Arc::new(BTreeSet::from([address("10.244.0.5:5353")]));
        let of = |text: &str| Key(Some(text.parse().unwrap()), Transport::Udp, 53);
        let services = UdpServices(BTreeMap::from([
            (of("10.96.0.10"), here.clone()),
            (of("10.96.0.11"), Arc::default()),
            (Key(None, Transport::Udp, 30053), here),
        ]));
        let cases = [
            ("10.96.0.10:53", "10.244.0.5:5353", false, "led to the endpoint"),
            ("10.96.0.10:53", "10.244.0.6:5353", true, "led to an endpoint that is gone"),
            ("10.96.0.10:53", "10.96.0.10:53", true, "not translated, since it is older than the service"),
            ("10.96.0.11:53", "10.244.0.5:5353", true, "of a service that is gone"),
            ("192.168.0.1:30053", "10.244.0.6:5353", true, "to a node port"),
            ("127.0.0.1:30053", "10.244.0.6:5353", true, "to a node port, on the node"),
            ("8.8.8.8:30053", "8.8.8.8:30053", false, "to the same port of somebody else"),
            ("8.8.8.8:53", "8.8.8.8:53", false, "not to a service"),
        ];
        for (to, by, expected, what) in cases {
            let flow = Flow::new(address(to), address(by));
            assert_eq!(services.is_stale(&flow, &[address("192.168.0.1:0").ip()]), expected, "{what}");
        }
    }
}
