//! Nodes repel pods that do not tolerate their taints; a `PreferNoSchedule` taint repels gently.

use api_types::pod::tolerations::{NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE, tolerated, untolerated};

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, FnScore, Hint, Normalize, Plugin, PreFilter, Rejection, Score},
    model::Node,
};

/// See the module.
#[derive(Debug)]
pub struct TaintToleration;

/// Effects that keep pods away.
const REPELS: [&str; 2] = [NO_SCHEDULE, NO_EXECUTE];

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        let tolerations = &candidate.pod.spec.tolerations;
        let repelled = |node: &Node| untolerated(&node.spec.taints, tolerations, &REPELS).is_some();
        match change {
            Change::Node { old, new: Some(new) } => {
                Hint::when(!repelled(new) && old.as_ref().is_none_or(|old| repelled(old)))
            }
            Change::Own { old, new } => Hint::when(old.spec.tolerations != new.spec.tolerations),
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let tolerations = &candidate.pod.spec.tolerations;
        Ok(PreFilter::each(move |node: &NodeInfo| {
            // Most nodes have no taints.
            if node.taints().is_empty() {
                return Ok(());
            }
            let Some(taint) = untolerated(node.taints(), tolerations, &REPELS) else { return Ok(()) };
            let value = taint.value.as_deref().unwrap_or_default();
            Err(Rejection::never_here(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)))
        }))
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        _: &'a Snapshot,
        fitting: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let tolerations = &candidate.pod.spec.tolerations;
        // Among nodes without taints there is nothing to choose.
        if fitting.iter().all(|node| node.taints().is_empty()) {
            return None;
        }
        Some(Box::new(FnScore(Normalize::HighestWorst, move |node: &NodeInfo| {
            let discourages = node.taints().iter().filter(|taint| taint.effect == PREFER_NO_SCHEDULE);
            let intolerable = discourages.filter(|taint| !tolerated(tolerations, taint)).count();
            i64::try_from(intolerable).unwrap_or(i64::MAX)
        })))
    }
}
