//! Pure: the iptables rules that pods need.
//!
//! All rules are in chains of our own. In the kernel's chains there are only jumps to them.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use iptables::{AddrType, BadChainName, ChainName, Desired, Hook, Place, PortChoice, Rule, Table, Target};
use sha2::{Digest, Sha256};

use super::super::{HostPort, Protocol};
use super::DEFAULT_BRIDGE;
use super::record::Record;

/// How much of a hash is in the name of a host port's chain.
const PORT_HASH: usize = 12;
/// How much of a hash is in the names of a bridge's chains.
const BRIDGE_HASH: usize = 6;
/// What names of host ports' chains begin with.
const PORT_PREFIX: &str = "KUBE-HP-";

/// Names of our chains. The usual bridge has the plain names; others, which may live in the same network namespace,
/// have some of a hash in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chains {
    forward: ChainName,
    postrouting: ChainName,
    host_ports: ChainName,
    /// Every host port has a chain, which begins with this.
    host_port_prefix: String,
}

/// What the rules are made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The bridge.
    pub bridge: &'a str,
    /// The node's Pod CIDR.
    pub pod_cidr: Ipv4Net,
    /// Where pods' own addresses are understood.
    pub cluster_cidrs: &'a [Ipv4Net],
    /// All sandboxes.
    pub records: Vec<&'a Record>,
}

impl Chains {
    /// The names for this bridge.
    ///
    /// # Errors
    /// Never: all names fit into the kernel whatever the bridge is called.
    pub fn of_bridge(bridge: &str) -> Result<Self, BadChainName> {
        let usual = bridge == DEFAULT_BRIDGE;
        let mark = hash(bridge, BRIDGE_HASH);
        let named = |name: &str| ChainName::new(if usual { name.to_owned() } else { format!("{name}-{mark}") });
        Ok(Self {
            forward: named("KUBENET-FORWARD")?,
            postrouting: named("KUBENET-POSTROUTING")?,
            host_ports: named("KUBE-HOSTPORTS")?,
            host_port_prefix: if usual { PORT_PREFIX.to_owned() } else { format!("{PORT_PREFIX}{mark}-") },
        })
    }

    /// Whether a chain is ours.
    pub fn owns(&self, chain: &ChainName) -> bool {
        // The usual prefix begins the others too, but only these have a second dash.
        let is_hash = |rest: &str| rest.len() == PORT_HASH && rest.bytes().all(|c| c.is_ascii_hexdigit());
        [&self.forward, &self.postrouting, &self.host_ports].contains(&chain)
            || chain.as_str().strip_prefix(&self.host_port_prefix).is_some_and(is_hash)
    }

    fn of_port(&self, record: &Record, port: &HostPort) -> Result<ChainName, BadChainName> {
        let key = hash(&format!("{}/{port:?}", record.sandbox), PORT_HASH);
        ChainName::new(format!("{}{key}", self.host_port_prefix))
    }
}

/// The rules, all of them.
///
/// # Errors
/// As [`Chains::of_bridge`].
pub fn render(chains: &Chains, facts: &Facts<'_>) -> Result<Desired, BadChainName> {
    let mut desired = Desired::default();
    forward_host_ports(&mut desired, chains, facts)?;
    *desired.chain(Table::Nat, &chains.postrouting) = masquerade(facts);
    let bridge = || facts.bridge.to_owned();
    // A Docker daemon in this namespace makes DROP the policy.
    *desired.chain(Table::Filter, &chains.forward) = vec![
        Rule::new().in_interface(bridge()).target(Target::Accept),
        Rule::new().out_interface(bridge()).target(Target::Accept),
    ];
    let local = || Rule::new().destination_type(AddrType::Local).jump(chains.host_ports.clone());
    for (table, chain, rule) in [
        (Table::Nat, ChainName::PREROUTING, local()),
        (Table::Nat, ChainName::OUTPUT, local()),
        (Table::Nat, ChainName::POSTROUTING, Rule::new().jump(chains.postrouting.clone())),
        (Table::Filter, ChainName::FORWARD, Rule::new().jump(chains.forward.clone())),
    ] {
        desired.hook(Hook { table, chain, place: Place::Last, rule });
    }
    Ok(desired)
}

fn forward_host_ports(desired: &mut Desired, chains: &Chains, facts: &Facts<'_>) -> Result<(), BadChainName> {
    desired.chain(Table::Nat, &chains.host_ports);
    for (record, port) in host_ports(facts) {
        let protocol = protocol(port);
        let chain = chains.of_port(record, port)?;
        let matching = match port.host_ip.filter(|ip| !ip.is_unspecified()) {
            Some(ip) => Rule::new().destination(ip),
            None => Rule::new(),
        };
        let matching = matching.destination_port(protocol.clone(), port.host_port);
        desired.chain(Table::Nat, &chains.host_ports).push(matching.jump(chain.clone()));
        let to = std::net::SocketAddr::new(record.ip.into(), port.container_port);
        *desired.chain(Table::Nat, &chain) = vec![Rule::new().protocol(protocol).dnat(to)];
    }
    Ok(())
}

fn masquerade(facts: &Facts<'_>) -> Vec<Rule> {
    let masquerade = |rule: Rule| rule.masquerade(PortChoice::Keep);
    let mut rules = Vec::new();
    let ips: BTreeSet<_> = host_ports(facts).map(|(record, _)| record.ip).collect();
    if !ips.is_empty() {
        // A process of the node that used 127.0.0.1, and pods that reach themselves through a port of the node.
        let loopback = Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);
        rules.push(masquerade(Rule::new().source(loopback).out_interface(facts.bridge.to_owned())));
    }
    let alone = |ip| Ipv4Net::from(ip);
    rules.extend(ips.into_iter().map(|ip| masquerade(Rule::new().source(alone(ip)).destination(alone(ip)))));
    let understood = [&facts.pod_cidr].into_iter().chain(facts.cluster_cidrs);
    rules.extend(understood.map(|cidr| Rule::new().destination(*cidr).target(Target::Return)));
    rules.push(masquerade(Rule::new().source(facts.pod_cidr).not_destination_type(AddrType::Local)));
    rules
}

/// Pods have IPv4 addresses only, so that an IPv6 address of the node leads nowhere.
fn host_ports<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a Record, &'a HostPort)> {
    let all = facts.records.iter().flat_map(|record| record.host_ports.iter().map(move |port| (*record, port)));
    all.filter(|(_, port)| port.host_ip.is_none_or(|ip| ip.is_ipv4() || ip.is_unspecified()))
}

fn protocol(port: &HostPort) -> iptables::Protocol {
    match port.protocol {
        Protocol::Tcp => iptables::Protocol::Tcp,
        Protocol::Udp => iptables::Protocol::Udp,
        Protocol::Sctp => iptables::Protocol::Sctp,
    }
}

fn hash(text: &str, length: usize) -> String {
    Sha256::digest(text)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|n| format!("{n:X}"))
        .take(length)
        .collect()
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
