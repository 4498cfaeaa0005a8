//! Connection tracking entries of UDP services.
//!
//! The kernel remembers where a flow was translated to. A TCP connection to an endpoint that is gone breaks by itself;
//! a UDP client that keeps its port would send to it for ever. So entries whose endpoint is not one of the service's
//! are deleted. The entries themselves are compared with the services, not changes with each other: what happened
//! while no proxy ran is seen too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use iptables::{Family, Protocol};
use netfilter::conntrack::{Conntrack, Flow, UDP};

use crate::endpoint::Reachable;
use crate::nft::table;
use crate::service::ServicePort;
use crate::table::Change;

/// Where clients send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entrance {
    /// A virtual, external or load balancer address.
    Address(SocketAddr),
    /// A port of any of the node's addresses.
    NodePort(u16),
}

/// Entrances of UDP services, and where their flows may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpServices(BTreeMap<Entrance, BTreeSet<SocketAddr>>);

impl UdpServices {
    /// Takes note of what has changed: from entrances of services that are gone no flow may lead anywhere.
    pub fn note(&mut self, changes: &[Change]) {
        let udp = |port: &&ServicePort| port.protocol == Protocol::Udp;
        for port in changes.iter().filter_map(|change| change.old.as_deref()).filter(udp) {
            self.0.extend(entrances(port).map(|entrance| (entrance, BTreeSet::new())));
        }
        for port in changes.iter().filter_map(|change| change.new.as_deref()).filter(udp) {
            let endpoints: BTreeSet<SocketAddr> = Reachable::of(port).all().iter().map(|e| e.address).collect();
            self.0.extend(entrances(port).map(|entrance| (entrance, endpoints.clone())));
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
        let on_node = flow.to.ip().is_loopback() || node_addresses.contains(&flow.to.ip());
        let by_port = || self.0.get(&Entrance::NodePort(flow.to.port())).filter(|_| on_node);
        let allowed = self.0.get(&Entrance::Address(flow.to)).or_else(by_port);
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

/// Every entrance of a service port.
fn entrances(port: &ServicePort) -> impl Iterator<Item = Entrance> {
    let addresses = [port.cluster_ip].into_iter().chain(port.external_ips.iter().copied());
    let addresses = addresses.chain(port.load_balancer_ips.iter().copied());
    let addresses = addresses.map(|ip| Entrance::Address(SocketAddr::new(ip, port.port)));
    addresses.chain(port.node_port.map(Entrance::NodePort))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_to_endpoints_that_are_gone_are_stale() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let here = BTreeSet::from([address("10.244.0.5:5353")]);
        let services = UdpServices(BTreeMap::from([
            (Entrance::Address(address("10.96.0.10:53")), here.clone()),
            (Entrance::Address(address("10.96.0.11:53")), BTreeSet::new()),
            (Entrance::NodePort(30053), here),
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
