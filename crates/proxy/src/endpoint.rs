//! Endpoints: from slices, and which of them traffic may go to.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use iptables::Family;

use crate::entrance::Transport;
use crate::fault::{self, Faults};
use crate::model;
use crate::service::{ServicePort, ServicePortName, is_foreign, port_name};

/// How many pairs of a port and an endpoint one service may have: a slice of a hundred kilobytes may mean as many.
const MOST_PAIRS: usize = 50_000;

/// Whether an endpoint takes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// Takes new connections.
    Ready,
    /// About to end, but still able to answer: used when nothing better is left.
    Draining,
    /// Takes none.
    Unusable,
}

impl Readiness {
    fn of(conditions: model::Conditions) -> Self {
        let serving = conditions.serving.unwrap_or(true);
        let terminating = conditions.terminating.unwrap_or(false);
        match conditions.ready.unwrap_or(true) {
            true => Readiness::Ready,
            false if serving && terminating => Readiness::Draining,
            false => Readiness::Unusable,
        }
    }
}

/// Where an endpoint runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// On this node.
    Here,
    /// On another node.
    Elsewhere,
    /// Nobody says.
    Unknown,
}

/// What the hints of an endpoint say of this node, or of this node's zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hinted {
    /// There are none.
    #[default]
    Unsaid,
    /// It is meant.
    Here,
    /// Others are meant.
    Elsewhere,
}

impl Hinted {
    fn of(hints: Option<&Vec<model::Hint>>, here: Option<&str>) -> Self {
        match hints {
            None => Hinted::Unsaid,
            Some(hints) if hints.is_empty() => Hinted::Unsaid,
            Some(hints) if hints.iter().any(|hint| Some(&*hint.name) == here) => Hinted::Here,
            Some(_) => Hinted::Elsewhere,
        }
    }
}

/// Where this proxy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The node's name.
    pub node: String,
    /// The zone, as the node's label says.
    pub zone: Option<String>,
}

impl Place {
    /// On this node, in no zone that is known.
    #[must_use]
    pub fn on(node: &str) -> Self {
        Self { node: node.to_owned(), zone: None }
    }
}

/// One endpoint of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it takes traffic.
    pub readiness: Readiness,
    /// Where it runs.
    pub locality: Locality,
    /// Which nodes are to use it.
    pub for_node: Hinted,
    /// Which zones are to use it.
    pub for_zone: Hinted,
}

/// The endpoints of every service port; a name with another protocol is another port.
pub type EndpointMap = HashMap<(ServicePortName, Transport), Vec<Endpoint>>;

/// Collects the endpoints of one family from all slices. An endpoint that is in several slices counts once, in its
/// best state: while it moves from one slice to another both may hold it. What cannot be served is noted.
pub fn endpoint_map<'a>(
    slices: impl IntoIterator<Item = &'a model::EndpointSlice>,
    place: &Place,
    family: Family,
    faults: &mut Faults,
) -> EndpointMap {
    let mut map: HashMap<_, BTreeMap<SocketAddr, Endpoint>> = HashMap::new();
    let mut room = MOST_PAIRS;
    // In an order of their own, so that there is always room for the same.
    let mut slices: Vec<_> = slices.into_iter().filter_map(|slice| Some((service_of(slice, family)?, slice))).collect();
    slices.sort_by(|(_, one), (_, other)| one.metadata.name.cmp(&other.metadata.name));
    for (service, slice) in slices {
        let endpoints = slice.endpoints.iter().flatten();
        let resolved: Vec<Endpoint> = endpoints.filter_map(|e| resolve(e, place, family, faults)).collect();
        for (name, transport, number) in ports(slice, faults) {
            let name = ServicePortName { port: name.to_owned(), ..service.clone() };
            let taken = resolved.get(..room).unwrap_or(&resolved);
            room = room.saturating_sub(taken.len());
            if taken.len() < resolved.len() {
                faults.cut("endpoints", MOST_PAIRS);
            }
            let endpoints = map.entry((name, transport)).or_default();
            for endpoint in taken {
                let endpoint = Endpoint { address: SocketAddr::new(endpoint.address.ip(), number), ..*endpoint };
                let known = endpoints.entry(endpoint.address).or_insert(endpoint);
                if endpoint.readiness < known.readiness {
                    *known = endpoint;
                }
            }
        }
    }
    map.into_iter().map(|(name, endpoints)| (name, endpoints.into_values().collect())).collect()
}

