//! The fields of pods and nodes that scheduling reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use api_types::{
    core::{
        ContainerPort, NodeAffinity, PodAffinityTerm, Taint, Toleration, TopologySpreadConstraint,
        WeightedPodAffinityTerm,
    },
    meta::{LabelSelector, ObjectMeta, Time},
    pod::{ContainerView, Held, PodView, ResourceList},
};
use component::{informer::lean_metadata, pool::Pool, slim_resource, volumes::ephemeral_claim_name};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::cache::PodInfo;

/// The condition of a pod that tells why it is taken away.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// Its reason when a more important pod takes the room.
pub const PREEMPTED: &str = "PreemptionByScheduler";

/// A pod. Of one that is on a node little is kept besides what counts of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "PodAsSent")]
pub struct Pod {
    /// Name, namespace, uid, deletion time; labels and owners of one that waits.
    pub metadata: ObjectMeta,
    /// What it asks for.
    pub spec: PodSpec,
    /// Whether it is over.
    pub status: PodStatus,
    /// What counts of it.
    pub info: Arc<PodInfo>,
}
slim_resource!(Pod => api_types::core::Pod);

/// A pod, all of it that is ever read.
#[derive(Deserialize)]
struct PodAsSent {
    #[serde(deserialize_with = "lean_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

impl From<PodAsSent> for Pod {
    fn from(sent: PodAsSent) -> Self {
        let PodAsSent { metadata, spec, status } = sent;
        let mut pod = Self { metadata, spec, status, info: Arc::default() };
        pod.info = Arc::new(PodInfo::of(&pod));
        if pod.node_name().is_some() {
            pod.settle();
        }
        pod
    }
}

/// What a pod asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Where it runs; absent while unscheduled.
    pub node_name: Option<Box<str>>,
    /// Who schedules it.
    pub scheduler_name: Option<Box<str>>,
    /// Higher goes first.
    pub priority: Option<i32>,
    /// `Never`: it does not make others go.
    pub preemption_policy: Option<Box<str>>,
    /// Labels that the node must have.
    pub node_selector: Option<Box<BTreeMap<String, String>>>,
    /// Which nodes and pods it wants near or far.
    pub affinity: Option<Box<Affinity>>,
    /// How it is to be spread among its like.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Taints that it tolerates.
    pub tolerations: Vec<Toleration>,
    /// Containers that run together.
    pub containers: Vec<Container>,
    /// The claims among its volumes.
    #[serde(rename = "volumes", deserialize_with = "only_claims")]
    pub claims: Vec<Claim>,
    /// Containers that run before them, or beside them when they restart always.
    pub init_containers: Vec<Container>,
    /// What the sandbox itself costs.
    pub overhead: Option<Box<ResourceList>>,
    /// Requests of the pod as a whole, which replace the containers' sum.
    pub resources: Option<Box<Resources>>,
    /// Claims to devices.
    pub resource_claims: Vec<PodResourceClaim>,
    /// It shares its node's network.
    pub host_network: bool,
    /// `false`: it has users of its own.
    pub host_users: Option<bool>,
    /// Present while the pod may not be scheduled.
    pub scheduling_gates: Vec<SchedulingGate>,
}

/// A volume that is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claim of this name.
    Named(Box<str>),
    /// The claim that is made for this volume of the pod.
    Own(Box<str>),
}

/// A claim that a pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimUse {
    /// The claim's name.
    pub name: String,
    /// Whether it is made for this pod alone.
    pub is_own: bool,
}

fn only_claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Claim>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Volume {
        #[serde(default)]
        name: Box<str>,
        persistent_volume_claim: Option<Source>,
        ephemeral: Option<IgnoredAny>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Source {
        #[serde(default)]
        claim_name: Box<str>,
    }
    let volumes = Option::<Vec<Volume>>::deserialize(deserializer)?.unwrap_or_default();
    let claim = |volume: Volume| match (volume.persistent_volume_claim, volume.ephemeral) {
        (Some(claim), _) => Some(Claim::Named(claim.claim_name)),
        (None, Some(_)) => Some(Claim::Own(volume.name)),
        (None, None) => None,
    };
    Ok(volumes.into_iter().filter_map(claim).collect())
}

