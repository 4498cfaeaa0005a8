//! Cordoned nodes take only pods that tolerate it.

use api_types::{core::Taint, pod::tolerations::tolerated};

use crate::framework::{Candidate, ClusterEvent, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::NodeChanged, ClusterEvent::PodChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let cordon = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if tolerated(&candidate.pod.spec.tolerations, &cordon) {
            return Prepared::default();
        }
        Prepared::default().filter(|node| {
            if node.is_unschedulable() { Err(vec!["node(s) were unschedulable".into()]) } else { Ok(()) }
        })
    }
}
