//! Connection tracking entries of UDP services.
//!
//! The kernel remembers where a flow was translated to. A TCP connection to an endpoint that is gone breaks by itself;
//! a UDP client that keeps its port would send to it for ever. So entries whose endpoint is not one of the service's
//! are deleted. The entries themselves are compared with the services, not changes with each other: what happened
//! while no proxy ran is seen too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use iptables::{Family, Protocol};
use tokio::process::Command;

use crate::endpoint::Reachable;
use crate::service::ServiceMap;

/// For how long one run of `conntrack` may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Where clients send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entrance {
    /// A virtual, external or load balancer address.
    Address(SocketAddr),
    /// A port of any of the node's addresses.
    NodePort(u16),
}

/// Every entrance of a UDP service, and where its flows may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpServices(BTreeMap<Entrance, BTreeSet<SocketAddr>>);

impl UdpServices {
    /// The UDP services among these.
    #[must_use]
    pub fn of(services: &ServiceMap) -> Self {
        let mut entrances = BTreeMap::new();
        for port in services.values().filter(|port| port.protocol == Protocol::Udp) {
            let endpoints: BTreeSet<SocketAddr> = Reachable::of(port).all().iter().map(|e| e.address).collect();
            let addresses = [port.cluster_ip].into_iter().chain(port.external_ips.iter().copied());
            let addresses = addresses.chain(port.load_balancer_ips.iter().copied());
            let addresses = addresses.map(|ip| Entrance::Address(SocketAddr::new(ip, port.port)));
            for entrance in addresses.chain(port.node_port.map(Entrance::NodePort)) {
                entrances.insert(entrance, endpoints.clone());
            }
        }
        Self(entrances)
    }

    /// Adds the entrances of services that are gone: no flow may lead anywhere from there.
    #[must_use]
    pub fn with_removed(mut self, before: &UdpServices) -> Self {
        for entrance in before.0.keys() {
            self.0.entry(*entrance).or_default();
        }
        self
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Picks the flows that lead to a wrong place out of what `conntrack -L -p udp` printed.
    #[must_use]
    pub fn stale(&self, listing: &str, node_addresses: &[IpAddr]) -> BTreeSet<Flow> {
        let leads_astray = |flow: &Flow| {
            let on_node = flow.to.ip().is_loopback() || node_addresses.contains(&flow.to.ip());
            let by_port = || self.0.get(&Entrance::NodePort(flow.to.port())).filter(|_| on_node);
            let allowed = self.0.get(&Entrance::Address(flow.to)).or_else(by_port);
            allowed.is_some_and(|endpoints| !endpoints.contains(&flow.answered_by))
        };
        listing.lines().filter_map(Flow::parse).filter(leads_astray).collect()
    }
}

/// All flows from one entrance to one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Where the client sends to.
    pub to: SocketAddr,
    /// Who answers: the endpoint, or `to` itself when nothing was translated.
    pub answered_by: SocketAddr,
}

impl Flow {
    /// Reads `… src=… dst=TO sport=… dport=TO … src=ANSWERED_BY dst=… sport=ANSWERED_BY dport=… …`.
    fn parse(line: &str) -> Option<Self> {
        let values = |key: &'static str| line.split_whitespace().filter_map(move |word| word.strip_prefix(key));
        let to = SocketAddr::new(values("dst=").next()?.parse().ok()?, values("dport=").next()?.parse().ok()?);
        let answered_by = SocketAddr::new(values("src=").nth(1)?.parse().ok()?, values("sport=").nth(1)?.parse().ok()?);
        Some(Self { to, answered_by })
    }
}

/// Entries could not be listed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// The program could not be run.
    #[error("run conntrack")]
    Run(#[source] io::Error),
    /// The program did not finish.
    #[error("conntrack did not finish within {TIME_LIMIT:?}")]
    TimedOut,
    /// The program reported a failure.
    #[error("conntrack: {0}")]
    Failed(String),
}