/// A claim to devices.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct PodResourceClaim {
    /// What containers call it.
    pub name: Box<str>,
    /// The claim; absent when one is made for this pod.
    pub resource_claim_name: Option<Box<str>>,
}

/// A reason not to schedule a pod yet.
#[derive(Clone, Debug, Deserialize)]
pub struct SchedulingGate {}

/// Affinity to nodes, to pods, and against pods.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// Nodes.
    pub node_affinity: Option<NodeAffinity>,
    /// Pods to be near to.
    pub pod_affinity: Option<PodAffinity>,
    /// Pods to be far from.
    pub pod_anti_affinity: Option<PodAffinity>,
}

/// Affinity to pods or against them: both look alike.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinity {
    /// What must be.
    pub required_during_scheduling_ignored_during_execution: Vec<PodAffinityTerm>,
    /// What would be nice.
    pub preferred_during_scheduling_ignored_during_execution: Vec<WeightedPodAffinityTerm>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: Box<str>,
    /// What it runs.
    pub image: Box<str>,
    /// What is done when it ends.
    pub restart_policy_rules: Vec<RestartRule>,
    /// What it requests.
    pub resources: Option<Box<Resources>>,
    /// Ports on the host.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<Box<str>>,
}

/// What is done when a container ends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RestartRule {
    /// Such as `Restart`.
    pub action: Box<str>,
}

/// Requests; limits do not matter to scheduling.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Amounts by resource name.
    pub requests: ResourceList,
}

impl ContainerView for Container {
    fn name(&self) -> &str {
        &self.name
    }

    fn requests(&self) -> Option<&ResourceList> {
        self.resources.as_deref().map(|resources| &resources.requests)
    }

    fn limits(&self) -> Option<&ResourceList> {
        None
    }

    fn restarts_always(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    fn ports(&self) -> &[ContainerPort] {
        &self.ports
    }
}

impl PodView for Pod {
    type Container = Container;

    fn containers(&self) -> &[Container] {
        &self.spec.containers
    }

    fn init_containers(&self) -> &[Container] {
        &self.spec.init_containers
    }

    fn pod_requests(&self) -> Option<&ResourceList> {
        self.spec.resources.as_deref().map(|resources| &resources.requests)
    }

    fn pod_limits(&self) -> Option<&ResourceList> {
        None
    }

    fn overhead(&self) -> Option<&ResourceList> {
        self.spec.overhead.as_deref()
    }

    fn held(&self, container: &str) -> Held<'_> {
        let mut statuses = self.status.container_statuses.iter().chain(&self.status.init_container_statuses);
        statuses.find(|status| &*status.name == container).map_or_else(Held::default, |status| Held {
            allocated: status.allocated_resources.as_deref(),
            in_force: status.resources.as_deref().and_then(|resources| resources.requests.as_ref()),
        })
    }

    fn resize_is_infeasible(&self) -> bool {
        let mut pending = self.status.conditions.iter().filter(|condition| &*condition.r#type == "PodResizePending");
        pending.next().is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
    }
}

/// Whether a pod is over, and what it holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Succeeded` and `Failed` pods hold no resources.
    pub phase: Option<Box<str>>,
    /// Where room is being made for it.
    pub nominated_node_name: Option<Box<str>>,
    /// When its kubelet took it on.
    pub start_time: Option<Time>,
    /// `PodScheduled`'s transition time, what became of a resize, and why it goes.
    pub conditions: Vec<Condition>,
    /// What containers hold while they are resized.
    pub container_statuses: Vec<ContainerStatus>,
    /// The same of init containers.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// The claims to devices that were made for it; without a name when none is needed.
    pub resource_claim_statuses: Vec<PodResourceClaim>,
}

