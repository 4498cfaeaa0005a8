//! Endpoints: from slices, and which of them traffic may go to.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use iptables::{Family, Protocol};

use crate::model;
use crate::service::{ServicePort, ServicePortName, is_foreign, port_name, protocol};

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
    /// On another node, or unknown.
    Elsewhere,
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
}

/// The endpoints of every service port; a name with another protocol is another port.
pub type EndpointMap = HashMap<(ServicePortName, Protocol), Vec<Endpoint>>;

/// Collects the endpoints of one family from all slices. An endpoint that is in several slices counts once, in its
/// best state: while it moves from one slice to another both may hold it.
pub fn endpoint_map<'a>(
    slices: impl IntoIterator<Item = &'a model::EndpointSlice>,
    node: &str,
    family: Family,
) -> EndpointMap {
    let mut map: HashMap<_, BTreeMap<SocketAddr, Endpoint>> = HashMap::new();
    for slice in slices {
        let Some(service) = service_of(slice, family) else { continue };
        for port in slice.ports.iter().flatten() {
            let Some(number) = port.port.filter(|number| *number != 0) else { continue };
            let name = ServicePortName { port: port.name.clone().unwrap_or_default(), ..service.clone() };
            let endpoints = map.entry((name, protocol(port.protocol.as_deref().unwrap_or("")))).or_default();
            for endpoint in slice.endpoints.iter().flatten().filter_map(|e| resolve(e, number, node, family)) {
                let known = endpoints.entry(endpoint.address).or_insert(endpoint);
                if endpoint.readiness < known.readiness {
                    *known = endpoint;
                }
            }
        }
    }
    map.into_iter().map(|(name, endpoints)| (name, endpoints.into_values().collect())).collect()
}

fn service_of(slice: &model::EndpointSlice, family: Family) -> Option<ServicePortName> {
    if slice.address_type != family.name() || is_foreign(&slice.metadata) {
        return None;
    }
    Some(ServicePortName { name: slice.service()?.to_owned(), ..port_name(&slice.metadata, "") })
}

fn resolve(endpoint: &model::Endpoint, port: u16, node: &str, family: Family) -> Option<Endpoint> {
    let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let here = endpoint.node_name.as_deref() == Some(node);
    (Family::of(ip) == family).then_some(Endpoint {
        address: SocketAddr::new(ip, port),
        readiness: Readiness::of(endpoint.conditions),
        locality: if here { Locality::Here } else { Locality::Elsewhere },
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
    /// Decides for one service port. Within each policy, draining endpoints stand in when no other is left.
    #[must_use]
    pub fn of(service: &ServicePort) -> Self {
        let all = || service.endpoints.iter();
        let here = || all().filter(|e| e.locality == Locality::Here);
        let cluster = if service.uses_cluster_endpoints() { best(all()) } else { Vec::new() };
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

fn best<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone) -> Vec<Endpoint> {
    let in_state = |state| endpoints.clone().filter(|e| e.readiness == state).copied().collect::<Vec<_>>();
    let ready = in_state(Readiness::Ready);
    if ready.is_empty() { in_state(Readiness::Draining) } else { ready }
}
