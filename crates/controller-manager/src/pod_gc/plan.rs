//! Which pods nobody else will remove.

use std::sync::Arc;

use crate::{
    pod_state::{is_terminal, is_terminating},
    slim::{Node, Pod},
    taints::OUT_OF_SERVICE,
};

/// Why a pod is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its node is not there any more.
    Orphaned,
    /// It is being deleted and no kubelet has it.
    Unscheduled,
    /// Its node is off for certain, and it is being deleted.
    OutOfService,
}

/// What is known of a pod's node.
#[derive(Clone, Copy, Debug)]
pub(super) enum PodNode<'a> {
    /// The pod has none.
    Unscheduled,
    /// It does not exist.
    Gone,
    /// This one.
    Known(&'a Node),
}

/// Whether the pod has to be removed, and why.
pub(super) fn reason(pod: &Pod, node: PodNode<'_>) -> Option<Reason> {
    match node {
        PodNode::Unscheduled => pod.metadata.deletion_timestamp.is_some().then_some(Reason::Unscheduled),
        PodNode::Gone => Some(Reason::Orphaned),
        PodNode::Known(node) => {
            let off = node.condition("Ready") != Some("True")
                && node.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE);
            (off && is_terminating(pod)).then_some(Reason::OutOfService)
        }
    }
}

/// Finished pods beyond the threshold, oldest first; 0 means no threshold.
pub(super) fn beyond_threshold(mut terminated: Vec<Arc<Pod>>, threshold: usize) -> Vec<Arc<Pod>> {
    if threshold == 0 {
        return Vec::new();
    }
    terminated.retain(|pod| is_terminal(pod) && pod.metadata.deletion_timestamp.is_none());
    terminated.sort_by(|a, b| {
        let age = |pod: &Pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone());
        age(a).cmp(&age(b))
    });
    let excess = terminated.len().saturating_sub(threshold);
    terminated.truncate(excess);
    terminated
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, deleted: Option<&str>, created: &str) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": created, "creationTimestamp": created, "deletionTimestamp": deleted},
                "status": {"phase": phase},
            }))
            .unwrap(),
        )
    }

    const EARLY: &str = "2020-01-01T00:00:00Z";
    const LATE: &str = "2021-01-01T00:00:00Z";

    #[test]
    fn pods_without_a_kubelet_are_removed() {
        let taint = json!([{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]);
        let node = |ready: &str, taints: &serde_json::Value| -> Node {
            serde_json::from_value(json!({
                "metadata": {}, "spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        let (off, up) = (node("Unknown", &taint), node("True", &json!([])));
        let running = pod("Running", None, EARLY);
        let going = pod("Running", Some(LATE), EARLY);
        let cases = [
            (&running, PodNode::Unscheduled, None),
            (&going, PodNode::Unscheduled, Some(Reason::Unscheduled)),
            (&running, PodNode::Gone, Some(Reason::Orphaned)),
            (&going, PodNode::Known(&up), None),
            (&going, PodNode::Known(&off), Some(Reason::OutOfService)),
            (&running, PodNode::Known(&off), None),
        ];
        for (pod, node, expected) in cases {
            assert_eq!(reason(pod, node), expected, "{node:?}");
        }
    }

    #[test]
    fn the_oldest_finished_pods_go() {
        let pods = vec![pod("Failed", None, LATE), pod("Succeeded", None, EARLY), pod("Running", None, EARLY)];
        let names = |threshold| -> Vec<_> {
            beyond_threshold(pods.clone(), threshold).iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
        };
        assert_eq!(names(1), [EARLY]);
        assert!(names(2).is_empty() && names(0).is_empty());
    }
}