/// What a container holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: Box<str>,
    /// Promised by the kubelet.
    pub allocated_resources: Option<Box<ResourceList>>,
    /// In force.
    pub resources: Option<Box<HeldResources>>,
}

/// Requests that are in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeldResources {
    /// Amounts by resource name.
    pub requests: Option<ResourceList>,
}

/// A condition of a pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Such as `PodScheduled`.
    pub r#type: Box<str>,
    /// `True`, `False`, `Unknown`.
    pub status: Box<str>,
    /// Why, for programs.
    pub reason: Option<Box<str>>,
    /// Why, for people.
    pub message: Option<Box<str>>,
    /// When the status last changed.
    pub last_transition_time: Option<Time>,
}

impl Pod {
    /// Forgets what nobody asks about a pod that is on a node.
    fn settle(&mut self) {
        let (spec, status) = (std::mem::take(&mut self.spec), std::mem::take(&mut self.status));
        self.spec.node_name = spec.node_name;
        self.spec.scheduler_name = spec.scheduler_name;
        self.status.phase = status.phase;
        let own = std::mem::take(&mut self.metadata);
        self.metadata = ObjectMeta {
            name: own.name,
            namespace: own.namespace,
            uid: own.uid,
            resource_version: own.resource_version,
            deletion_timestamp: own.deletion_timestamp,
            ..ObjectMeta::default()
        };
    }

    /// Whether it holds its node's resources.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Who schedules it.
    #[must_use]
    pub fn scheduler_name(&self) -> &str {
        self.spec.scheduler_name.as_deref().unwrap_or("default-scheduler")
    }

    /// The node that it is on; `None` while unscheduled.
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|node| !node.is_empty())
    }

    /// The node where room is being made for it.
    #[must_use]
    pub fn nominated_node(&self) -> Option<&str> {
        self.status.nominated_node_name.as_deref().filter(|node| !node.is_empty())
    }

    /// How important it is.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.spec.priority.unwrap_or(0)
    }

    /// Whether it is going because the scheduler made it go.
    #[must_use]
    pub fn is_preempted(&self) -> bool {
        let mut why = self.status.conditions.iter().filter(|condition| &*condition.r#type == DISRUPTION_TARGET);
        self.metadata.deletion_timestamp.is_some()
            && why.next().is_some_and(|why| &*why.status == "True" && why.reason.as_deref() == Some(PREEMPTED))
    }

    /// The uid; empty only in tests.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The claims that it uses.
    pub fn claims(&self) -> impl Iterator<Item = ClaimUse> {
        let own = self.metadata.name.as_deref().unwrap_or_default();
        self.spec.claims.iter().map(move |claim| match claim {
            Claim::Named(name) => ClaimUse { name: name.to_string(), is_own: false },
            Claim::Own(volume) => ClaimUse { name: ephemeral_claim_name(own, volume), is_own: true },
        })
    }

    /// The condition `PodScheduled`.
    #[must_use]
    pub fn scheduled_condition(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| &*condition.r#type == "PodScheduled")
    }
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Node {
    /// Name and labels.
    #[serde(deserialize_with = "lean_metadata")]
    pub metadata: ObjectMeta,
    /// Taints.
    #[serde(default)]
    pub spec: NodeSpec,
    /// Room.
    #[serde(default)]
    pub status: NodeStatus,
}
slim_resource!(Node => api_types::core::Node);

/// Whether a node takes pods.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct NodeSpec {
    /// Cordoned.
    pub unschedulable: bool,
    /// Which pods it repels.
    pub taints: Vec<Taint>,
}

/// What a node offers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// For pods, after what the system keeps.
    pub allocatable: ResourceList,
    /// What it need not fetch: sizes in bytes by name, sorted.
    #[serde(deserialize_with = "images")]
    pub images: Vec<(Arc<str>, i64)>,
    /// What its kubelet is able to do and others may not be.
    pub declared_features: Vec<String>,
}

