//! Two pods cannot have the same port on one host.

use crate::framework::{Candidate, ClusterEvent, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::PodGone, ClusterEvent::NodeChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let wanted = &candidate.info.host_ports;
        if wanted.is_empty() {
            return Prepared::default();
        }
        Prepared::default().filter(move |node| {
            let taken = wanted.iter().any(|port| node.host_ports().iter().any(|other| port.conflicts_with(other)));
            if taken { Err(vec!["node(s) didn't have free ports for the requested pod ports".into()]) } else { Ok(()) }
        })
    }
}
