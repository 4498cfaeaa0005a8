//! Pods.

use api_types::{
    core::{ContainerPort, PodCondition, PodIP, Toleration},
    meta::{ObjectMeta, Time},
};
use component::informer::{IndexFn, ObjectKey};
use serde::{Deserialize, Deserializer};

use crate::{ownership, pod_state};

/// Annotation: what deleting this pod costs; cheaper pods go first.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Index: pods by the uid of their controller; those without one under [`orphans_of`] their namespace.
pub const BY_CONTROLLER: &str = "controller";
/// Index: pods by the name of their node; the empty name when they have none.
pub const BY_NODE: &str = "node";
/// Index: finished pods, all under [`TERMINATED`].
pub const BY_TERMINATED: &str = "terminated";
/// The one value of [`BY_TERMINATED`].
pub const TERMINATED: &str = "true";

/// The indexes of the shared pod informer.
pub const POD_INDEXES: &[(&str, IndexFn<Pod>)] = &[
    (BY_CONTROLLER, |pod| vec![ownership::controller_index(&pod.metadata)]),
    (BY_NODE, |pod| vec![pod.spec.node_name.clone().unwrap_or_default()]),
    (BY_TERMINATED, |pod| if pod_state::is_terminal(pod) { vec![TERMINATED.to_owned()] } else { Vec::new() }),
];

/// The index value of the namespace's objects without a controller.
#[must_use]
pub fn orphans_of(namespace: &str) -> String {
    format!("orphans/{namespace}")
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata; of the annotations only [`POD_DELETION_COST`].
    #[serde(deserialize_with = "without_annotations")]
    pub metadata: ObjectMeta,
    /// Spec.
    pub spec: PodSpec,
    /// Status.
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Where it runs.
    pub node_name: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Subdomain: the headless service that names it.
    pub subdomain: Option<String>,
    /// Tolerated taints.
    pub tolerations: Vec<Toleration>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers, sidecars among them.
    pub init_containers: Vec<Container>,
}

/// A container's name and ports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Phase.
    pub phase: String,
    /// Conditions.
    pub conditions: Vec<PodCondition>,
    /// Address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// Addresses, one per family.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIP>,
    /// When the kubelet took it on.
    pub start_time: Option<Time>,
    /// Containers.
    pub container_statuses: Vec<ContainerStatus>,
}

/// How often a container restarted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Restarts.
    pub restart_count: i32,
}

impl Pod {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of(self)
    }

    /// The uid; empty only for what no server made.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The node's name; empty when not scheduled.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.spec.node_name.as_deref().unwrap_or_default()
    }

    /// Every address, the primary one first.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let listed = self.status.pod_ips.iter().map(|ip| ip.ip.as_str());
        let primary = self.status.pod_ip.as_deref().filter(|ip| !self.status.pod_ips.iter().any(|p| p.ip == *ip));
        primary.into_iter().chain(listed).filter(|ip| !ip.is_empty())
    }
}

fn without_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = ObjectMeta::deserialize(deserializer)?;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| key == POD_DELETION_COST);
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
    Ok(metadata)
}

component::slim_resource!(Pod => api_types::core::Pod);
