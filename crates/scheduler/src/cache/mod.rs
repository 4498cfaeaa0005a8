//! What the scheduler knows of the cluster: nodes and their pods.
//!
//! Updated event by event, so that a decision costs nothing per pod already placed. A placement is
//! *assumed* here before it is written; the watch confirms it, or [`Cache::forget`] takes it back.
//! Decisions read a [`Snapshot`].

mod images;
mod node_info;
mod pod_info;
mod snapshot;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

pub use images::Images;
pub use node_info::{Group, NodeInfo};
pub use pod_info::{Identity, Kin, PodInfo, PodTerms, Term, Terms};
pub use snapshot::Snapshot;

use crate::model::{Node, Pod};

/// Nodes with their pods.
#[derive(Debug, Default)]
pub struct Cache {
    /// Dense, so that a decision is a walk over a slice. Holds nodes that were seen, and nodes that
    /// pods name but that are not here (yet, or any more). Shared with the snapshot until they change.
    nodes: Vec<Arc<NodeInfo>>,
    /// Position in `nodes` by name.
    index: HashMap<Arc<str>, usize>,
    /// Where each pod is counted, by uid.
    placed: HashMap<Arc<str>, Placed>,
    /// Where room is being made for which pod that waits, by uid.
    nominated: HashMap<Arc<str>, Arc<str>>,
    /// Positions that have changed since the snapshot was brought up to date.
    changed: BTreeSet<usize>,
    /// Shared with the snapshot until they change, which is seldom.
    images: Arc<Images>,
}

#[derive(Debug)]
struct Placed {
    node: Arc<str>,
    pod: Arc<PodInfo>,
    assumed: bool,
}

impl Cache {
    /// Brings the one snapshot of this cache up to date.
    pub fn refresh(&mut self, snapshot: &mut Snapshot) {
        snapshot.truncate(self.nodes.len());
        snapshot.take_images(&self.images);
        for position in std::mem::take(&mut self.changed) {
            if let Some(node) = self.nodes.get(position) {
                snapshot.put(position, node);
            }
        }
    }

    fn change(&mut self, position: usize) -> &mut NodeInfo {
        self.changed.insert(position);
        Arc::make_mut(&mut self.nodes[position])
    }

    /// A node is new or has changed.
    pub fn set_node(&mut self, node: &Arc<Node>) {
        let position = self.position(node.metadata.name.as_deref().unwrap_or_default());
        if *node.status.images != *self.nodes[position].images() {
            let known = Arc::make_mut(&mut self.images);
            known.add(&node.status.images);
            known.remove(self.nodes[position].images());
        }
        self.change(position).set(node);
    }

