//! Nodes repel pods that do not tolerate their taints; a `PreferNoSchedule` taint repels gently.

use api_types::{core::Taint, pod::tolerations::tolerated};

use crate::framework::{Candidate, ClusterEvent, Normalize, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::NodeChanged, ClusterEvent::PodChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let tolerations = &candidate.pod.spec.tolerations;
        let repels = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        let discourages = |taint: &&Taint| taint.effect == "PreferNoSchedule";
        Prepared::default()
            .filter(move |node| {
                match node.taints().iter().filter(repels).find(|taint| !tolerated(tolerations, taint)) {
                    None => Ok(()),
                    Some(taint) => {
                        let value = taint.value.as_deref().unwrap_or_default();
                        Err(vec![format!("node(s) had untolerated taint {{{}: {value}}}", taint.key).into()])
                    }
                }
            })
            .score(Normalize::HighestWorst, move |node| {
                let intolerable =
                    node.taints().iter().filter(discourages).filter(|taint| !tolerated(tolerations, taint)).count();
                i64::try_from(intolerable).unwrap_or(i64::MAX)
            })
    }
}
