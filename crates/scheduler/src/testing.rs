//! Clusters for tests, written as manifests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    cache::{Cache, NodeInfo, PodInfo, Snapshot},
    config::default_profiles,
    framework::{
        Candidate, Change, Failure, Filters, Hint, Profile, Rejected, Rescue, Sampling, schedule, unschedulable_message,
    },
    model::{Node, Pod},
};

/// Nodes with pods.
#[derive(Default)]
pub struct Cluster {
    pub cache: Cache,
    pub snapshot: Snapshot,
}

/// A node with room, changed by `patch`.
pub fn node(name: &str, patch: Value) -> Value {
    let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
    json_patch::merge(&mut node, &patch);
    node
}

/// A node in a zone.
pub fn in_zone(name: &str, zone: &str) -> Value {
    node(name, json!({"metadata": {"labels": {"zone": zone}}}))
}

pub fn pod(pod: &Value) -> Pod {
    serde_json::from_value(pod.clone()).unwrap()
}

/// A pod in the namespace `ns` with these labels.
pub fn labelled(uid: &str, labels: Value, spec: Value) -> Value {
    json!({"metadata": {"uid": uid, "namespace": "ns", "labels": labels}, "spec": spec})
}

pub fn profile() -> Profile {
    default_profiles("default-scheduler").remove("default-scheduler").unwrap()
}

/// Asks about a pod with this metadata.
pub fn with_candidate<T>(own: &Value, ask: impl FnOnce(Candidate<'_>) -> T) -> T {
    let pod = pod(own);
    ask(Candidate { pod: &pod, info: &pod.info })
}

impl Cluster {
    pub fn of(nodes: &[Value]) -> Self {
        let mut own = Self::default();
        for node in nodes {
            let node: Node = serde_json::from_value(node.clone()).unwrap();
            own.cache.set_node(&Arc::new(node));
        }
        own
    }

    pub fn place(&mut self, own: &Value, node: &str) {
        self.cache.set_pod(&pod(own), node);
    }

    /// The node for a pod, or why there is none; not what can be done about it.
    pub fn decide(&mut self, own: &Value) -> Result<String, String> {
        self.cache.refresh(&mut self.snapshot);
        with_candidate(own, |candidate| {
            let decision = schedule(&profile(), &self.snapshot, candidate, Sampling::default(), &mut |_| 0);
            decision.map(|decision| decision.node.to_string()).map_err(|failure| {
                let failure = Failure { rescue: Rescue::Nothing, ..failure };
                unschedulable_message(&failure)
            })
        })
    }

    /// Which of the nodes take a pod; with the reason of those that do not.
    pub fn fits(&mut self, own: &Value) -> Vec<String> {
        self.cache.refresh(&mut self.snapshot);
        let profile = profile();
        with_candidate(own, |candidate| {
            let filters = Filters::prepare(&profile, candidate, &self.snapshot).unwrap();
            self.snapshot.nodes().map(|node| said(&filters, node)).collect()
        })
    }

    /// The same with one of the pods on a node gone.
    pub fn fits_without(&mut self, own: &Value, node: &str, gone: impl Fn(&PodInfo) -> bool) -> Vec<String> {
        self.cache.refresh(&mut self.snapshot);
        let profile = profile();
        with_candidate(own, |candidate| {
            let filters = Filters::prepare(&profile, candidate, &self.snapshot).unwrap();
            let before: Vec<String> = self.snapshot.nodes().map(|node| said(&filters, node)).collect();
            let mut tried = filters.fork();
            let mut changed = self.snapshot.node(node).unwrap().clone();
            let victim = changed.pods().iter().find(|pod| gone(pod)).cloned().unwrap();
            tried.remove_pod(&victim, &mut changed);
            let now = |other: &NodeInfo| said(&tried, if other.name() == node { &changed } else { other });
            let after: Vec<String> = self.snapshot.nodes().map(now).collect();
            // What was tried out has changed nothing, and putting the pod back undoes it.
            assert_eq!(self.snapshot.nodes().map(|node| said(&filters, node)).collect::<Vec<_>>(), before);
            tried.add_pod(&victim, &mut changed);
            let now = |other: &NodeInfo| said(&tried, if other.name() == node { &changed } else { other });
            assert_eq!(self.snapshot.nodes().map(now).collect::<Vec<_>>(), before);
            after
        })
    }
}

fn said(filters: &Filters<'_>, node: &NodeInfo) -> String {
    match filters.check(node) {
        Ok(()) => format!("{}: yes", node.name()),
        Err((_, rejection)) => format!("{}: {} ({:?})", node.name(), rejection.reasons.join(", "), rejection.finality),
    }
}

/// What a plugin thinks of a change, for a pod.
pub fn hint(plugin: &'static str, own: &Value, change: &Change) -> Hint {
    with_candidate(own, |candidate| profile().hint(candidate, &Rejected { by: vec![plugin], hopeless: false }, change))
}

pub fn shared<T: serde::de::DeserializeOwned>(value: Value) -> Option<Arc<T>> {
    Some(Arc::new(serde_json::from_value(value).unwrap()))
}
