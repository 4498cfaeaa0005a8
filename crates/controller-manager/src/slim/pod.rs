//! Pods.

use api_types::{
    core::{ContainerPort, PodCondition, PodIP, Toleration},
    meta::{ObjectMeta, Time},
};
use component::informer::{IndexFn, ObjectKey};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::{ownership, pod_state};

/// Annotation: what deleting this pod costs; cheaper pods go first.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Index: pods by the uid of their controller; those without one under [`orphans_of`] their namespace.
pub const BY_CONTROLLER: &str = "controller";
/// Index: pods by the name of their node; the empty name when they have none.
pub const BY_NODE: &str = "node";
/// Index: pods on nodes that have not finished, by namespace and name of the claims that they use.
pub const BY_CLAIM: &str = "claim";
/// Index: finished pods, all under [`TERMINATED`].
pub const BY_TERMINATED: &str = "terminated";
/// The one value of [`BY_TERMINATED`].
pub const TERMINATED: &str = "true";

/// The indexes of the shared pod informer.
pub const POD_INDEXES: &[(&str, IndexFn<Pod>)] = &[
    (BY_CONTROLLER, |pod| vec![ownership::controller_index(&pod.metadata)]),
    (BY_NODE, |pod| vec![pod.spec.node_name.clone().unwrap_or_default()]),
    (BY_CLAIM, |pod| pod.claims().map(|claim| format!("{}/{claim}", pod.key().namespace)).collect()),
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
    /// The claims among its volumes.
    #[serde(rename = "volumes", deserialize_with = "only_claims")]
    pub claims: Vec<Claim>,
}

/// A volume that is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claim of this name.
    Named(String),
    /// The claim that was made for this volume of the pod.
    Own(String),
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

    /// The names of the claims that the pod keeps in use: those of one that has been put on a node and has not finished.
    pub fn claims(&self) -> impl Iterator<Item = String> {
        let uses = !self.node_name().is_empty() && !pod_state::is_terminal(self);
        self.spec.claims.iter().filter(move |_| uses).map(|claim| match claim {
            Claim::Named(name) => name.clone(),
            Claim::Own(volume) => format!("{}-{volume}", self.metadata.name.as_deref().unwrap_or_default()),
        })
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

/// A volume, as far as it tells whether it is a claim.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    #[serde(default)]
    name: String,
    persistent_volume_claim: Option<ClaimName>,
    ephemeral: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimName {
    #[serde(default)]
    claim_name: String,
}

fn only_claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Claim>, D::Error> {
    let volumes = Option::<Vec<Volume>>::deserialize(deserializer)?.unwrap_or_default();
    let claim = |volume: Volume| match (volume.persistent_volume_claim, volume.ephemeral) {
        (Some(claim), _) => Some(Claim::Named(claim.claim_name)),
        (None, Some(_)) => Some(Claim::Own(volume.name)),
        (None, None) => None,
    };
    Ok(volumes.into_iter().filter_map(claim).collect())
}

component::slim_resource!(Pod => api_types::core::Pod);