/// Deletes the flows of the family that lead to a wrong place; answers how many kinds there were.
///
/// # Errors
/// When `conntrack` cannot be run or fails.
pub async fn delete_stale(
    family: Family,
    services: &UdpServices,
    node_addresses: &[IpAddr],
) -> Result<usize, ConntrackError> {
    let listing = conntrack(family, "-L", &[]).await?;
    let stale = services.stale(&listing, node_addresses);
    for flow in &stale {
        let (to, by) = (flow.to, flow.answered_by);
        let words = [to.ip().to_string(), to.port().to_string(), by.ip().to_string(), by.port().to_string()];
        let [dst, dport, src, sport] = words.each_ref().map(String::as_str);
        conntrack(family, "-D", &["-d", dst, "--dport", dport, "-r", src, "--reply-port-src", sport]).await?;
    }
    Ok(stale.len())
}

async fn conntrack(family: Family, action: &str, filter: &[&str]) -> Result<String, ConntrackError> {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let mut command = Command::new("conntrack");
    // The protocol goes first: it makes the options for its ports known.
    command.args([action, "-p", "udp", "-f", family]).args(filter).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TIME_LIMIT, command.output()).await;
    let output = output.map_err(|_| ConntrackError::TimedOut)?.map_err(ConntrackError::Run)?;
    let message = String::from_utf8_lossy(&output.stderr);
    // The flow may have ended meanwhile, which is what was wanted.
    if output.status.success() || message.contains(" 0 flow entries") {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ConntrackError::Failed(message.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_to_endpoints_that_are_gone_are_stale() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let dns = Entrance::Address(address("10.96.0.10:53"));
        let services = UdpServices(BTreeMap::from([
            (dns, BTreeSet::from([address("10.244.0.5:5353")])),
            (Entrance::NodePort(30053), BTreeSet::from([address("10.244.0.5:5353")])),
        ]));
        let gone = UdpServices(BTreeMap::from([(Entrance::Address(address("10.96.0.11:53")), BTreeSet::new())]));
        let services = services.with_removed(&gone);
        let listing = "\
udp 17 29 src=10.244.0.9 dst=10.96.0.10 sport=4000 dport=53 src=10.244.0.5 dst=10.244.0.9 sport=5353 dport=4000 mark=0 use=1
udp 17 29 src=10.244.0.9 dst=10.96.0.10 sport=4001 dport=53 src=10.244.0.6 dst=10.244.0.9 sport=5353 dport=4001 [ASSURED] use=1
udp 17 29 src=10.244.0.9 dst=10.96.0.10 sport=4002 dport=53 [UNREPLIED] src=10.96.0.10 dst=10.244.0.9 sport=53 dport=4002 use=1
udp 17 29 src=10.244.0.9 dst=10.96.0.11 sport=4003 dport=53 src=10.244.0.5 dst=10.244.0.9 sport=5353 dport=4003 use=1
udp 17 29 src=1.2.3.4 dst=192.168.0.1 sport=4004 dport=30053 src=10.244.0.6 dst=1.2.3.4 sport=5353 dport=4004 use=1
udp 17 29 src=10.244.0.9 dst=8.8.8.8 sport=4004 dport=30053 src=8.8.8.8 dst=10.244.0.9 sport=30053 dport=4004 use=1
udp 17 29 src=10.244.0.9 dst=8.8.8.8 sport=4005 dport=53 src=8.8.8.8 dst=10.244.0.9 sport=53 dport=4005 use=1
conntrack v1.4.7 (conntrack-tools): 7 flow entries have been shown.
";
        let stale = services.stale(listing, &["192.168.0.1".parse().unwrap()]);
        let stale: Vec<String> = stale.iter().map(|flow| format!("{} {}", flow.to, flow.answered_by)).collect();
        assert_eq!(
            stale,
            [
                "10.96.0.10:53 10.96.0.10:53",
                "10.96.0.10:53 10.244.0.6:5353",
                "10.96.0.11:53 10.244.0.5:5353",
                "192.168.0.1:30053 10.244.0.6:5353"
            ]
        );
    }
}