/// The images of a node, by names that all nodes share.
fn images<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Arc<str>, i64)>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Image {
        names: Option<Vec<String>>,
        size_bytes: i64,
    }
    static NAMES: LazyLock<Pool<str>> = LazyLock::new(Pool::default);
    let sent: Option<Vec<Image>> = Option::deserialize(deserializer)?;
    let named = sent.into_iter().flatten().flat_map(|image| {
        image.names.unwrap_or_default().into_iter().map(move |name| (NAMES.share(name), image.size_bytes))
    });
    let mut images: Vec<(Arc<str>, i64)> = named.collect();
    images.sort();
    images.dedup_by(|a, b| a.0 == b.0);
    images.shrink_to_fit();
    Ok(images)
}

/// What CSI drivers say of a node.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CsiNode {
    /// The node's name.
    pub metadata: ObjectMeta,
    /// The drivers.
    #[serde(default)]
    pub spec: CsiNodeSpec,
}
slim_resource!(CsiNode => api_types::storage::CSINode);

/// The drivers of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeSpec {
    /// Each.
    pub drivers: Vec<CsiDriver>,
}

/// A driver on a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiDriver {
    /// Its name.
    pub name: Box<str>,
    /// What it can do there.
    pub allocatable: Option<CsiAllocatable>,
}

/// What a driver can do on a node.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiAllocatable {
    /// How many volumes it attaches.
    pub count: Option<i32>,
}

impl CsiDriver {
    /// How many volumes it attaches there, if that is bounded.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.allocatable?.count.and_then(|count| usize::try_from(count).ok())
    }
}

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Namespace {
    /// Name and labels.
    #[serde(deserialize_with = "lean_metadata")]
    pub metadata: ObjectMeta,
}
slim_resource!(Namespace => api_types::core::Namespace);

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Service {
    /// Name.
    #[serde(deserialize_with = "lean_metadata")]
    pub metadata: ObjectMeta,
    /// What it selects.
    #[serde(default)]
    pub spec: LabelsSelected,
}
slim_resource!(Service => api_types::core::Service);

/// A replication controller.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReplicationController {
    /// Name.
    #[serde(deserialize_with = "lean_metadata")]
    pub metadata: ObjectMeta,
    /// What it selects.
    #[serde(default)]
    pub spec: LabelsSelected,
}
slim_resource!(ReplicationController => api_types::core::ReplicationController);

/// A selector that is a map of labels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LabelsSelected {
    /// All of them.
    pub selector: BTreeMap<String, String>,
}

/// A replica set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReplicaSet {
    /// Name.
    #[serde(deserialize_with = "lean_metadata")]
    pub metadata: ObjectMeta,
    /// What it selects.
    #[serde(default)]
    pub spec: ReplicaSetSpec,
}
slim_resource!(ReplicaSet => api_types::apps::ReplicaSet);

/// What a replica set selects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSetSpec {
    /// The selector.
    pub selector: Option<LabelSelector>,
}

/// A disruption budget.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodDisruptionBudget {
    /// Name and namespace.
    #[serde(deserialize_with = "lean_metadata")]
    pub metadata: ObjectMeta,
    /// Which pods it protects.
    #[serde(default)]
    pub spec: PodDisruptionBudgetSpec,
    /// How many of them may go.
    #[serde(default)]
    pub status: PodDisruptionBudgetStatus,
}
slim_resource!(PodDisruptionBudget => api_types::policy::PodDisruptionBudget);

/// Which pods a budget protects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudgetSpec {
    /// The selector.
    pub selector: Option<LabelSelector>,
}

/// How many pods of a budget may go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus {
    /// So many.
    pub disruptions_allowed: i32,
    /// Pods whose disruption has been counted already.
    pub disrupted_pods: BTreeMap<String, Time>,
}
