//! What the scheduler knows of the cluster: nodes and what their pods take.
//!
//! Updated event by event, so that a decision costs nothing per pod already placed. A placement is
//! *assumed* here before it is written; the watch confirms it, or [`Cache::forget`] takes it back.

mod node_info;

use std::{collections::HashMap, sync::Arc};

pub use node_info::{NodeInfo, PodInfo};

use crate::model::{Node, Pod};

/// Nodes with their pods.
#[derive(Debug, Default)]
pub struct Cache {
    /// Dense, so that a decision is a walk over a slice. Holds nodes that were seen, and nodes that
    /// pods name but that are not here (yet, or any more).
    nodes: Vec<NodeInfo>,
    /// Position in `nodes` by name.
    index: HashMap<Arc<str>, usize>,
    /// Where each pod is counted, by uid.
    placed: HashMap<Box<str>, Placed>,
    /// Nodes that are really there.
    present: usize,
}

#[derive(Debug)]
struct Placed {
    node: Arc<str>,
    pod: Arc<PodInfo>,
    assumed: bool,
}

impl Cache {
    /// Every node that is there.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().filter(|node| node.is_present())
    }

    /// The node at a position, if it is there; positions go up to [`Cache::positions`].
    #[must_use]
    pub fn at(&self, position: usize) -> Option<&NodeInfo> {
        self.nodes.get(position).filter(|node| node.is_present())
    }

    /// How many positions there are.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes are there.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.present
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).and_then(|at| self.at(*at))
    }

    /// A node is new or has changed.
    pub fn set_node(&mut self, node: &Node) {
        let position = self.position(node.metadata.name.as_deref().unwrap_or_default());
        if !self.nodes[position].is_present() {
            self.present += 1;
        }
        self.nodes[position].set(node);
    }

    /// A node is gone. Its pods stay counted until they go, too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(&position) = self.index.get(name) else { return };
        if self.nodes[position].is_present() {
            self.present -= 1;
            self.nodes[position].unset();
        }
        self.drop_if_empty(position);
    }

    /// The API shows a pod on a node. Confirms or corrects what was assumed.
    pub fn set_pod(&mut self, pod: &Pod, node: &str) {
        if !pod.is_active() {
            self.remove_pod(pod.uid());
            return;
        }
        let info = Arc::new(PodInfo::of(pod));
        if let Some(placed) = self.placed.get_mut(pod.uid())
            && *placed.node == *node
            && *placed.pod == *info
        {
            placed.assumed = false;
            return;
        }
        self.remove_pod(pod.uid());
        self.place(pod.uid(), node, info, false);
    }

    /// A pod is gone, or over.
    pub fn remove_pod(&mut self, uid: &str) {
        let Some(placed) = self.placed.remove(uid) else { return };
        if let Some(&position) = self.index.get(&placed.node) {
            self.nodes[position].remove_pod(&placed.pod);
            self.drop_if_empty(position);
        }
    }

    /// Counts a pod on a node before the API shows it there.
    pub fn assume(&mut self, uid: &str, node: &str, pod: &Arc<PodInfo>) {
        if !self.placed.contains_key(uid) {
            self.place(uid, node, Arc::clone(pod), true);
        }
    }

    /// The write of an assumed placement failed. Harmless when the API has shown it meanwhile.
    pub fn forget(&mut self, uid: &str) {
        if self.placed.get(uid).is_some_and(|placed| placed.assumed) {
            self.remove_pod(uid);
        }
    }

    fn place(&mut self, uid: &str, node: &str, pod: Arc<PodInfo>, assumed: bool) {
        let position = self.position(node);
        self.nodes[position].add_pod(&pod);
        let node = self.nodes[position].shared_name();
        self.placed.insert(uid.into(), Placed { node, pod, assumed });
    }

    fn position(&mut self, name: &str) -> usize {
        if let Some(position) = self.index.get(name) {
            return *position;
        }
        let info = NodeInfo::absent(name);
        self.index.insert(info.shared_name(), self.nodes.len());
        self.nodes.push(info);
        self.nodes.len() - 1
    }

    fn drop_if_empty(&mut self, position: usize) {
        if self.nodes[position].is_present() || self.nodes[position].pod_count() > 0 {
            return;
        }
        let removed = self.nodes.swap_remove(position);
        self.index.remove(removed.name());
        if let Some(moved) = self.nodes.get(position) {
            self.index.insert(moved.shared_name(), position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "pods": "10"}}}),
        )
        .unwrap()
    }

    fn pod(uid: &str, phase: &str) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {"uid": uid},
            "spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}, "status": {"phase": phase}}))
        .unwrap()
    }

    fn used(cache: &Cache, name: &str) -> i64 {
        cache.node(name).map_or(-1, |node| node.requested().milli_cpu)
    }

    #[test]
    fn an_assumed_pod_is_counted_once() {
        let mut cache = Cache::default();
        cache.set_node(&node("n"));
        let pending = pod("u", "Pending");
        cache.assume("u", "n", &Arc::new(PodInfo::of(&pending)));
        assert_eq!(used(&cache, "n"), 1000);
        cache.set_pod(&pending, "n");
        assert_eq!(used(&cache, "n"), 1000);
        cache.forget("u");
        assert_eq!(used(&cache, "n"), 1000, "the API has shown it");
        cache.set_pod(&pod("u", "Succeeded"), "n");
        assert_eq!(used(&cache, "n"), 0);
    }

    #[test]
    fn a_failed_write_is_forgotten() {
        let mut cache = Cache::default();
        cache.set_node(&node("n"));
        cache.assume("u", "n", &Arc::new(PodInfo::of(&pod("u", "Pending"))));
        cache.forget("u");
        assert_eq!(used(&cache, "n"), 0);
    }

    #[test]
    fn a_node_that_goes_takes_no_other_with_it() {
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.set_node(&node(name));
        }
        cache.set_pod(&pod("u", "Running"), "a");
        cache.remove_node("a");
        assert_eq!(cache.node_count(), 2);
        assert!(cache.node("a").is_none());
        cache.remove_pod("u");
        assert_eq!(cache.positions(), 2);
        cache.set_pod(&pod("v", "Running"), "c");
        assert_eq!((used(&cache, "b"), used(&cache, "c")), (0, 1000));
    }
}
