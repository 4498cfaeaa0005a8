//! Nodes.

use api_types::{
    core::{NodeAddress, NodeCondition, NodeDaemonEndpoints, Taint},
    meta::ObjectMeta,
};
use serde::Deserialize;

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Spec.
    pub spec: NodeSpec,
    /// Status.
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Taints.
    pub taints: Vec<Taint>,
    /// No new pods, please.
    pub unschedulable: bool,
    /// The first Pod CIDR.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    /// All Pod CIDRs, one per family.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
}

/// `status` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Where it is reached.
    pub addresses: Vec<NodeAddress>,
    /// The kubelet's port.
    pub daemon_endpoints: NodeDaemonEndpoints,
    /// Conditions.
    pub conditions: Vec<NodeCondition>,
}

impl Node {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The status of the condition `kind`: `True`, `False`, `Unknown`; `None` when never posted.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&str> {
        self.status.conditions.iter().find(|condition| condition.type_ == kind).map(|c| c.status.as_str())
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }
}

component::slim_resource!(Node => api_types::core::Node);
