//! Pods that want to be near other pods, or far from them.

mod filter;
mod score;
#[cfg(test)]
mod tests;

use api_types::field::{FieldError, Path};
use serde::Deserialize;

use self::{filter::Neighbours, score::Company};
use crate::{
    cache::{NodeInfo, PodInfo, Snapshot, Term},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection, Score},
    model::{Node, Pod},
};

/// `InterPodAffinityArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    /// How much it counts that a pod there requires to be near.
    hard_pod_affinity_weight: Option<i64>,
    /// Preferences of pods that are there do not count for pods that have none.
    ignore_preferred_terms_of_existing_pods: bool,
}

/// See the module.
#[derive(Debug)]
pub struct InterPodAffinity {
    hard_weight: i64,
    ignores_preferences: bool,
}

impl InterPodAffinity {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When the weight is out of range.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let hard_weight = args.hard_pod_affinity_weight.unwrap_or(1);
        if !(0..=100).contains(&hard_weight) {
            let path = path.child("hardPodAffinityWeight");
            return Err(vec![FieldError::invalid(&path, hard_weight, "not in valid range [0-100]")]);
        }
        Ok(Self { hard_weight, ignores_preferences: args.ignore_preferred_terms_of_existing_pods })
    }
}

/// The terms that a pod requires: near, far.
fn required(pod: &PodInfo) -> (&[Term], &[Term]) {
    match &pod.terms {
        None => (&[], &[]),
        Some(terms) => (&terms.affinity.required, &terms.anti_affinity.required),
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        let (near, far) = required(candidate.info);
        let wanted = |pod: &Pod| near.iter().any(|term| term.may_match(&pod.info.kin));
        let unwanted = |pod: &Pod| {
            let info = &pod.info;
            far.iter().any(|term| term.may_match(&info.kin))
                || info.required_anti_affinity().iter().any(|term| term.may_match(&candidate.info.kin))
        };
        let has_label = |node: &Node| {
            let has =
                |term: &Term| node.metadata.labels.as_ref().is_some_and(|own| own.contains_key(&*term.topology_key));
            near.is_empty() || near.iter().all(has)
        };
        match change {
            Change::Pod { old, new } => {
                let came = new.as_ref().is_some_and(|new| wanted(new));
                Hint::when(came || old.as_ref().is_some_and(|old| unwanted(old)))
            }
            Change::Node { old, new: Some(new) } => {
                let changed = old.as_ref().is_none_or(|old| old.metadata.labels != new.metadata.labels);
                Hint::when(changed && has_label(new))
            }
            Change::Node { new: None, .. } => Hint::Skip,
            Change::Claim(_)
            | Change::Volume(_)
            | Change::Class(_)
            | Change::Limits
            | Change::DeviceClaim(_)
            | Change::Devices => Hint::Skip,
            Change::Own { old, new } => Hint::when(old.metadata.labels != new.metadata.labels),
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let neighbours = Neighbours::new(candidate, snapshot);
        if neighbours.do_not_matter() {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(neighbours))
    }

    fn pre_score<'a>(
        &'a self,
        candidate: Candidate<'a>,
        snapshot: &'a Snapshot,
        _: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let company = Company::new(self, candidate, snapshot);
        (!company.is_empty()).then(|| Box::new(company) as Box<dyn Score>)
    }
}
