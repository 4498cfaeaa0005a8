//! Cordoned nodes take only pods that tolerate it.

use api_types::{
    core::{Taint, Toleration},
    pod::tolerations::{NO_SCHEDULE, tolerated},
};

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
};

/// See the module.
#[derive(Debug)]
pub struct NodeUnschedulable;

fn tolerates_cordon(tolerations: &[Toleration]) -> bool {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: NO_SCHEDULE.to_owned(),
        ..Taint::default()
    };
    tolerated(tolerations, &cordon)
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn hint(&self, _: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Node { old, new: Some(new) } => {
                Hint::when(!new.spec.unschedulable && old.as_ref().is_none_or(|old| old.spec.unschedulable))
            }
            Change::Own { new, .. } => Hint::when(tolerates_cordon(&new.spec.tolerations)),
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        if tolerates_cordon(&candidate.pod.spec.tolerations) {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(|node: &NodeInfo| {
            if node.is_unschedulable() {
                return Err(Rejection::never_here("node(s) were unschedulable"));
            }
            Ok(())
        }))
    }
}
