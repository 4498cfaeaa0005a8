//! From policies, pods and namespaces to what a node enforces: pure.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use api_types::IntOrString;
use api_types::meta::LabelSelector;
use api_types::selector::label::Selector;
use ipnet::IpNet;

use super::model::{ContainerPort, IpBlock, Namespace, NetworkPolicy, Peer, Pod, PolicyPort, PolicyRule, or_tcp};
use super::ranges::Ranges;
use super::ruleset::{Direction, Peers, Ports, Rule, Ruleset};

/// What policies are held against.
#[derive(Debug)]
pub struct World<'a> {
    by_namespace: HashMap<&'a str, Vec<&'a Pod>>,
    namespaces: &'a [Arc<Namespace>],
    node: &'a str,
    /// What lists of peers mean, once they have been looked up; by namespace, where that counts, and list. Peers of
    /// one policy are often those of others, too.
    peers: RefCell<HashMap<String, Meant<'a>>>,
}

/// What a list of peers means, and the pods among them.
type Meant<'a> = (Arc<Peers>, Arc<[&'a Pod]>);

impl<'a> World<'a> {
    /// The cluster as seen from `node`.
    #[must_use]
    pub fn new(pods: &'a [Arc<Pod>], namespaces: &'a [Arc<Namespace>], node: &'a str) -> Self {
        let mut by_namespace: HashMap<&str, Vec<&Pod>> = HashMap::new();
        for pod in pods {
            by_namespace.entry(pod.namespace()).or_default().push(pod);
        }
        Self { by_namespace, namespaces, node, peers: RefCell::default() }
    }

    fn pods_in(&self, namespace: &str) -> &[&'a Pod] {
        self.by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The pods of a namespace that are meant.
    fn selected(&self, namespace: &str, selector: &Selector) -> impl Iterator<Item = &'a Pod> {
        self.pods_in(namespace).iter().copied().filter(|pod| selector.matches(pod.labels()))
    }

    /// What a list of peers means.
    fn peers(&self, peers: &[Peer], namespace: &str) -> Meant<'a> {
        let anywhere = peers.iter().all(|peer| peer.namespace_selector.is_some() || peer.ip_block.is_some());
        let key = format!("{} {peers:?}", if anywhere { "" } else { namespace });
        if let Some(known) = self.peers.borrow().get(&key) {
            return known.clone();
        }
        let pods: Arc<[&Pod]> = pods_of(peers, namespace, self).into();
        let meant = match peers {
            [] => Peers::Anybody,
            peers => {
                Peers::Some { addresses: pods.iter().flat_map(|pod| pod.addresses()).collect(), blocks: blocks(peers) }
            }
        };
        let found = (Arc::new(meant), pods);
        self.peers.borrow_mut().insert(key, found.clone());
        found
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
        let local =
            world.selected(namespace, &selector).filter(|pod| pod.spec.node_name.as_deref() == Some(world.node));
        let local: BTreeSet<IpAddr> = local.flat_map(Pod::addresses).collect();
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
            let rules = rules.iter().map(|rule| self::rule(rule, direction, namespace, &selector, world)).collect();
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

fn rule(rule: &PolicyRule, direction: Direction, namespace: &str, selected: &Selector, world: &World<'_>) -> Rule {
    let (peers, pods) = world.peers(&rule.peers, namespace);
    let wanted = named(&rule.ports);
    // Ports are the ports of who is asked: of the selected pods when somebody comes in.
    let of = |pod: &Pod| ports_by_name(pod, &wanted);
    let named = match direction {
        _ if wanted.is_empty() => BTreeSet::new(),
        Direction::Ingress => world.selected(namespace, selected).flat_map(of).collect(),
        Direction::Egress if rule.peers.is_empty() => {
            world.by_namespace.values().flatten().copied().flat_map(of).collect()
        }
        Direction::Egress => pods.iter().copied().flat_map(of).collect(),
    };
    let ports = match rule.ports.as_slice() {
        [] => Ports::All,
        ports => Ports::Some { ranges: by_number(ports), named },
    };
    Rule { peers, ports }
}

/// The addresses of all blocks together, of IPv4 and of IPv6. One that cannot be understood has none.
fn blocks(peers: &[Peer]) -> [Ranges; 2] {
    let all = peers.iter().filter_map(|peer| peer.ip_block.as_ref()).filter_map(block);
    let (v4, v6): (Vec<_>, Vec<_>) = all.partition(|(net, _)| net.addr().is_ipv4());
    [v4, v6].map(|blocks| blocks.iter().flat_map(|(_, ranges)| ranges.iter()).collect())
}

fn block(block: &IpBlock) -> Option<(IpNet, Ranges)> {
    let net: IpNet = block.cidr.parse().ok()?;
    let same_family = |hole: &IpNet| hole.addr().is_ipv4() == net.addr().is_ipv4();
    let holes = block.except.iter().filter_map(|text| text.parse().ok()).filter(same_family);
    Some((net, Ranges::without(net, holes)))
}

/// The pods that are meant by any of the peers.
fn pods_of<'a>(peers: &[Peer], namespace: &str, world: &World<'a>) -> Vec<&'a Pod> {
    let mut found = Vec::new();
    for peer in peers.iter().filter(|peer| peer.ip_block.is_none()) {
        let pods = peer.pod_selector.as_ref().map_or_else(Selector::everything, |own| selector(Some(own)));
        let mut take = |namespace: &str| {
            found.extend(world.selected(namespace, &pods));
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

/// The ports that are meant by number, or all of a protocol.
fn by_number(ports: &[PolicyPort]) -> BTreeMap<&'static str, Ranges> {
    let mut ranges: BTreeMap<&'static str, Vec<(u128, u128)>> = BTreeMap::new();
    for port in ports {
        let Some(protocol) = protocol(or_tcp(&port.protocol)) else { continue };
        let (first, last) = match port.port {
            None => (0, i32::from(u16::MAX)),
            Some(IntOrString::Int(first)) => (first, port.end_port.unwrap_or(first)),
            Some(IntOrString::String(_)) => continue,
        };
        if let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(last)) {
            ranges.entry(protocol).or_default().push((first.into(), last.into()));
        }
    }
    ranges.into_iter().map(|(protocol, ranges)| (protocol, ranges.into_iter().collect())).collect()
}

/// The names of ports that are asked for, with their protocols.
fn named(ports: &[PolicyPort]) -> HashSet<(&str, &str)> {
    let name = |port| match port {
        &Some(IntOrString::String(ref name)) => Some(name.as_str()),
        _ => None,
    };
    ports.iter().filter_map(|port| Some((name(&port.port)?, or_tcp(&port.protocol)))).collect()
}

/// The ports of a pod that have one of these names.
fn ports_by_name(pod: &Pod, wanted: &HashSet<(&str, &str)>) -> Vec<(IpAddr, &'static str, u16)> {
    let wanted = |port: &&ContainerPort| wanted.contains(&(&*port.name, or_tcp(&port.protocol)));
    let found =
        pod.ports().filter(wanted).filter_map(|port| Some((protocol(or_tcp(&port.protocol))?, port.container_port)));
    found.flat_map(|(protocol, number)| pod.addresses().map(move |ip| (ip, protocol, number))).collect()
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
