//! One service port, as seen from one of its entrances: which elements and chains it needs.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use iptables::Family;
use netfilter::{Chain, Set};

use super::skeleton::{
    FIREWALL, MARK, NO_ENDPOINT_NODE_PORTS, NO_ENDPOINTS, NODE_PORTS, PORT, REJECT, SERVICE_IPS, TRANSPORT, Words,
    from_pod, masquerade_off_cluster, words,
};
use crate::chains::{endpoint_hash, hash, service_hash};
use crate::endpoint::{Endpoint, Reachable};
use crate::entrance::{Entrance, Key, Transport, entrances};
use crate::service::{ServicePort, ServicePortName, TrafficPolicy};
use crate::settings::Settings;

/// How many clients of one endpoint are remembered; when there are more, new ones find no free place and are balanced
/// anew with each connection.
const REMEMBERED_CLIENTS: u32 = 65_535;

impl Key {
    /// As sets know it.
    fn text(self) -> String {
        match self {
            Key(Some(ip), transport, port) => format!("{ip} . {} . {port}", transport.name()),
            Key(None, transport, port) => format!("{} . {port}", transport.name()),
        }
    }

    /// The map that leads to chains, and the one that leads to refusals.
    fn maps(self) -> [&'static str; 2] {
        match self {
            Key(Some(_), ..) => [SERVICE_IPS, NO_ENDPOINTS],
            Key(None, ..) => [NODE_PORTS, NO_ENDPOINT_NODE_PORTS],
        }
    }

    /// The chain that leads to an endpoint, and the map that it looks into.
    fn pick(self, policy: TrafficPolicy, number: usize, family: Family) -> (Chain, Set) {
        let Words { ip, address, .. } = words(family);
        let (prefix, key, kind) = match self {
            Key(Some(_), ..) => ("", format!("{ip} daddr . {PORT}"), format!("{address} . inet_proto . inet_service")),
            Key(None, ..) => ("node-port-", PORT.to_owned(), "inet_proto . inet_service".to_owned()),
        };
        let suffix = format!("{}-{number}", suffix(policy));
        let map = format!("{prefix}endpoints{suffix}");
        let rule = format!("{TRANSPORT} dnat {ip} to {key} map @{map}");
        let definition = format!("type {kind} : {address} . inet_service ;");
        (Chain::new(format!("{prefix}pick{suffix}"), [rule]), Set { kind: "map", name: map, definition })
    }
}

/// The set that is there only for a chain.
#[must_use]
pub fn set_of(chain: &str) -> Option<(&'static str, String)> {
    if let Some(hash) = chain.strip_prefix("endpoint-") {
        return Some(("set", format!("affinity-{hash}")));
    }
    let (prefix, number) = chain.split_once("pick-")?;
    Some(("map", format!("{prefix}endpoints-{number}")))
}

/// An element of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The map.
    pub map: Cow<'static, str>,
    /// The key.
    pub key: String,
    /// Where it leads.
    pub value: String,
}

/// What one entrance needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Face {
    /// Elements.
    pub elements: Vec<Element>,
    /// Chains, each behind those that it leads to. Equal names mean equal chains, except for those of services with
    /// affinity.
    pub chains: Vec<Chain>,
    /// Sets that the chains look into, beyond those that are always there.
    pub sets: Vec<Set>,
    /// The chains' names.
    names: HashSet<String>,
}

impl Face {
    /// Whether a chain of this name is among them.
    fn has(&self, chain: &str) -> bool {
        self.names.contains(chain)
    }

    /// Adds the chain, unless it is there.
    fn add(&mut self, name: String, rules: impl IntoIterator<Item = String>) {
        if self.names.insert(name.clone()) {
            self.chains.push(Chain::new(name, rules));
        }
    }
}

/// What this entrance of a service port needs.
#[must_use]
pub fn face(
    entrance: Entrance,
    name: &ServicePortName,
    port: &ServicePort,
    settings: &Settings,
    family: Family,
) -> Face {
    let view = View { entrance, name, port, settings, family, reachable: Reachable::of(port) };
    let mut face = Face::default();
    view.refuse(&mut face);
    if view.reachable.anywhere {
        view.lead(&mut face);
        view.guard(&mut face);
    }
    face
}

struct View<'a> {
    entrance: Entrance,
    name: &'a ServicePortName,
    port: &'a ServicePort,
    settings: &'a Settings,
    family: Family,
    reachable: Reachable,
}

