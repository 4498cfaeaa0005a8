//! Pods.

use api_types::{
    core::{ContainerPort, PodCondition, PodIP, Toleration},
    meta::{ObjectMeta, Time},
};
use component::{
    informer::{IndexFn, ObjectKey},
    volumes::ephemeral_claim_name,
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::requests::{Requests, only_requests};
use crate::{ownership, pod_state};

/// Annotation: what deleting this pod costs; cheaper pods go first.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Annotation: which completion of an indexed job a pod is.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation: how often pods of this index have failed before.
pub const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation: how often they did without being counted.
pub const INDEX_IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// The annotations that are read.
const ANNOTATIONS: [&str; 4] = [POD_DELETION_COST, COMPLETION_INDEX, INDEX_FAILURES, INDEX_IGNORED_FAILURES];
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
    /// Metadata; of the annotations only those that are read here.
    #[serde(deserialize_with = "with_few_annotations")]
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
    /// The one node that its affinity asks for by name.
    #[serde(rename = "affinity", deserialize_with = "only_node")]
    pub wanted_node: Option<String>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers, sidecars among them.
    pub init_containers: Vec<Container>,
    /// What all of it asks for together, if it says so.
    #[serde(rename = "resources", deserialize_with = "only_requests")]
    pub requests: Requests,
    /// The claims among its volumes.
    #[serde(rename = "volumes", deserialize_with = "only_claims")]
    pub claims: Vec<Claim>,
    /// Claims to devices.
    pub resource_claims: Vec<ResourceClaimUse>,
}

/// A claim to devices: the one of this name, or one made from a template.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceClaimUse {
    /// What the pod calls it.
    pub name: String,
    /// The claim.
    pub resource_claim_name: Option<String>,
    /// The template.
    pub resource_claim_template_name: Option<String>,
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
    /// Name.
    pub name: String,
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
    /// What it asks for.
    #[serde(rename = "resources", deserialize_with = "only_requests")]
    pub requests: Requests,
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
    /// Init containers, sidecars among them.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// The claims to devices that were made for it.
    pub resource_claim_statuses: Vec<ResourceClaimUse>,
}

/// How a container ended, and how often it restarted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// Restarts.
    pub restart_count: i32,
    /// How it ended, if it did.
    pub state: ContainerState,
}

/// What a container does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It has ended.
    pub terminated: Option<Terminated>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// What its process returned.
    pub exit_code: i32,
    /// When.
    pub finished_at: Option<Time>,
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

    /// The node that it runs on, or that alone it may run on by name; empty when it may run on others.
    #[must_use]
    pub fn target_node(&self) -> &str {
        match self.node_name() {
            "" => self.spec.wanted_node.as_deref().unwrap_or_default(),
            node => node,
        }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The value of an annotation that is a number.
    #[must_use]
    pub fn number(&self, annotation: &str) -> Option<i32> {
        self.metadata.annotations.as_ref()?.get(annotation)?.parse().ok()
    }

    /// Whether it has a finalizer.
    #[must_use]
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.metadata.finalizers.iter().flatten().any(|own| own == finalizer)
    }

    /// The names of the claims that the pod keeps in use: those of one that has been put on a node and has not finished.
    pub fn claims(&self) -> impl Iterator<Item = String> {
        let uses = !self.node_name().is_empty() && !pod_state::is_terminal(self);
        self.wanted_claims().filter(move |_| uses)
    }

    /// The names of the claims among its volumes.
    pub fn wanted_claims(&self) -> impl Iterator<Item = String> {
        self.spec.claims.iter().map(|claim| match claim {
            Claim::Named(name) => name.clone(),
            Claim::Own(volume) => ephemeral_claim_name(self.metadata.name.as_deref().unwrap_or_default(), volume),
        })
    }

    /// The names of its claims to devices, as far as they have been made.
    pub fn resource_claims(&self) -> impl Iterator<Item = &str> {
        let statuses = &self.status.resource_claim_statuses;
        self.spec.resource_claims.iter().filter_map(move |own| {
            let made = || statuses.iter().find(|status| status.name == own.name)?.resource_claim_name.as_deref();
            own.resource_claim_name.as_deref().or_else(made)
        })
    }

    /// Every address, the primary one first.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let listed = self.status.pod_ips.iter().map(|ip| ip.ip.as_str());
        let primary = self.status.pod_ip.as_deref().filter(|ip| !self.status.pod_ips.iter().any(|p| p.ip == *ip));
        primary.into_iter().chain(listed).filter(|ip| !ip.is_empty())
    }
}

fn with_few_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = ObjectMeta::deserialize(deserializer)?;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| ANNOTATIONS.contains(&key.as_str()));
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

/// Affinity, as far as it names a node.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<Terms>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    node_selector_terms: Vec<Term>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_fields: Option<Vec<Field>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Field {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

fn only_node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let affinity = Option::<Affinity>::deserialize(deserializer)?.unwrap_or_default();
    let required = affinity.node_affinity.and_then(|own| own.required_during_scheduling_ignored_during_execution);
    let fields = required.unwrap_or_default().node_selector_terms.into_iter().flat_map(|term| term.match_fields);
    let named = fields.flatten().find(|field| field.key == "metadata.name" && field.operator == "In");
    Ok(named.and_then(|field| match <[String; 1]>::try_from(field.values.unwrap_or_default()) {
        Ok([name]) => Some(name),
        Err(_) => None,
    }))
}

component::slim_resource!(Pod => api_types::core::Pod);
