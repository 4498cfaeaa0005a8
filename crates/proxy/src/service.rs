//! Services with their endpoints, resolved for one address family.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use api_types::meta::ObjectMeta;
use ipnet::IpNet;
use iptables::Family;

use crate::endpoint::{Endpoint, EndpointMap};
use crate::entrance::Transport;
use crate::fault::{self, Faults};
use crate::model;

/// Names the proxy that handles a service; ours handles those without.
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Marks services and slices that need no proxy.
const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// The label selector for Services and EndpointSlices that this proxy handles.
pub const LABEL_SELECTOR: &str = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
/// `sessionAffinityConfig.clientIP.timeoutSeconds` when it is not given: three hours.
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

/// How many combinations of an address outside of the cluster (or of a source range) with a port or an endpoint one
/// service may have. One object has room for tens of thousands of each.
const MOST_PAIRS: usize = 50_000;

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePortName {
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub name: String,
    /// The port's name, or empty.
    pub port: String,
}

impl fmt::Display for ServicePortName {
    /// As upstream writes it, since chain names are hashes of it: `namespace/name[:port]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Which endpoints traffic may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any.
    Cluster,
    /// Those on this node.
    Local,
}

impl TrafficPolicy {
    fn named(name: &str) -> Self {
        if name == "Local" { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
    }
}

/// One port of a service, with everything that its rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The virtual address.
    pub cluster_ip: IpAddr,
    /// The port on the virtual, external and load balancer addresses.
    pub port: u16,
    /// The protocol.
    pub transport: Transport,
    /// The port on every node.
    pub node_port: Option<u16>,
    /// Addresses outside of the cluster's own, which all ports of the service share; `None` without any.
    pub outside: Option<Arc<Outside>>,
    /// For how many seconds a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// For traffic from outside of the cluster.
    pub external_policy: TrafficPolicy,
    /// For traffic to the virtual address.
    pub internal_policy: TrafficPolicy,
    /// Where load balancers ask for local endpoints.
    pub health_check_node_port: Option<u16>,
    /// Ordered by address and port, each once.
    pub endpoints: Vec<Endpoint>,
}

/// The addresses of a service outside of the cluster's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Addresses routed to nodes by somebody else.
    pub external_ips: Vec<IpAddr>,
    /// The load balancer's addresses, when packets arrive with them as destination.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may use them.
    pub sources: Sources,
}

/// Who may use a load balancer's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// Everybody.
    #[default]
    All,
    /// These, which may be nobody in this family.
    These(Vec<IpNet>),
}

impl ServicePort {
    /// Addresses routed to nodes by somebody else.
    #[must_use]
    pub fn external_ips(&self) -> &[IpAddr] {
        self.outside.as_ref().map_or(&[], |outside| &outside.external_ips)
    }

    /// The load balancer's addresses.
    #[must_use]
    pub fn load_balancer_ips(&self) -> &[IpAddr] {
        self.outside.as_ref().map_or(&[], |outside| &outside.load_balancer_ips)
    }

    /// Who may use the load balancer's addresses; `None` is everybody.
    #[must_use]
    pub fn sources(&self) -> Option<&[IpNet]> {
        match &self.outside.as_ref()?.sources {
            Sources::All => None,
            Sources::These(nets) => Some(nets),
        }
    }

    /// Whether it has addresses outside of the cluster's own.
    #[must_use]
    pub fn externally_accessible(&self) -> bool {
        self.node_port.is_some() || !self.external_ips().is_empty() || !self.load_balancer_ips().is_empty()
    }

    /// Whether some traffic goes to endpoints on any node. With an external policy of `Local`, traffic from this
    /// node's own pods still does.
    #[must_use]
    pub fn uses_cluster_endpoints(&self) -> bool {
        self.internal_policy == TrafficPolicy::Cluster || self.externally_accessible()
    }

    /// Whether some traffic goes to this node's endpoints only.
    #[must_use]
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_policy == TrafficPolicy::Local
            || (self.externally_accessible() && self.external_policy == TrafficPolicy::Local)
    }
}

/// Every service port of one address family.
pub type ServiceMap = BTreeMap<Arc<ServicePortName>, Arc<ServicePort>>;

/// Resolves a service and gives each port its endpoints. What cannot be served is noted.
pub fn service_map(
    service: &model::Service,
    mut endpoints: EndpointMap,
    family: Family,
    faults: &mut Faults,
) -> ServiceMap {
    let mut map = ServiceMap::new();
    let Some(cluster_ip) = cluster_ip(service, family, faults) else { return map };
    let combined = service.spec.ports.len().max(endpoints.values().map(Vec::len).sum());
    let outside = outside(service, combined, family, faults);
    for port in &service.spec.ports {
        let Some(transport) = Transport::named(&port.protocol).filter(|_| port.port != 0) else {
            faults.value("the port", &format!("{}/{}", port.port, port.protocol));
            continue;
        };
        let name = port_name(&service.metadata, &port.name);
        let mut resolved = resolve(service, port, transport, cluster_ip, outside.clone());
        resolved.endpoints = endpoints.remove(&(name.clone(), transport)).unwrap_or_default();
        map.insert(Arc::new(name), Arc::new(resolved));
    }
    map
}

