//! From policies, pods and namespaces to what a node enforces: pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api_types::IntOrString;
use api_types::meta::LabelSelector;
use api_types::selector::label::Selector;
use ipnet::IpNet;

use super::model::{IpBlock, Namespace, NetworkPolicy, Peer, Pod, PolicyPort, PolicyRule, or_tcp};
use super::ruleset::{Direction, Peers, Ports, Rule, Ruleset};

/// What policies are held against.
#[derive(Debug)]
pub struct World<'a> {
    by_namespace: HashMap<&'a str, Vec<&'a Pod>>,
    namespaces: &'a [Arc<Namespace>],
    node: &'a str,
}

impl<'a> World<'a> {
    /// The cluster as seen from `node`.
    #[must_use]
    pub fn new(pods: &'a [Arc<Pod>], namespaces: &'a [Arc<Namespace>], node: &'a str) -> Self {
        let mut by_namespace: HashMap<&str, Vec<&Pod>> = HashMap::new();
        for pod in pods {
            by_namespace.entry(pod.namespace()).or_default().push(pod);
        }
        Self { by_namespace, namespaces, node }
    }

    fn pods_in(&self, namespace: &str) -> &[&'a Pod] {
        self.by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }
}

/// What the node enforces: the policies that select pods of this node, and for each address who restricts it.
#[must_use]
pub fn plan(policies: &[Arc<NetworkPolicy>], world: &World<'_>) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for policy in policies {
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        let name = format!("{namespace}/{}", policy.metadata.name.as_deref().unwrap_or_default());
        let selector = selector(Some(&policy.spec.pod_selector));
        let selected: Vec<&Pod> =
            world.pods_in(namespace).iter().copied().filter(|pod| selector.matches(pod.labels())).collect();
        let local = selected.iter().filter(|pod| pod.spec.node_name.as_deref() == Some(world.node));
        let local: BTreeSet<IpAddr> = local.flat_map(|pod| pod.addresses()).collect();
        if local.is_empty() {
            continue;
        }
        for direction in Direction::ALL.into_iter().filter(|direction| restricts(policy, *direction)) {
            for ip in &local {
                ruleset.isolated.entry((direction, *ip)).or_default().insert(name.clone());
            }
            let rules = match direction {
                Direction::Egress => &policy.spec.egress,
                Direction::Ingress => &policy.spec.ingress,
            };
            let rules = rules.iter().map(|rule| self::rule(rule, direction, namespace, &selected, world)).collect();
            ruleset.policies.insert((direction, name.clone()), rules);
        }
    }
    ruleset
}

/// Without types a policy restricts what comes in, and what goes out if it says anything of that.
fn restricts(policy: &NetworkPolicy, direction: Direction) -> bool {
    let types = &policy.spec.policy_types;
    match direction {
        Direction::Ingress => types.is_empty() || types.iter().any(|kind| kind == "Ingress"),
        Direction::Egress if types.is_empty() => !policy.spec.egress.is_empty(),
        Direction::Egress => types.iter().any(|kind| kind == "Egress"),
    }
}

/// What cannot be understood selects nothing.
fn selector(selector: Option<&LabelSelector>) -> Selector {
    Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing())
}

fn rule(rule: &PolicyRule, direction: Direction, namespace: &str, selected: &[&Pod], world: &World<'_>) -> Rule {
    let pods = pods_of(&rule.peers, namespace, world);
    // Ports are the ports of who is asked: of the selected pods when somebody comes in.
    let asked = match direction {
        Direction::Ingress => selected,
        Direction::Egress => pods.as_slice(),
    };
    let ports = ports_of(&rule.ports, asked, direction == Direction::Egress && rule.peers.is_empty(), world);
    let peers = if rule.peers.is_empty() {
        Peers::Anybody
    } else {
        let blocks = rule.peers.iter().filter_map(|peer| peer.ip_block.as_ref()).filter_map(block).collect();
        Peers::Some { addresses: pods.iter().flat_map(|pod| pod.addresses()).collect(), blocks }
    };
    Rule { peers, ports }
}

fn block(block: &IpBlock) -> Option<(IpNet, Vec<IpNet>)> {
    let net: IpNet = block.cidr.parse().ok()?;
    let same_family = |hole: &IpNet| hole.addr().is_ipv4() == net.addr().is_ipv4();
    let holes = block.except.iter().filter_map(|text| text.parse::<IpNet>().ok()).filter(same_family);
    Some((net.trunc(), holes.map(|hole| hole.trunc()).collect()))
}

/// The pods that are meant by any of the peers.
fn pods_of<'a>(peers: &[Peer], namespace: &str, world: &World<'a>) -> Vec<&'a Pod> {
    let mut found = Vec::new();
    for peer in peers.iter().filter(|peer| peer.ip_block.is_none()) {
        let pods = peer.pod_selector.as_ref().map_or_else(Selector::everything, |own| selector(Some(own)));
        let mut take = |namespace: &str| {
            found.extend(world.pods_in(namespace).iter().copied().filter(|pod| pods.matches(pod.labels())));
        };
        match &peer.namespace_selector {
            Some(namespaces) => {
                let namespaces = selector(Some(namespaces));
                let matching = world.namespaces.iter().filter(|one| namespaces.matches(&one.metadata.labels));
                matching.filter_map(|one| one.metadata.name.as_deref()).for_each(&mut take);
            }
            None if peer.pod_selector.is_some() => take(namespace),
            None => {}
        }
    }
    found
}

/// The ports that are meant; those by name as `asked` have them, or all pods when everybody may be asked.
fn ports_of(ports: &[PolicyPort], asked: &[&Pod], everybody: bool, world: &World<'_>) -> Ports {
    if ports.is_empty() {
        return Ports::All;
    }
    let mut ranges: BTreeMap<&'static str, BTreeSet<(u16, u16)>> = BTreeMap::new();
    let mut named = BTreeSet::new();
    let all = || world.by_namespace.values().flatten().copied();
    for port in ports {
        let Some(protocol) = protocol(or_tcp(&port.protocol)) else { continue };
        match &port.port {
            None => {
                ranges.entry(protocol).or_default().insert((0, u16::MAX));
            }
            Some(IntOrString::Int(first)) => {
                let last = port.end_port.unwrap_or(*first);
                if let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(last))
                    && first <= last
                {
                    ranges.entry(protocol).or_default().insert((first, last));
                }
            }
            Some(IntOrString::String(name)) => {
                let mut note = |pod: &Pod| {
                    for number in pod.ports(name, or_tcp(&port.protocol)) {
                        named.extend(pod.addresses().map(|ip| (ip, protocol, number)));
                    }
                };
                match everybody {
                    true => all().for_each(&mut note),
                    false => asked.iter().copied().for_each(&mut note),
                }
            }
        }
    }
    Ports::Some { ranges, named }
}

/// The protocol in nftables' spelling.
fn protocol(name: &str) -> Option<&'static str> {
    match name {
        "TCP" => Some("tcp"),
        "UDP" => Some("udp"),
        "SCTP" => Some("sctp"),
        _ => None,
    }
}
