//! Pure: the iptables rules that pods need, as the text of one `iptables-restore --noflush`.
//!
//! All rules are in chains of our own, which are rewritten as a whole. Jumps from the kernel's chains are added only
//! where `iptables-save` does not show them, because a restore without flush would add them again and again.

use std::collections::BTreeSet;
use std::fmt::Write;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};

use super::super::HostPort;
use super::DEFAULT_BRIDGE;
use super::records::Record;

/// Names of our chains. The usual bridge has the plain names; others, which may live in the same network namespace,
/// have some of a hash in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chains {
    forward: String,
    postrouting: String,
    host_ports: String,
    /// Every host port has a chain, which begins with this.
    host_port_prefix: String,
}

/// What the rules are made of.
#[derive(Debug)]
pub struct Desired<'a> {
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
    pub fn of_bridge(bridge: &str) -> Self {
        let suffix = if bridge == DEFAULT_BRIDGE { String::new() } else { format!("-{}", &hash(bridge)[..6]) };
        Self {
            forward: format!("KUBENET-FORWARD{suffix}"),
            postrouting: format!("KUBENET-POSTROUTING{suffix}"),
            host_ports: format!("KUBE-HOSTPORTS{suffix}"),
            host_port_prefix: format!("KUBE-HP{suffix}-"),
        }
    }

    /// Jumps in the nat table: chain of the kernel and rule.
    fn nat_jumps(&self) -> [(&'static str, String); 3] {
        let host_ports = format!("-m addrtype --dst-type LOCAL -j {}", self.host_ports);
        [
            ("PREROUTING", host_ports.clone()),
            ("OUTPUT", host_ports),
            ("POSTROUTING", format!("-j {}", self.postrouting)),
        ]
    }

    fn filter_jump(&self) -> (&'static str, String) {
        ("FORWARD", format!("-j {}", self.forward))
    }
}

/// The text that turns `current` (as `iptables-save` prints it) into what is desired.
pub fn render(chains: &Chains, desired: &Desired<'_>, current: &str) -> String {
    let mut text = String::new();
    render_nat(chains, desired, current, &mut text);
    render_filter(chains, desired, current, &mut text);
    text
}

fn render_nat(chains: &Chains, desired: &Desired<'_>, current: &str, text: &mut String) {
    let ports = forwards(chains, &desired.records);
    let wanted: BTreeSet<&str> = ports.iter().map(|port| port.chain.as_str()).collect();
    let stale: Vec<&str> = host_port_chains(chains, current).filter(|chain| !wanted.contains(chain)).collect();
    line(text, "*nat");
    let own = [chains.postrouting.as_str(), chains.host_ports.as_str()];
    for chain in own.iter().chain(&wanted).chain(&stale) {
        line(text, &format!(":{chain} - [0:0]"));
    }
    for (chain, rule) in chains.nat_jumps() {
        add_jump(text, "nat", chain, &rule, current);
    }
    for port in &ports {
        line(text, &format!("-A {} {} -j {}", chains.host_ports, port.matching(), port.chain));
    }
    for port in &ports {
        let protocol = port.port.protocol.as_str();
        let target = format!("{}:{}", port.record.ip, port.port.container_port);
        line(text, &format!("-A {} -p {protocol} -j DNAT --to-destination {target}", port.chain));
    }
    masquerade(chains, desired, &ports, text);
    for chain in stale {
        line(text, &format!("-X {chain}"));
    }
    line(text, "COMMIT");
}

fn masquerade(chains: &Chains, desired: &Desired<'_>, ports: &[Forward<'_>], text: &mut String) {
    let chain = &chains.postrouting;
    if !ports.is_empty() {
        // A process of the node that used 127.0.0.1, and pods that reach themselves through a port of the node.
        line(text, &format!("-A {chain} -s 127.0.0.0/8 -o {} -j MASQUERADE", desired.bridge));
        let ips: BTreeSet<_> = ports.iter().map(|port| port.record.ip).collect();
        for ip in ips {
            line(text, &format!("-A {chain} -s {ip}/32 -d {ip}/32 -j MASQUERADE"));
        }
    }
    for cidr in [&desired.pod_cidr].into_iter().chain(desired.cluster_cidrs) {
        line(text, &format!("-A {chain} -d {cidr} -j RETURN"));
    }
    line(text, &format!("-A {chain} -s {} -m addrtype ! --dst-type LOCAL -j MASQUERADE", desired.pod_cidr));
}

