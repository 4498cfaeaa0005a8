//! Constraints that must hold.

use std::{collections::HashMap, sync::Arc};

use api_types::pod::node_affinity::Required;

use super::constraint::{Constraint, is_in_all, required};
use crate::{
    cache::{NodeInfo, PodInfo, Snapshot},
    framework::{Candidate, Filter, Rejection},
};

const UNEVEN: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

/// How a pod's like is spread.
pub(super) struct Spread<'a> {
    fixed: Arc<Fixed<'a>>,
    /// Per constraint.
    domains: Vec<Domains<'a>>,
}

/// What does not change when pods are tried out elsewhere.
struct Fixed<'a> {
    constraints: Vec<Constraint<'a>>,
    candidate: Candidate<'a>,
    required: Required<'a>,
}

/// How many pods that count each domain has.
#[derive(Clone, Default)]
struct Domains<'a> {
    counts: HashMap<&'a str, i64>,
    /// The least of them.
    least: i64,
}

impl Domains<'_> {
    fn settle(&mut self) {
        self.least = self.counts.values().copied().min().unwrap_or(i64::MAX);
    }
}

impl<'a> Spread<'a> {
    pub(super) fn new(constraints: Vec<Constraint<'a>>, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Self {
        let mut domains = vec![Domains::default(); constraints.len()];
        let fixed = Fixed { required: required(candidate), constraints, candidate };
        for node in snapshot.nodes() {
            fixed.visit(node, |at, constraint, value| {
                *domains[at].counts.entry(value).or_default() += constraint.matching(node, fixed.namespace());
            });
        }
        domains.iter_mut().for_each(Domains::settle);
        Self { fixed: Arc::new(fixed), domains }
    }

    fn shift(&mut self, pod: &PodInfo, node: &NodeInfo, by: i64) {
        if pod.leaving {
            return;
        }
        let (fixed, domains) = (&self.fixed, &mut self.domains);
        fixed.visit(node, |at, constraint, value| {
            // A node that counts was seen with its domain.
            if constraint.matches(&pod.kin, fixed.namespace())
                && let Some(count) = domains[at].counts.get_mut(value)
            {
                *count += by;
                domains[at].settle();
            }
        });
    }
}

impl<'a> Fixed<'a> {
    fn namespace(&self) -> &'a str {
        &self.candidate.info.kin.namespace
    }

    /// Calls back for each constraint that a node counts for, with the node's domain.
    fn visit<'n>(&self, node: &'n NodeInfo, mut found: impl FnMut(usize, &Constraint<'a>, &'n str)) {
        if !is_in_all(node, &self.constraints) {
            return;
        }
        for (at, constraint) in self.constraints.iter().enumerate() {
            if let Some(value) = node.label(constraint.key)
                && constraint.counts(node, &self.required, &self.candidate.pod.spec.tolerations)
            {
                found(at, constraint, value);
            }
        }
    }
}

impl Filter for Spread<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let kin = &self.fixed.candidate.info.kin;
        for (constraint, domains) in self.fixed.constraints.iter().zip(&self.domains) {
            let Some(value) = node.label(constraint.key) else { return Err(Rejection::never_here(NO_LABEL)) };
            let least = if domains.counts.len() < constraint.min_domains { 0 } else { domains.least };
            let there = domains.counts.get(value).copied().unwrap_or(0);
            let own = i64::from(constraint.matches(kin, &kin.namespace));
            if there + own > constraint.max_skew.saturating_add(least) {
                return Err(Rejection::not_now(UNEVEN));
            }
        }
        Ok(())
    }

    fn add_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.shift(pod, node, 1);
    }

    fn remove_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.shift(pod, node, -1);
    }

    fn fork(&self) -> Box<dyn Filter + '_> {
        Box::new(Self { fixed: Arc::clone(&self.fixed), domains: self.domains.clone() })
    }
}