impl View<'_> {
    fn policy(&self) -> TrafficPolicy {
        match self.entrance {
            Entrance::ClusterIp(..) => self.port.internal_policy,
            _ => self.port.external_policy,
        }
    }

    fn endpoints(&self, policy: TrafficPolicy) -> &[Endpoint] {
        match policy {
            TrafficPolicy::Cluster => &self.reachable.cluster,
            TrafficPolicy::Local => &self.reachable.local,
        }
    }

    /// Without any endpoint callers are told at once. Without a local one, under a policy that asks for it, packets
    /// are dropped: a load balancer that has not noticed yet retries elsewhere.
    fn refuse(&self, face: &mut Face) {
        let verdict = match self.reachable.anywhere {
            false => format!("goto {REJECT}"),
            true if self.endpoints(self.policy()).is_empty() => "drop".to_owned(),
            true => return,
        };
        let [_, map] = self.entrance.key().maps();
        face.elements.push(Element { map: map.into(), key: self.entrance.key().text(), value: verdict });
    }

    /// The chain that the entrance leads to, and where that leads.
    fn lead(&self, face: &mut Face) {
        let chain = match (self.entrance, self.policy()) {
            (Entrance::ClusterIp(..), policy) => {
                if self.endpoints(policy).is_empty() {
                    return;
                }
                let mut rules: Vec<String> = masquerade_off_cluster(self.settings, self.family).into_iter().collect();
                rules.extend(self.balance(policy, face));
                self.add_chain(face, &format!("cluster-ip{}", suffix(policy)), &[policy], rules)
            }
            (_, TrafficPolicy::Cluster) => {
                let rules = std::iter::once(format!("jump {MARK}")).chain(self.balance(TrafficPolicy::Cluster, face));
                let rules = rules.collect();
                self.add_chain(face, self.outer(), &[TrafficPolicy::Cluster], rules)
            }
            (_, TrafficPolicy::Local) => {
                let rules = self.bypass_local_policy(face);
                let lists = [TrafficPolicy::Cluster, TrafficPolicy::Local];
                self.add_chain(face, &format!("{}-local", self.outer()), &lists, rules)
            }
        };
        let [map, _] = self.entrance.key().maps();
        face.elements.push(Element {
            map: map.into(),
            key: self.entrance.key().text(),
            value: format!("goto {chain}"),
        });
    }

    fn outer(&self) -> &'static str {
        match self.entrance {
            Entrance::NodePort(..) => "node-port",
            _ => "external",
        }
    }

    /// Adds a chain that is named after the numbers of endpoints in its lists, or after the service if it has affinity.
    fn add_chain(&self, face: &mut Face, kind: &str, lists: &[TrafficPolicy], rules: Vec<String>) -> String {
        let mut name = kind.to_owned();
        match self.port.affinity {
            Some(_) => name = format!("{name}-{}", service_hash(self.name, self.port.transport)),
            None => lists.iter().for_each(|list| name.push_str(&format!("-{}", self.endpoints(*list).len()))),
        }
        face.add(name.clone(), rules);
        name
    }

    /// The policy is about traffic that comes from outside. What pods and the node itself send to an external address
    /// is treated as if it had gone out and come back by way of a node that has endpoints.
    fn bypass_local_policy(&self, face: &mut Face) -> Vec<String> {
        let spread: Vec<String> = self.balance(TrafficPolicy::Cluster, face).into_iter().collect();
        let kind = format!("{}-spread", self.outer());
        let any = self.add_chain(face, &kind, &[TrafficPolicy::Cluster], spread);
        let from_pod = from_pod(self.settings, self.family, "").map(|from_pod| format!("{from_pod} goto {any}"));
        let mut rules: Vec<String> = from_pod.into_iter().collect();
        rules.push(format!("fib saddr type local jump {MARK}"));
        rules.push(format!("fib saddr type local goto {any}"));
        rules.extend(self.balance(TrafficPolicy::Local, face));
        rules
    }

    /// The rule that chooses one of the endpoints; `None` without any.
    fn balance(&self, policy: TrafficPolicy, face: &mut Face) -> Option<String> {
        let endpoints = self.endpoints(policy);
        if endpoints.is_empty() {
            return None;
        }
        if let Some(seconds) = self.port.affinity {
            return Some(format!("goto {}", self.affinity_chain(policy, seconds, face)));
        }
        let key = self.entrance.key();
        let mut verdicts = Vec::new();
        for (number, endpoint) in endpoints.iter().enumerate() {
            let (chain, set) = key.pick(policy, number, self.family);
            verdicts.push(format!("goto {}", chain.name));
            // Two chains may lead to the same list.
            if !face.has(&chain.name) {
                let (map, key, value) = (set.name.clone().into(), key.text(), target(endpoint.address));
                face.elements.push(Element { map, key, value });
                face.add(chain.name, chain.rules);
                face.sets.push(set);
            }
        }
        Some(draw(&verdicts))
    }

    /// First the endpoint that the client used last, then one by chance.
    fn affinity_chain(&self, policy: TrafficPolicy, seconds: u32, face: &mut Face) -> String {
        let Words { ip, address, .. } = words(self.family);
        let endpoints = self.endpoints(policy);
        let hashes: Vec<String> = endpoints.iter().map(|e| endpoint_hash(self.name, self.port.transport, e)).collect();
        for (endpoint, hash) in endpoints.iter().zip(&hashes) {
            let name = format!("endpoint-{hash}");
            if face.has(&name) {
                continue;
            }
            let definition =
                format!("type {address} ; size {REMEMBERED_CLIENTS} ; flags dynamic,timeout ; timeout {seconds}s ;");
            face.sets.push(Set { kind: "set", name: format!("affinity-{hash}"), definition });
            let remember = format!("update @affinity-{hash} {{ {ip} saddr timeout {seconds}s }}");
            let translate = format!("{TRANSPORT} dnat {ip} to {}", endpoint.address);
            face.add(name, [remember, translate]);
        }
        let known = hashes.iter().map(|hash| format!("{ip} saddr @affinity-{hash} goto endpoint-{hash}"));
        let verdicts: Vec<String> = hashes.iter().map(|hash| format!("goto endpoint-{hash}")).collect();
        let name = format!("sticky{}-{}", suffix(policy), service_hash(self.name, self.port.transport));
        face.add(name.clone(), known.chain([draw(&verdicts)]));
        name
    }

    /// Who may use a load balancer's address.
    fn guard(&self, face: &mut Face) {
        let (Entrance::Balanced(..), Some(ranges)) = (self.entrance, self.port.sources()) else { return };
        let mut allowed: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        if ranges.iter().any(|net| self.settings.node_addresses.iter().any(|own| net.contains(own))) {
            // Where the load balancer's address is also an address of this node, the node uses it as its source.
            allowed.extend(self.port.load_balancer_ips().iter().map(ToString::to_string));
        }
        let Words { ip, .. } = words(self.family);
        let chain = format!("firewall-{}", hash(&allowed.join(" ")));
        let rules = allowed.iter().map(|net| format!("{ip} saddr {net} return")).chain(["drop".to_owned()]);
        face.add(chain.clone(), rules);
        let key = self.entrance.key().text();
        face.elements.push(Element { map: FIREWALL.into(), key, value: format!("goto {chain}") });
    }
}

