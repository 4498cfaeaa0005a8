//! The part of NetworkPolicies, Pods and Namespaces that policies are made of.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::IntOrString;
use api_types::meta::{LabelSelector, ObjectMeta};
use serde::Deserialize;

/// A NetworkPolicy.
#[derive(Clone, Debug, Deserialize)]
pub struct NetworkPolicy {
    /// Identity.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: PolicySpec,
}
component::slim_resource!(NetworkPolicy => api_types::networking::NetworkPolicy);

/// See `NetworkPolicySpec` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicySpec {
    /// The pods that it is about; all of the namespace when empty.
    pub pod_selector: LabelSelector,
    /// `Ingress`, `Egress`.
    pub policy_types: Vec<String>,
    /// Who may come in.
    pub ingress: Vec<PolicyRule>,
    /// Where to one may go.
    pub egress: Vec<PolicyRule>,
}

/// A rule of either direction: what one calls `from` and the other `to` are peers here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PolicyRule {
    /// The other side; everybody when empty.
    #[serde(alias = "from", alias = "to")]
    pub peers: Vec<Peer>,
    /// The ports of whoever is asked; all when empty.
    pub ports: Vec<PolicyPort>,
}

/// The other side of a connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Peer {
    /// Addresses.
    pub ip_block: Option<IpBlock>,
    /// Pods, in the policy's namespace when no namespaces are selected.
    pub pod_selector: Option<LabelSelector>,
    /// Namespaces.
    pub namespace_selector: Option<LabelSelector>,
}

/// A network without parts of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IpBlock {
    /// The network.
    pub cidr: String,
    /// What of it is not meant.
    pub except: Vec<String>,
}

/// A port, a range of ports, or all ports of a protocol.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyPort {
    /// `TCP` when empty.
    pub protocol: String,
    /// A number, or the name of a container's port; all ports when absent.
    pub port: Option<IntOrString>,
    /// The last port of a range.
    pub end_port: Option<i32>,
}

/// A Namespace: its labels.
#[derive(Clone, Debug, Deserialize)]
pub struct Namespace {
    /// Identity and labels.
    pub metadata: ObjectMeta,
}
component::slim_resource!(Namespace => api_types::core::Namespace);

/// A Pod.
#[derive(Clone, Debug, Deserialize)]
pub struct Pod {
    /// Identity and labels.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: PodSpec,
    /// What is.
    #[serde(default)]
    pub status: PodStatus,
}
component::slim_resource!(Pod => api_types::core::Pod);

/// See `PodSpec` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node that it is on.
    pub node_name: Option<Box<str>>,
    /// Whether its addresses are the node's.
    pub host_network: bool,
    /// Containers: their ports.
    pub containers: Vec<Container>,
    /// Init containers: their ports, since some of them go on running.
    pub init_containers: Vec<Container>,
}

/// A container: its ports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Ports.
    pub ports: Vec<ContainerPort>,
}

/// A container's port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// May be empty.
    pub name: Box<str>,
    /// `TCP` when empty.
    pub protocol: Box<str>,
    /// The number.
    pub container_port: u16,
}

/// See `PodStatus` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Succeeded` and `Failed` pods have no addresses any more.
    pub phase: Box<str>,
    /// Addresses, one a family.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: Box<str>,
}

impl Pod {
    /// The addresses that are the pod's own; none when it has ended, or has the node's.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let owns = !self.spec.host_network && !matches!(&*self.status.phase, "Succeeded" | "Failed");
        self.status.pod_ips.iter().filter(move |_| owns).filter_map(|address| address.ip.parse().ok())
    }

    /// The ports of its containers.
    pub fn ports(&self) -> impl Iterator<Item = &ContainerPort> {
        self.spec.containers.iter().chain(&self.spec.init_containers).flat_map(|container| &container.ports)
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The labels.
    #[must_use]
    pub fn labels(&self) -> &Option<BTreeMap<String, String>> {
        &self.metadata.labels
    }
}

/// The protocol, which is TCP where none is named.
#[must_use]
pub fn or_tcp(protocol: &str) -> &str {
    if protocol.is_empty() { "TCP" } else { protocol }
}
