//! Services with their endpoints, resolved for one address family.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use api_types::meta::ObjectMeta;
use ipnet::IpNet;
use iptables::{Family, Protocol};

use crate::endpoint::{Endpoint, EndpointMap};
use crate::model;

/// Names the proxy that handles a service; ours handles those without.
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Marks services and slices that need no proxy.
const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// The label selector for Services and EndpointSlices that this proxy handles.
pub const LABEL_SELECTOR: &str = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
/// `sessionAffinityConfig.clientIP.timeoutSeconds` when it is not given: three hours.
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

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
    pub protocol: Protocol,
    /// The port on every node.
    pub node_port: Option<u16>,
    /// Addresses routed to nodes by somebody else.
    pub external_ips: Vec<IpAddr>,
    /// The load balancer's addresses, when packets arrive with them as destination.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may use them; empty is everybody.
    pub source_ranges: Vec<IpNet>,
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

impl ServicePort {
    /// Whether it has addresses outside of the cluster's own.
    #[must_use]
    pub fn externally_accessible(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty() || !self.load_balancer_ips.is_empty()
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

/// Resolves the services and gives each port its endpoints.
pub fn service_map<'a>(
    services: impl IntoIterator<Item = &'a model::Service>,
    mut endpoints: EndpointMap,
    family: Family,
) -> ServiceMap {
    let mut map = ServiceMap::new();
    for service in services {
        let Some(cluster_ip) = cluster_ip(service, family) else { continue };
        for port in &service.spec.ports {
            let name = port_name(&service.metadata, &port.name);
            let protocol = protocol(&port.protocol);
            let mut resolved = resolve(service, port, cluster_ip, family);
            resolved.endpoints = endpoints.remove(&(name.clone(), protocol)).unwrap_or_default();
            map.insert(Arc::new(name), Arc::new(resolved));
        }
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

/// The API's protocol name, `TCP` when it is empty.
pub(crate) fn protocol(name: &str) -> Protocol {
    match name {
        "" => Protocol::Tcp,
        name => Protocol::named(&name.to_ascii_lowercase()),
    }
}

/// Whether somebody else, or nobody, proxies for the object.
pub(crate) fn is_foreign(meta: &ObjectMeta) -> bool {
    let labels = meta.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(LABEL_PROXY_NAME) || labels.contains_key(LABEL_HEADLESS))
}

/// The virtual address in this family, when the service has one that is proxied.
fn cluster_ip(service: &model::Service, family: Family) -> Option<IpAddr> {
    let spec = &service.spec;
    if spec.kind == "ExternalName" || matches!(spec.cluster_ip.as_str(), "" | "None") || is_foreign(&service.metadata) {
        return None;
    }
    addresses(spec.cluster_ips.iter().chain([&spec.cluster_ip]), family).next()
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>, family: Family) -> impl Iterator<Item = IpAddr> {
    texts.into_iter().filter_map(|text| text.parse().ok()).filter(move |ip| Family::of(*ip) == family)
}

fn resolve(service: &model::Service, port: &model::ServicePort, cluster_ip: IpAddr, family: Family) -> ServicePort {
    let spec = &service.spec;
    let ingress = &service.status.load_balancer.ingress;
    let routed_here =
        ingress.iter().filter(|entry| matches!(entry.ip_mode.as_str(), "" | "VIP")).map(|entry| &entry.ip);
    let nonzero = |port: u16| (port != 0).then_some(port);
    let affinity = (spec.session_affinity == "ClientIP")
        .then(|| spec.session_affinity_config.client_ip.timeout_seconds.unwrap_or(DEFAULT_AFFINITY_SECONDS));
    ServicePort {
        cluster_ip,
        port: port.port,
        protocol: protocol(&port.protocol),
        node_port: nonzero(port.node_port),
        external_ips: addresses(&spec.external_ips, family).collect(),
        load_balancer_ips: addresses(routed_here, family).collect(),
        source_ranges: source_ranges(&spec.load_balancer_source_ranges, family),
        affinity,
        external_policy: TrafficPolicy::named(&spec.external_traffic_policy),
        internal_policy: TrafficPolicy::named(&spec.internal_traffic_policy),
        health_check_node_port: nonzero(spec.health_check_node_port),
        endpoints: Vec::new(),
    }
}

/// A range that covers everything stands for no restriction.
fn source_ranges(texts: &[String], family: Family) -> Vec<IpNet> {
    let ranges: Vec<IpNet> = texts
        .iter()
        .filter_map(|text| text.trim().parse::<IpNet>().ok())
        .filter(|net| Family::of(net.addr()) == family)
        .map(|net| net.trunc())
        .collect();
    if ranges.iter().any(|net| net.prefix_len() == 0) { Vec::new() } else { ranges }
}
