//! One node and the sum of its pods.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    core::Taint,
    pod::{
        host_ports::{HostPort, host_ports},
        node_affinity::NodeView,
    },
};

use crate::{
    model::{Node, Pod},
    resources::{Amounts, Requests, pod_slots},
};

/// What counts of a pod that is on a node, or shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    /// What it takes.
    pub requests: Requests,
    /// Ports on the host.
    pub host_ports: Vec<HostPort>,
}

impl PodInfo {
    /// Reads a pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        Self { requests: Requests::of(pod), host_ports: host_ports(pod) }
    }
}

/// A node and the sum of its pods.
#[derive(Debug)]
pub struct NodeInfo {
    name: Arc<str>,
    /// `None` while only pods speak of the node.
    node: Option<Described>,
    requested: Amounts,
    scored_milli_cpu: i64,
    scored_memory: i64,
    pods: usize,
    host_ports: Vec<HostPort>,
}

#[derive(Debug)]
struct Described {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    unschedulable: bool,
    allocatable: Amounts,
    pod_slots: i64,
}

impl NodeInfo {
    pub(super) fn absent(name: &str) -> Self {
        Self {
            name: name.into(),
            node: None,
            requested: Amounts::default(),
            scored_milli_cpu: 0,
            scored_memory: 0,
            pods: 0,
            host_ports: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, node: &Node) {
        self.node = Some(Described {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: node.spec.taints.clone(),
            unschedulable: node.spec.unschedulable,
            allocatable: Amounts::offered(&node.status.allocatable),
            pod_slots: pod_slots(&node.status.allocatable),
        });
    }

    pub(super) fn unset(&mut self) {
        self.node = None;
    }

    pub(super) fn is_present(&self) -> bool {
        self.node.is_some()
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn add_pod(&mut self, pod: &PodInfo) {
        self.requested.add(&pod.requests.asked);
        self.scored_milli_cpu += pod.requests.scored_milli_cpu;
        self.scored_memory += pod.requests.scored_memory;
        self.pods += 1;
        self.host_ports.extend(pod.host_ports.iter().cloned());
    }

    pub(super) fn remove_pod(&mut self, pod: &PodInfo) {
        self.requested.subtract(&pod.requests.asked);
        self.scored_milli_cpu -= pod.requests.scored_milli_cpu;
        self.scored_memory -= pod.requests.scored_memory;
        self.pods -= 1;
        for port in &pod.host_ports {
            if let Some(at) = self.host_ports.iter().position(|taken| taken == port) {
                self.host_ports.swap_remove(at);
            }
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.node.as_ref().map_or(&NONE, |node| &node.labels)
    }

    /// What selectors read of the node.
    #[must_use]
    pub fn view(&self) -> NodeView<'_> {
        NodeView { name: &self.name, labels: self.labels() }
    }

    /// The node's taints.
    #[must_use]
    pub fn taints(&self) -> &[Taint] {
        self.node.as_ref().map_or(&[], |node| &node.taints)
    }

    /// Whether the node is cordoned.
    #[must_use]
    pub fn is_unschedulable(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.unschedulable)
    }

    /// What the node offers.
    #[must_use]
    pub fn allocatable(&self) -> &Amounts {
        static NOTHING: Amounts = Amounts { milli_cpu: 0, memory: 0, ephemeral_storage: 0, others: Vec::new() };
        self.node.as_ref().map_or(&NOTHING, |node| &node.allocatable)
    }

    /// How many pods the node takes.
    #[must_use]
    pub fn pod_slots(&self) -> i64 {
        self.node.as_ref().map_or(0, |node| node.pod_slots)
    }

    /// What its pods ask for.
    #[must_use]
    pub fn requested(&self) -> &Amounts {
        &self.requested
    }

    /// CPU and memory that its pods take, with assumed minimums.
    #[must_use]
    pub fn scored(&self) -> (i64, i64) {
        (self.scored_milli_cpu, self.scored_memory)
    }

    /// How many pods it has.
    #[must_use]
    pub fn pod_count(&self) -> usize {
        self.pods
    }

    /// Ports taken on the host.
    #[must_use]
    pub fn host_ports(&self) -> &[HostPort] {
        &self.host_ports
    }
}