/// The rule that follows one of the verdicts by chance, each with the same probability.
fn draw(verdicts: &[String]) -> String {
    match verdicts {
        [only] => only.clone(),
        _ => {
            let numbered: Vec<String> = verdicts.iter().enumerate().map(|(i, to)| format!("{i} : {to}")).collect();
            format!("numgen random mod {} vmap {{ {} }}", verdicts.len(), numbered.join(", "))
        }
    }
}

fn suffix(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "",
        TrafficPolicy::Local => "-local",
    }
}

fn target(address: SocketAddr) -> String {
    format!("{} . {}", address.ip(), address.port())
}

/// A rule and a set of each kind that services may need, to find out whether program and kernel know them.
#[must_use]
pub fn probe(family: Family) -> String {
    let ip = match family {
        Family::V4 => IpAddr::from([192, 0, 2, 1]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    };
    let endpoint = |port| Endpoint {
        address: SocketAddr::new(ip, port),
        readiness: crate::endpoint::Readiness::Ready,
        locality: crate::endpoint::Locality::Here,
        for_node: crate::endpoint::Hinted::Unsaid,
        for_zone: crate::endpoint::Hinted::Unsaid,
    };
    let port = ServicePort {
        cluster_ip: ip,
        port: 1,
        transport: Transport::Tcp,
        node_port: Some(1),
        outside: None,
        affinity: None,
        external_policy: TrafficPolicy::Local,
        internal_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        endpoints: vec![endpoint(1), endpoint(2)],
    };
    let name = ServicePortName { namespace: String::new(), name: String::new(), port: String::new() };
    let mut transaction = netfilter::Transaction::new(super::table(family));
    for (affinity, entrance) in entrances(&port).into_iter().enumerate() {
        let affinity = (affinity == 0).then_some(1);
        let port = ServicePort { affinity, ..port.clone() };
        let face = face(entrance, &name, &port, &Settings::default(), family);
        face.sets.iter().for_each(|set| transaction.add_set(set));
        for chain in &face.chains {
            transaction.add_chain(chain);
            transaction.fill_chain(chain);
        }
        face.elements.into_iter().for_each(|e| transaction.add_element(&e.map, format!("{} : {}", e.key, e.value)));
    }
    transaction.to_string()
}
