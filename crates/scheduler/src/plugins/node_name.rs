//! A pod that names a node goes there or nowhere.

use crate::framework::{Candidate, ClusterEvent, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::NodeChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        match candidate.pod.spec.node_name.as_deref().filter(|name| !name.is_empty()) {
            None => Prepared::default(),
            Some(name) => Prepared::default().filter(move |node| {
                let named = node.name() == name;
                if named { Ok(()) } else { Err(vec!["node(s) didn't match the requested node name".into()]) }
            }),
        }
    }
}
