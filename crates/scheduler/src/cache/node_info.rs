//! One node and its pods, with their sums.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    core::Taint,
    pod::{host_ports::HostPort, node_affinity::NodeView},
};

use super::{Kin, PodInfo};
use crate::{
    model::Node,
    resources::{Amounts, pod_slots},
};

/// A node and its pods. Cloning is cheap: a snapshot holds clones.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    name: Arc<str>,
    /// `None` while only pods speak of the node.
    node: Option<Arc<Described>>,
    requested: Amounts,
    scored_milli_cpu: i64,
    scored_memory: i64,
    pods: Vec<Arc<PodInfo>>,
    /// Pods by what selectors read of them: few on a node differ.
    groups: Vec<Group>,
    /// Pods that have an affinity to other pods, or against them.
    with_terms: Vec<Arc<PodInfo>>,
    host_ports: Vec<HostPort>,
    /// Pods for which room is being made here.
    nominated: Vec<Arc<PodInfo>>,
}

/// Pods that selectors cannot tell apart.
#[derive(Clone, Debug)]
pub struct Group {
    /// What selectors read.
    pub kin: Arc<Kin>,
    /// How many there are.
    pub pods: usize,
    /// How many of them are on their way out.
    pub leaving: usize,
}

#[derive(Debug)]
struct Described {
    node: Arc<Node>,
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
            pods: Vec::new(),
            groups: Vec::new(),
            with_terms: Vec::new(),
            host_ports: Vec::new(),
            nominated: Vec::new(),
        }
    }

    /// A node without pods.
    #[must_use]
    pub fn of(node: &Arc<Node>) -> Self {
        let mut info = Self::absent(node.metadata.name.as_deref().unwrap_or_default());
        info.set(node);
        info
    }

    pub(super) fn set(&mut self, node: &Arc<Node>) {
        self.node = Some(Arc::new(Described {
            node: Arc::clone(node),
            allocatable: Amounts::offered(&node.status.allocatable),
            pod_slots: pod_slots(&node.status.allocatable),
        }));
    }

    pub(super) fn unset(&mut self) {
        self.node = None;
    }

    pub(super) fn is_present(&self) -> bool {
        self.node.is_some()
    }

    /// The node's name, to be kept.
    #[must_use]
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Counts a pod.
    pub fn add_pod(&mut self, pod: &Arc<PodInfo>) {
        self.requested.add(&pod.requests.asked);
        self.scored_milli_cpu += pod.requests.scored_milli_cpu;
        self.scored_memory += pod.requests.scored_memory;
        self.host_ports.extend(pod.host_ports.iter().cloned());
        self.pods.push(Arc::clone(pod));
        if pod.terms.is_some() {
            self.with_terms.push(Arc::clone(pod));
        }
        let leaving = usize::from(pod.leaving);
        match self.groups.iter_mut().find(|group| group.kin == pod.kin) {
            Some(group) => {
                group.pods += 1;
                group.leaving += leaving;
            }
            None => self.groups.push(Group { kin: Arc::clone(&pod.kin), pods: 1, leaving }),
        }
    }

    /// Takes back a pod that was counted.
    pub fn remove_pod(&mut self, pod: &Arc<PodInfo>) {
        let Some(at) = self.pods.iter().position(|own| Arc::ptr_eq(own, pod)) else { return };
        self.pods.swap_remove(at);
        self.with_terms.retain(|own| !Arc::ptr_eq(own, pod));
        self.requested.subtract(&pod.requests.asked);
        self.scored_milli_cpu -= pod.requests.scored_milli_cpu;
        self.scored_memory -= pod.requests.scored_memory;
        for port in &pod.host_ports {
            if let Some(at) = self.host_ports.iter().position(|taken| taken == port) {
                self.host_ports.swap_remove(at);
            }
        }
        if let Some(at) = self.groups.iter().position(|group| group.kin == pod.kin) {
            let group = &mut self.groups[at];
            group.pods -= 1;
            group.leaving -= usize::from(pod.leaving);
            if group.pods == 0 {
                self.groups.swap_remove(at);
            }
        }
    }

    pub(super) fn nominate(&mut self, pod: Arc<PodInfo>) {
        self.nominated.push(pod);
    }

    pub(super) fn withdraw(&mut self, uid: &str) {
        self.nominated.retain(|pod| pod.uid() != uid);
    }

    /// Whether nobody speaks of the node any more.
    pub(super) fn is_forgotten(&self) -> bool {
        !self.is_present() && self.pods.is_empty() && self.nominated.is_empty()
    }

    /// Pods for which room is being made here. They are not counted among its pods.
    #[must_use]
    pub fn nominated(&self) -> &[Arc<PodInfo>] {
        &self.nominated
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn described(&self) -> Option<&Node> {
        self.node.as_ref().map(|own| &*own.node)
    }

    /// The node's labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.described().and_then(|node| node.metadata.labels.as_ref()).unwrap_or(&NONE)
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().get(key).map(String::as_str)
    }

    /// What selectors read of the node.
    #[must_use]
    pub fn view(&self) -> NodeView<'_> {
        NodeView { name: &self.name, labels: self.labels() }
    }

    /// The node's taints.
    #[must_use]
    pub fn taints(&self) -> &[Taint] {
        self.described().map_or(&[], |node| &node.spec.taints)
    }

    /// Whether the node is cordoned.
    #[must_use]
    pub fn is_unschedulable(&self) -> bool {
        self.described().is_some_and(|node| node.spec.unschedulable)
    }

    /// The images that it has, with their sizes in bytes, sorted by name.
    #[must_use]
    pub fn images(&self) -> &[(Arc<str>, i64)] {
        self.described().map_or(&[], |node| &node.status.images)
    }

    /// What its kubelet is able to do and others may not be.
    #[must_use]
    pub fn declared_features(&self) -> &[String] {
        self.described().map_or(&[], |node| &node.status.declared_features)
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

    /// Its pods.
    #[must_use]
    pub fn pods(&self) -> &[Arc<PodInfo>] {
        &self.pods
    }

    /// Its pods by what selectors read of them.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Its pods that have an affinity to other pods, or against them.
    #[must_use]
    pub fn pods_with_terms(&self) -> &[Arc<PodInfo>] {
        &self.with_terms
    }

    /// How many pods it has.
    #[must_use]
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// Ports taken on the host.
    #[must_use]
    pub fn host_ports(&self) -> &[HostPort] {
        &self.host_ports
    }
}
