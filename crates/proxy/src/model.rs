//! The part of Services and EndpointSlices that the proxy reads.

use api_types::meta::ObjectMeta;
pub use component::informer::endpoint_slice::{Conditions, Endpoint, EndpointPort, EndpointSlice, Hint, Hints};
use serde::Deserialize;

/// A Service.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// Identity and labels.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ServiceSpec,
    /// What the load balancer reported.
    #[serde(default)]
    pub status: ServiceStatus,
}
component::slim_resource!(Service => api_types::core::Service);

/// See `ServiceSpec` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first virtual address, `None` for a headless service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// The virtual addresses, one a family.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Addresses routed to nodes by somebody else.
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<String>,
    /// `ClientIP` or `None`.
    pub session_affinity: String,
    /// The affinity's parameters.
    pub session_affinity_config: SessionAffinityConfig,
    /// `Cluster` or `Local`.
    pub external_traffic_policy: String,
    /// `Cluster` or `Local`.
    pub internal_traffic_policy: String,
    /// Who may use the load balancer's addresses.
    pub load_balancer_source_ranges: Vec<String>,
    /// Where load balancers ask for local endpoints; 0 is none.
    pub health_check_node_port: u16,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// May be empty when it is the only one.
    pub name: String,
    /// `TCP` when empty.
    pub protocol: String,
    /// On the virtual address.
    pub port: u16,
    /// On every node; 0 is none.
    pub node_port: u16,
}

/// See `SessionAffinityConfig` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinityConfig {
    /// For `ClientIP`.
    #[serde(rename = "clientIP")]
    pub client_ip: ClientIpConfig,
}

/// See `ClientIPConfig` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    /// For how long a client stays with its endpoint.
    pub timeout_seconds: Option<u32>,
}

/// See `ServiceStatus` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// The load balancer's addresses.
    pub load_balancer: LoadBalancerStatus,
}

/// See `LoadBalancerStatus` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Points of entry.
    pub ingress: Vec<LoadBalancerIngress>,
}

/// See `LoadBalancerIngress` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// Empty when the load balancer has only a host name.
    pub ip: String,
    /// `VIP` when empty; with `Proxy` the address is left to the load balancer.
    pub ip_mode: String,
}

/// This node.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Identity, labels, and whether it is being deleted.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: NodeSpec,
    /// What the kubelet reported.
    #[serde(default)]
    pub status: NodeStatus,
}
component::slim_resource!(Node => api_types::core::Node);

/// See `NodeSpec` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// The networks of its pods.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// Taints.
    pub taints: Option<Vec<Taint>>,
}

/// See `Taint` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// What it is about.
    pub key: String,
}

/// See `NodeStatus` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its addresses, the most important of each type first.
    pub addresses: Option<Vec<NodeAddress>>,
}

/// See `NodeAddress` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`…
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// A range of virtual addresses.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceCidr {
    /// Identity.
    pub metadata: ObjectMeta,
    /// The range.
    #[serde(default)]
    pub spec: ServiceCidrSpec,
}
component::slim_resource!(ServiceCidr => api_types::networking::ServiceCIDR);

/// See `ServiceCIDRSpec` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrSpec {
    /// Networks, one a family.
    pub cidrs: Option<Vec<String>>,
}