fn render_filter(chains: &Chains, desired: &Desired<'_>, current: &str, text: &mut String) {
    line(text, "*filter");
    line(text, &format!(":{} - [0:0]", chains.forward));
    let (chain, rule) = chains.filter_jump();
    add_jump(text, "filter", chain, &rule, current);
    // A Docker daemon in this namespace makes DROP the policy.
    line(text, &format!("-A {} -i {} -j ACCEPT", chains.forward, desired.bridge));
    line(text, &format!("-A {} -o {} -j ACCEPT", chains.forward, desired.bridge));
    line(text, "COMMIT");
}

/// The text that removes everything of ours that `current` shows; empty if it shows nothing.
pub fn render_removal(chains: &Chains, current: &str) -> String {
    let mut text = String::new();
    let host_ports: Vec<&str> = host_port_chains(chains, current).collect();
    let nat = [chains.postrouting.as_str(), chains.host_ports.as_str()];
    remove(&mut text, "nat", &chains.nat_jumps(), &nat.into_iter().chain(host_ports).collect::<Vec<_>>(), current);
    remove(&mut text, "filter", &[chains.filter_jump()], &[chains.forward.as_str()], current);
    text
}

fn remove(text: &mut String, name: &str, jumps: &[(&'static str, String)], own: &[&str], current: &str) {
    let declared = |chain: &&&str| table(current, name).any(|line| line.starts_with(&format!(":{chain} ")));
    let present: Vec<&&str> = own.iter().filter(declared).collect();
    let jumps: Vec<String> = jumps.iter().map(|(chain, rule)| format!("{chain} {rule}")).collect();
    let jumps: Vec<&String> =
        jumps.iter().filter(|rule| table(current, name).any(|line| line == format!("-A {rule}"))).collect();
    if present.is_empty() && jumps.is_empty() {
        return;
    }
    line(text, &format!("*{name}"));
    present.iter().for_each(|chain| line(text, &format!(":{chain} - [0:0]")));
    jumps.iter().for_each(|rule| line(text, &format!("-D {rule}")));
    present.iter().for_each(|chain| line(text, &format!("-X {chain}")));
    line(text, "COMMIT");
}

/// One host port of one sandbox.
struct Forward<'a> {
    record: &'a Record,
    port: &'a HostPort,
    chain: String,
}

impl Forward<'_> {
    fn matching(&self) -> String {
        let protocol = self.port.protocol.as_str();
        let address = self.port.host_ip.filter(|ip| !ip.is_unspecified()).map(|ip| format!("-d {ip}/32 "));
        format!("{}-p {protocol} -m {protocol} --dport {}", address.unwrap_or_default(), self.port.host_port)
    }
}

fn forwards<'a>(chains: &Chains, records: &[&'a Record]) -> Vec<Forward<'a>> {
    let of_record = |record: &'a Record| record.host_ports.iter().map(move |port| (record, port));
    let forward = |(record, port): (&'a Record, &'a HostPort)| {
        let key = format!("{}/{port:?}", record.sandbox);
        Forward { record, port, chain: format!("{}{}", chains.host_port_prefix, &hash(&key)[..12]) }
    };
    records.iter().copied().flat_map(of_record).map(forward).collect()
}

fn host_port_chains<'a>(chains: &Chains, current: &'a str) -> impl Iterator<Item = &'a str> {
    let declaration = format!(":{}", chains.host_port_prefix);
    // The usual prefix begins the others too, but only these have a second dash.
    let length = declaration.len() + 12;
    table(current, "nat")
        .filter(move |line| line.starts_with(&declaration))
        .filter_map(|line| line.split_whitespace().next())
        .filter(move |chain| chain.len() == length)
        .map(|chain| &chain[1..])
}

/// The lines of one table.
fn table<'a>(current: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let header = format!("*{name}");
    current.lines().skip_while(move |line| *line != header).take_while(|line| *line != "COMMIT")
}

fn add_jump(text: &mut String, name: &str, chain: &str, rule: &str, current: &str) {
    let rule = format!("-A {chain} {rule}");
    if table(current, name).all(|line| line != rule) {
        line(text, &rule);
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
