//! What is there without any service: sets, and the chains that look into them.

use std::net::IpAddr;

use iptables::Family;
use netfilter::{Chain, Set};

use crate::settings::{InvalidPackets, LocalhostNodePorts, Masquerade, NodePortAddresses, PodTraffic, Settings};

/// By address, protocol and port: the chain of a service's shape.
pub const SERVICE_IPS: &str = "service-ips";
/// By protocol and port: the chain of a service's shape.
pub const NODE_PORTS: &str = "node-ports";
/// By address, protocol and port: how what has no endpoint is refused.
pub const NO_ENDPOINTS: &str = "no-endpoints";
/// By protocol and port: how what has no endpoint is refused.
pub const NO_ENDPOINT_NODE_PORTS: &str = "no-endpoint-node-ports";
/// By address, protocol and port: the chain that knows who may come in.
pub const FIREWALL: &str = "firewall";
/// Source and destination of endpoints that call themselves.
pub const HAIRPIN: &str = "hairpin";

/// Marks a packet for masquerading.
pub const MARK: &str = "mark-for-masquerade";
/// Refuses a packet with an answer.
pub const REJECT: &str = "reject-chain";

/// A protocol must be matched before its port can be translated.
pub(super) const TRANSPORT: &str = "meta l4proto { tcp, udp, sctp }";
/// How sets are asked about the port of a service.
pub(super) const PORT: &str = "meta l4proto . th dport";

/// Names that differ between the families.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// `ip` or `ip6`.
    pub ip: &'static str,
    /// The type of addresses in sets.
    pub address: &'static str,
    /// The loopback addresses.
    pub loopback: &'static str,
}

/// The words of a family.
#[must_use]
pub fn words(family: Family) -> Words {
    match family {
        Family::V4 => Words { ip: "ip", address: "ipv4_addr", loopback: "127.0.0.0/8" },
        Family::V6 => Words { ip: "ip6", address: "ipv6_addr", loopback: "::1" },
    }
}

/// The sets.
#[must_use]
pub fn sets(family: Family) -> Vec<Set> {
    let Words { address, .. } = words(family);
    let by_address = format!("type {address} . inet_proto . inet_service : verdict ;");
    let by_port = "type inet_proto . inet_service : verdict ;".to_owned();
    [
        ("map", SERVICE_IPS, by_address.clone()),
        ("map", NODE_PORTS, by_port.clone()),
        ("map", NO_ENDPOINTS, by_address.clone()),
        ("map", NO_ENDPOINT_NODE_PORTS, by_port),
        ("map", FIREWALL, by_address),
        ("set", HAIRPIN, format!("type {address} . {address} ;")),
    ]
    .map(|(kind, name, definition)| Set { kind, name: name.to_owned(), definition })
    .into()
}

/// The chains, each behind those that it leads to.
#[must_use]
pub fn chains(settings: &Settings, family: Family) -> Vec<Chain> {
    let Words { ip, .. } = words(family);
    let lookup = |set: &str| format!("{ip} daddr . {PORT} vmap @{set}");
    let new = |chain: &str| format!("ct state new jump {chain}");
    let mut services = vec![lookup(SERVICE_IPS)];
    services.extend(node_ports(settings, family));
    let mut forward = invalid(settings);
    forward.extend([new("endpoints-check"), new("ranges-check")]);
    let mut input = protect_loopback(settings, family);
    input.extend([new("node-ports-check"), new("endpoints-check")]);
    let mut output = protect_loopback(settings, family);
    output.extend([new("endpoints-check"), new("ranges-check")]);
    let node_ports_check = format!("fib daddr type local {PORT} vmap @{NO_ENDPOINT_NODE_PORTS}");
    let inner = [
        (MARK, vec![format!("meta mark set meta mark | {:#x}", settings.mark.value)]),
        (REJECT, vec!["reject".to_owned()]),
        ("services", services),
        ("masquerading", masquerading(settings, family)),
        ("firewall-check", vec![lookup(FIREWALL)]),
        ("endpoints-check", vec![lookup(NO_ENDPOINTS)]),
        ("node-ports-check", vec![node_ports_check]),
        ("ranges-check", refuse_ranges(settings, family)),
    ];
    // Numbers for what nft 1.0 has names for in some hooks only: -100 is where destinations, 100 where sources are
    // translated.
    let hooked = [
        ("nat-prerouting", "type nat hook prerouting priority -100", vec!["jump services".to_owned()]),
        ("nat-output", "type nat hook output priority -100", vec!["jump services".to_owned()]),
        ("nat-postrouting", "type nat hook postrouting priority 100", vec!["jump masquerading".to_owned()]),
        ("filter-prerouting", "type filter hook prerouting priority -110", vec![new("firewall-check")]),
        ("filter-output-before-nat", "type filter hook output priority -110", vec![new("firewall-check")]),
        ("filter-input", "type filter hook input priority -10", input),
        ("filter-forward", "type filter hook forward priority -10", forward),
        ("filter-output", "type filter hook output priority -10", output),
    ];
    let inner = inner.map(|(name, rules)| Chain::new(name, rules));
    let hooked = hooked.map(|(name, hook, rules)| Chain { hook: Some(hook), ..Chain::new(name, rules) });
    inner.into_iter().chain(hooked).collect()
}