/// The name of a port of the object's service.
pub(crate) fn port_name(meta: &ObjectMeta, port: &str) -> ServicePortName {
    ServicePortName {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        port: port.to_owned(),
    }
}

/// Whether somebody else, or nobody, proxies for the object.
pub(crate) fn is_foreign(meta: &ObjectMeta) -> bool {
    let labels = meta.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(LABEL_PROXY_NAME) || labels.contains_key(LABEL_HEADLESS))
}

/// The virtual address in this family, when the service has one that is proxied.
fn cluster_ip(service: &model::Service, family: Family, faults: &mut Faults) -> Option<IpAddr> {
    let spec = &service.spec;
    if spec.kind == "ExternalName" || matches!(spec.cluster_ip.as_str(), "" | "None") || is_foreign(&service.metadata) {
        return None;
    }
    let texts = spec.cluster_ips.iter().chain([&spec.cluster_ip]);
    addresses("the cluster IP", texts, family, faults).first().copied()
}

/// Those of the family that can be served, in order, each once.
fn addresses<'a>(
    what: &str,
    texts: impl IntoIterator<Item = &'a String>,
    family: Family,
    faults: &mut Faults,
) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for text in texts {
        match fault::address(text).filter(|ip| fault::can_be_taken(*ip)) {
            Some(ip) if Family::of(ip) == family && seen.insert(ip) => found.push(ip),
            Some(_) => {}
            None => faults.value(what, text),
        }
    }
    found
}

/// The part of `list` that so many ports or endpoints may be combined with.
fn bounded<T>(what: &str, mut list: Vec<T>, combined: usize, faults: &mut Faults) -> Vec<T> {
    let most = (MOST_PAIRS / combined.max(1)).max(1);
    if list.len() > most {
        list.truncate(most);
        faults.cut(what, most);
    }
    list
}

fn outside(service: &model::Service, combined: usize, family: Family, faults: &mut Faults) -> Option<Arc<Outside>> {
    let spec = &service.spec;
    let ingress = &service.status.load_balancer.ingress;
    let routed_here = ingress.iter().filter(|entry| !entry.ip.is_empty() && matches!(&*entry.ip_mode, "" | "VIP"));
    let balanced = addresses("the ingress address", routed_here.map(|entry| &entry.ip), family, faults);
    let external = addresses("the external IP", &spec.external_ips, family, faults);
    if balanced.is_empty() && external.is_empty() {
        return None;
    }
    let sources = match sources(&spec.load_balancer_source_ranges, family, faults) {
        Sources::These(nets) => Sources::These(bounded("source ranges", nets, combined, faults)),
        Sources::All => Sources::All,
    };
    Some(Arc::new(Outside {
        external_ips: bounded("external IPs", external, combined, faults),
        load_balancer_ips: bounded("ingress addresses", balanced, combined, faults),
        sources,
    }))
}

fn resolve(
    service: &model::Service,
    port: &model::ServicePort,
    transport: Transport,
    cluster_ip: IpAddr,
    outside: Option<Arc<Outside>>,
) -> ServicePort {
    let spec = &service.spec;
    let nonzero = |port: u16| (port != 0).then_some(port);
    let external_policy = TrafficPolicy::named(&spec.external_traffic_policy);
    let checked = spec.kind == "LoadBalancer" && external_policy == TrafficPolicy::Local;
    let affinity = (spec.session_affinity == "ClientIP")
        .then(|| spec.session_affinity_config.client_ip.timeout_seconds.unwrap_or(DEFAULT_AFFINITY_SECONDS));
    ServicePort {
        cluster_ip,
        port: port.port,
        transport,
        node_port: nonzero(port.node_port),
        outside,
        affinity,
        external_policy,
        internal_policy: TrafficPolicy::named(&spec.internal_traffic_policy),
        health_check_node_port: nonzero(spec.health_check_node_port).filter(|_| checked),
        endpoints: Vec::new(),
    }
}

/// As upstream, where none of the ranges is of this family it is not restricted, and a range that covers everything
/// stands for no restriction. Ranges of which none can be read let nobody in.
fn sources(texts: &[String], family: Family, faults: &mut Faults) -> Sources {
    let (mut ranges, mut read) = (Vec::new(), texts.is_empty());
    for text in texts {
        match text.trim().parse::<IpNet>() {
            Ok(net) => {
                read = true;
                ranges.extend(Some(net.trunc()).filter(|net| Family::of(net.addr()) == family));
            }
            Err(_) => faults.value("the source range", text),
        }
    }
    let all = (read && ranges.is_empty()) || ranges.iter().any(|net| net.prefix_len() == 0);
    if all { Sources::All } else { Sources::These(ranges) }
}