    /// A node is gone. Its pods stay counted until they go, too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(&position) = self.index.get(name) else { return };
        Arc::make_mut(&mut self.images).remove(self.nodes[position].images());
        self.change(position).unset();
        self.drop_if_empty(position);
    }

    /// The API shows a pod on a node. Confirms or corrects what was assumed; whether anything that counts is different
    /// from what was known.
    pub fn set_pod(&mut self, pod: &Pod, node: &str) -> bool {
        self.withdraw(pod.uid());
        if !pod.is_active() {
            return self.remove_pod(pod.uid());
        }
        let info = Arc::clone(&pod.info);
        if let Some(placed) = self.placed.get_mut(pod.uid())
            && *placed.node == *node
            && *placed.pod == *info
        {
            placed.assumed = false;
            return false;
        }
        let before = self.unplace(pod.uid());
        let same = before.is_some_and(|before| *before.node == *node && before.pod.counts_like(&info));
        self.place(node, info, false);
        !same
    }

    /// A pod is gone, or over; whether it was counted.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        self.unplace(uid).is_some()
    }

    fn unplace(&mut self, uid: &str) -> Option<Placed> {
        let placed = self.placed.remove(uid)?;
        if let Some(&position) = self.index.get(&placed.node) {
            self.change(position).remove_pod(&placed.pod);
            self.drop_if_empty(position);
        }
        Some(placed)
    }

    /// Counts a pod on a node before the API shows it there.
    pub fn assume(&mut self, pod: &Arc<PodInfo>, node: &str) {
        self.withdraw(pod.uid());
        if !self.placed.contains_key(pod.uid()) {
            self.place(node, Arc::clone(pod), true);
        }
    }

    /// From now on room on a node is kept for a pod that waits, from all that are less important.
    pub fn nominate(&mut self, pod: &Arc<PodInfo>, node: &str) {
        self.withdraw(pod.uid());
        let position = self.position(node);
        self.change(position).nominate(Arc::clone(pod));
        let node = self.nodes[position].shared_name();
        self.nominated.insert(Arc::clone(&pod.identity.uid), node);
    }

    /// No room is kept for a pod any more; where it was.
    pub fn withdraw(&mut self, uid: &str) -> Option<Arc<str>> {
        let node = self.nominated.remove(uid)?;
        if let Some(&position) = self.index.get(&node) {
            self.change(position).withdraw(uid);
            self.drop_if_empty(position);
        }
        Some(node)
    }

    /// The node where room is kept for a pod.
    #[must_use]
    pub fn nominated_node(&self, uid: &str) -> Option<&str> {
        self.nominated.get(uid).map(|node| &**node)
    }

    /// The write of an assumed placement failed; whether it was still assumed. Harmless when the API has shown it
    /// meanwhile.
    pub fn forget(&mut self, uid: &str) -> bool {
        let assumed = self.placed.get(uid).is_some_and(|placed| placed.assumed);
        if assumed {
            self.remove_pod(uid);
        }
        assumed
    }

    /// How many nodes are there.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_present()).count()
    }

    fn place(&mut self, node: &str, pod: Arc<PodInfo>, assumed: bool) {
        let position = self.position(node);
        let info = self.change(position);
        info.add_pod(&pod);
        let node = info.shared_name();
        self.placed.insert(Arc::clone(&pod.identity.uid), Placed { node, pod, assumed });
    }

    fn position(&mut self, name: &str) -> usize {
        if let Some(position) = self.index.get(name) {
            return *position;
        }
        let info = NodeInfo::absent(name);
        self.index.insert(info.shared_name(), self.nodes.len());
        self.nodes.push(Arc::new(info));
        self.changed.insert(self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn drop_if_empty(&mut self, position: usize) {
        if !self.nodes[position].is_forgotten() {
            return;
        }
        let removed = self.nodes.swap_remove(position);
        self.index.remove(removed.name());
        if let Some(moved) = self.nodes.get(position) {
            self.index.insert(moved.shared_name(), position);
            self.changed.insert(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Arc<Node> {
        let allocatable = serde_json::json!({"cpu": "4", "pods": "10"});
        let node = serde_json::json!({"metadata": {"name": name}, "status": {"allocatable": allocatable}});
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn pod(uid: &str, phase: &str) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {"uid": uid},
            "spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}, "status": {"phase": phase}}))
        .unwrap()
    }

    fn used(cache: &Cache, name: &str) -> i64 {
        cache.index.get(name).map_or(-1, |at| cache.nodes[*at].requested().milli_cpu)
    }

    fn shown(snapshot: &Snapshot) -> Vec<String> {
        let mut nodes: Vec<String> =
            snapshot.nodes().map(|node| format!("{}:{}", node.name(), node.pod_count())).collect();
        nodes.sort();
        assert_eq!(nodes.len(), snapshot.node_count());
        assert!(snapshot.nodes().all(|node| snapshot.node(node.name()).is_some()));
        nodes
    }

    #[test]
    fn an_assumed_pod_is_counted_once() {
        let mut cache = Cache::default();
        cache.set_node(&node("n"));
        let pending = pod("u", "Pending");
        cache.assume(&pending.info, "n");
        assert_eq!(used(&cache, "n"), 1000);
        cache.set_pod(&pending, "n");
        assert_eq!(used(&cache, "n"), 1000);
        assert!(!cache.forget("u"));
        assert_eq!(used(&cache, "n"), 1000, "the API has shown it");
        cache.set_pod(&pod("u", "Succeeded"), "n");
        assert_eq!(used(&cache, "n"), 0);
    }

    #[test]
    fn a_failed_write_is_forgotten() {
        let mut cache = Cache::default();
        cache.set_node(&node("n"));
        cache.assume(&pod("u", "Pending").info, "n");
        assert!(cache.forget("u"));
        assert_eq!(used(&cache, "n"), 0);
    }

    #[test]
    fn room_is_kept_for_a_pod_until_it_is_placed_or_gone() {
        let (mut cache, mut snapshot) = (Cache::default(), Snapshot::default());
        let info = pod("u", "Pending").info;
        let kept = |cache: &Cache, name: &str| cache.index.get(name).map(|at| cache.nodes[*at].nominated().len());
        cache.set_node(&node("a"));
        cache.nominate(&info, "a");
        cache.refresh(&mut snapshot);
        assert_eq!(snapshot.node("a").unwrap().nominated().len(), 1);
        cache.nominate(&info, "b");
        assert_eq!((kept(&cache, "a"), kept(&cache, "b")), (Some(0), Some(1)));
        assert_eq!(cache.nominated_node("u"), Some("b"));
        assert_eq!(cache.withdraw("u").as_deref(), Some("b"));
        assert_eq!((kept(&cache, "b"), cache.withdraw("u")), (None, None), "a node of which nobody speaks is dropped");
        cache.nominate(&info, "a");
        cache.assume(&info, "a");
        assert_eq!((kept(&cache, "a"), used(&cache, "a")), (Some(0), 1000));
    }

    #[test]
    fn a_node_that_goes_takes_no_other_with_it() {
        let (mut cache, mut snapshot) = (Cache::default(), Snapshot::default());
        for name in ["a", "b", "c"] {
            cache.set_node(&node(name));
        }
        cache.set_pod(&pod("u", "Running"), "a");
        cache.refresh(&mut snapshot);
        assert_eq!(shown(&snapshot), ["a:1", "b:0", "c:0"]);
        cache.remove_node("a");
        cache.refresh(&mut snapshot);
        assert_eq!(shown(&snapshot), ["b:0", "c:0"]);
        cache.remove_pod("u");
        cache.refresh(&mut snapshot);
        assert_eq!((shown(&snapshot).len(), snapshot.positions()), (2, 2));
        cache.set_pod(&pod("v", "Running"), "c");
        assert_eq!((used(&cache, "b"), used(&cache, "c")), (0, 1000));
    }

    #[test]
    fn a_snapshot_stays_as_it_was_until_it_is_refreshed() {
        let (mut cache, mut snapshot) = (Cache::default(), Snapshot::default());
        cache.set_node(&node("a"));
        cache.set_node(&node("b"));
        cache.refresh(&mut snapshot);
        cache.set_pod(&pod("u", "Running"), "a");
        cache.remove_node("b");
        cache.set_node(&node("c"));
        assert_eq!(shown(&snapshot), ["a:0", "b:0"]);
        cache.refresh(&mut snapshot);
        assert_eq!(shown(&snapshot), ["a:1", "c:0"]);
        // What is removed and comes again before the next look.
        cache.remove_pod("u");
        cache.remove_node("a");
        cache.set_node(&node("a"));
        cache.refresh(&mut snapshot);
        assert_eq!(shown(&snapshot), ["a:0", "c:0"]);
    }

    #[test]
    fn only_what_has_changed_is_taken_over() {
        let (mut cache, mut snapshot) = (Cache::default(), Snapshot::default());
        for name in ["a", "b"] {
            cache.set_node(&node(name));
        }
        cache.refresh(&mut snapshot);
        cache.set_pod(&pod("u", "Running"), "b");
        assert_eq!(cache.changed.len(), 1);
        cache.refresh(&mut snapshot);
        assert!(cache.changed.is_empty());
    }

    #[test]
    fn pods_are_listed_by_what_they_want() {
        let mut cache = Cache::default();
        cache.set_node(&node("a"));
        let term = serde_json::json!([{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]);
        let json = serde_json::json!({"metadata": {"uid": "u", "namespace": "ns", "labels": {"app": "web"}},
            "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}});
        let shy: Pod = serde_json::from_value(json.clone()).unwrap();
        cache.set_pod(&shy, "a");
        cache.set_pod(&pod("v", "Running"), "a");
        let groups =
            |cache: &Cache| cache.nodes[0].groups().iter().map(|group| (group.pods, group.leaving)).collect::<Vec<_>>();
        assert_eq!((cache.nodes[0].pods_with_terms().len(), groups(&cache)), (1, vec![(1, 0), (1, 0)]));
        let mut going = json;
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        cache.set_pod(&serde_json::from_value(going).unwrap(), "a");
        assert_eq!(groups(&cache).iter().map(|(_, leaving)| leaving).sum::<usize>(), 1);
        cache.remove_pod("u");
        assert_eq!((cache.nodes[0].pods_with_terms().len(), groups(&cache)), (0, vec![(1, 0)]));
    }
}