/// What is for this node itself may be for a node port.
fn node_ports(settings: &Settings, family: Family) -> Option<String> {
    let Words { ip, loopback, .. } = words(family);
    let answered = family == Family::V4 && settings.localhost == LocalhostNodePorts::Answered;
    let lookup = format!("{PORT} vmap @{NODE_PORTS}");
    match &settings.node_ports {
        NodePortAddresses::All if answered => Some(format!("fib daddr type local {lookup}")),
        NodePortAddresses::All => Some(format!("fib daddr type local {ip} daddr != {loopback} {lookup}")),
        NodePortAddresses::These(addresses) => {
            let ours = |address: &&IpAddr| Family::of(**address) == family && (answered || !address.is_loopback());
            let list: Vec<String> = addresses.iter().filter(ours).map(ToString::to_string).collect();
            (!list.is_empty()).then(|| format!("{ip} daddr {{ {} }} {lookup}", list.join(", ")))
        }
    }
}

/// The packet may pass this hook again inside a tunnel, so it is unmarked. Source ports are chosen at random for the
/// reason that [`crate::settings::MASQUERADE_PORTS`] gives.
fn masquerading(settings: &Settings, family: Family) -> Vec<String> {
    let Words { ip, .. } = words(family);
    let mark = settings.mark.value;
    vec![
        format!("ct status dnat {ip} saddr . {ip} daddr @{HAIRPIN} masquerade fully-random"),
        format!("meta mark & {mark:#x} == 0 return"),
        format!("meta mark set meta mark & {:#x}", !mark),
        "masquerade fully-random".to_owned(),
    ]
}

fn invalid(settings: &Settings) -> Vec<String> {
    match settings.invalid {
        InvalidPackets::Dropped => vec!["ct state invalid drop".to_owned()],
        InvalidPackets::Ignored => Vec::new(),
    }
}

/// `route_localnet` lets the network reach services that listen on loopback addresses only; this rule keeps it out,
/// see CVE-2020-8558.
fn protect_loopback(settings: &Settings, family: Family) -> Vec<String> {
    if family != Family::V4 || settings.localhost != LocalhostNodePorts::Answered {
        return Vec::new();
    }
    let Words { ip, loopback, .. } = words(family);
    let ours = "ct state != { established, related } ct status & dnat == 0";
    vec![format!("{ip} daddr {loopback} {ip} saddr != {loopback} {ours} drop")]
}

/// Masquerades what comes to a virtual address from elsewhere than pods.
pub(super) fn masquerade_off_cluster(settings: &Settings, family: Family) -> Option<String> {
    match settings.masquerade {
        Masquerade::All => Some(format!("jump {MARK}")),
        Masquerade::OffCluster => Some(format!("{} jump {MARK}", from_pod(settings, family, " !=")?)),
    }
}

/// The condition "a pod sent it", or with `not` its contrary; `None` when pods are not recognised in this family.
pub(super) fn from_pod(settings: &Settings, family: Family, not: &str) -> Option<String> {
    let Words { ip, .. } = words(family);
    match &settings.pods {
        PodTraffic::Unknown | PodTraffic::NodeCidrs => None,
        PodTraffic::Cidrs(nets) => {
            let net = nets.iter().find(|net| Family::of(net.addr()) == family)?;
            Some(format!("{ip} saddr{not} {}", net.trunc()))
        }
        PodTraffic::Bridge(name) => Some(format!("iifname{not} \"{name}\"")),
        PodTraffic::InterfacePrefix(prefix) => Some(format!("iifname{not} \"{prefix}*\"")),
    }
}

/// What is still for a virtual address when destinations have been translated is for a port that no service has. It
/// would leave the node by its default route.
fn refuse_ranges(settings: &Settings, family: Family) -> Vec<String> {
    let Words { ip, .. } = words(family);
    settings.ranges(family).map(|net| format!("{ip} daddr {net} goto {REJECT}")).collect()
}
