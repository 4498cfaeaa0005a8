//! `nodeSelector`, required node affinity (filters) and preferred node affinity (scores).

use api_types::pod::node_affinity::{Preferred, Required};

use crate::framework::{Candidate, ClusterEvent, Normalize, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::NodeChanged, ClusterEvent::PodChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let spec = &candidate.pod.spec;
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = Required::of(spec.node_selector.as_deref(), affinity);
        let mut prepared = Prepared::default();
        if !required.is_anywhere() {
            prepared = prepared.filter(move |node| {
                let fits = required.matches(node.view());
                if fits { Ok(()) } else { Err(vec!["node(s) didn't match Pod's node affinity/selector".into()]) }
            });
        }
        let preferred = Preferred::of(affinity);
        if preferred.is_empty() {
            return prepared;
        }
        prepared.score(Normalize::HighestBest, move |node| preferred.score(node.view()))
    }
}