/// The ports of a slice: name, protocol, number.
fn ports<'a>(slice: &'a model::EndpointSlice, faults: &mut Faults) -> Vec<(&'a str, Transport, u16)> {
    let mut ports = Vec::new();
    for port in slice.ports.iter().flatten() {
        let protocol = port.protocol.as_deref().unwrap_or_default();
        match (Transport::named(protocol), port.port.filter(|number| *number != 0)) {
            (Some(transport), Some(number)) => {
                ports.push((port.name.as_deref().unwrap_or_default(), transport, number));
            }
            (None, _) => faults.value("the endpoints' protocol", protocol),
            // No number means every port, which no service asks for.
            (_, None) => {}
        }
    }
    ports
}

fn service_of(slice: &model::EndpointSlice, family: Family) -> Option<ServicePortName> {
    if slice.address_type != family.name() || is_foreign(&slice.metadata) {
        return None;
    }
    Some(ServicePortName { name: slice.service()?.to_owned(), ..port_name(&slice.metadata, "") })
}

/// The endpoint, with no port yet.
fn resolve(endpoint: &model::Endpoint, place: &Place, family: Family, faults: &mut Faults) -> Option<Endpoint> {
    let text = endpoint.addresses.first()?;
    let Some(ip) = fault::address(text).filter(|ip| fault::can_be_reached(*ip)) else {
        faults.value("the endpoint", text);
        return None;
    };
    let hints = endpoint.hints.as_deref();
    (Family::of(ip) == family).then_some(Endpoint {
        address: SocketAddr::new(ip, 0),
        readiness: Readiness::of(endpoint.conditions),
        locality: match endpoint.node_name.as_deref() {
            None => Locality::Unknown,
            Some(node) if node == place.node => Locality::Here,
            Some(_) => Locality::Elsewhere,
        },
        for_node: Hinted::of(hints.and_then(|hints| hints.for_nodes.as_ref()), Some(&place.node)),
        for_zone: Hinted::of(hints.and_then(|hints| hints.for_zones.as_ref()), place.zone.as_deref()),
    })
}

/// The endpoints of a service port that traffic may go to, by traffic policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachable {
    /// For traffic that may go anywhere; empty when the service has no such traffic.
    pub cluster: Vec<Endpoint>,
    /// For traffic that must stay on this node; empty when the service has no such traffic.
    pub local: Vec<Endpoint>,
    /// Whether some node has a usable endpoint, even if this node's traffic may not go there.
    pub anywhere: bool,
}

impl Reachable {
    /// Decides for one service port. Within each policy, draining endpoints stand in when no other is left. Hints
    /// choose among the ready endpoints of the whole cluster.
    #[must_use]
    pub fn of(service: &ServicePort) -> Self {
        let all = || service.endpoints.iter();
        let here = || all().filter(|e| e.locality == Locality::Here);
        let hinted = hinted(&service.endpoints);
        let near =
            || all().filter(|e| e.readiness != Readiness::Ready || hinted.is_none_or(|of| of(e) == Hinted::Here));
        let cluster = if service.uses_cluster_endpoints() { best(near()) } else { Vec::new() };
        let local = if service.uses_local_endpoints() { best(here()) } else { Vec::new() };
        Self { cluster, local, anywhere: all().any(|e| e.readiness != Readiness::Unusable) }
    }

    /// Every endpoint that some traffic may go to, each once, ordered.
    #[must_use]
    pub fn all(&self) -> Vec<Endpoint> {
        let both = self.cluster.iter().chain(&self.local).map(|e| (e.address, *e));
        both.collect::<BTreeMap<_, _>>().into_values().collect()
    }
}

/// Which hints count: those for nodes if every ready endpoint has them and one is meant for here, else those for zones
/// under the same conditions, else none.
fn hinted(endpoints: &[Endpoint]) -> Option<fn(&Endpoint) -> Hinted> {
    let kinds: [fn(&Endpoint) -> Hinted; 2] = [|e| e.for_node, |e| e.for_zone];
    let ready = || endpoints.iter().filter(|e| e.readiness == Readiness::Ready);
    kinds.into_iter().find(|of| ready().all(|e| of(e) != Hinted::Unsaid) && ready().any(|e| of(e) == Hinted::Here))
}

fn best<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone) -> Vec<Endpoint> {
    let in_state = |state| endpoints.clone().filter(|e| e.readiness == state).copied().collect::<Vec<_>>();
    let ready = in_state(Readiness::Ready);
    if ready.is_empty() { in_state(Readiness::Draining) } else { ready }
}
