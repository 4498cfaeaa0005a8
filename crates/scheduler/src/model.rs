//! The fields of pods and nodes that scheduling reads.

use std::collections::BTreeMap;

use api_types::{
    core::{
        ContainerPort, NodeAffinity, PodAffinityTerm, Taint, Toleration, TopologySpreadConstraint,
        WeightedPodAffinityTerm,
    },
    meta::{LabelSelector, ObjectMeta, Time},
    pod::{ContainerView, Held, PodView, ResourceList},
};
use component::slim_resource;
use serde::Deserialize;

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Pod {
    /// Name, namespace, uid, labels, creation and deletion time.
    pub metadata: ObjectMeta,
    /// What it asks for.
    #[serde(default)]
    pub spec: PodSpec,
    /// Whether it is over.
    #[serde(default)]
    pub status: PodStatus,
}
slim_resource!(Pod => api_types::core::Pod);

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
    /// Containers that run before them, or beside them when they restart always.
    pub init_containers: Vec<Container>,
    /// What the sandbox itself costs.
    pub overhead: Option<Box<ResourceList>>,
    /// Requests of the pod as a whole, which replace the containers' sum.
    pub resources: Option<Box<Resources>>,
    /// Present while the pod may not be scheduled.
    pub scheduling_gates: Vec<SchedulingGate>,
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
    /// What it requests.
    pub resources: Option<Box<Resources>>,
    /// Ports on the host.
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<Box<str>>,
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
    /// `PodScheduled`'s transition time, and what became of a resize.
    pub conditions: Vec<Condition>,
    /// What containers hold while they are resized.
    pub container_statuses: Vec<ContainerStatus>,
    /// The same of init containers.
    pub init_container_statuses: Vec<ContainerStatus>,
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

    /// The uid; empty only in tests.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
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
#[serde(default)]
pub struct NodeStatus {
    /// For pods, after what the system keeps.
    pub allocatable: ResourceList,
}

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: ObjectMeta,
}
slim_resource!(Namespace => api_types::core::Namespace);

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Service {
    /// Name.
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
