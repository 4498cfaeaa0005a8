//! Constraints that would be nice to hold.

use std::collections::HashMap;

use super::constraint::{Constraint, HOST, is_in_all, required};
use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, MAX_SCORE, Score},
};

/// How full the domains are.
pub(super) struct Spreading<'a> {
    candidate: Candidate<'a>,
    /// With what is known of each.
    constraints: Vec<(Constraint<'a>, Domains<'a>)>,
    /// Nodes that lack a label are not rated.
    needs_all_labels: bool,
}

struct Domains<'a> {
    /// Pods that count by domain; empty when every host is its own.
    counts: HashMap<&'a str, i64>,
    /// The more domains there are, the more a pod in one weighs.
    weight: f64,
}

impl<'a> Spreading<'a> {
    pub(super) fn new(
        constraints: Vec<Constraint<'a>>,
        candidate: Candidate<'a>,
        snapshot: &'a Snapshot,
        fitting: &[&'a NodeInfo],
        needs_all_labels: bool,
    ) -> Self {
        let rated = |node: &&&NodeInfo| !needs_all_labels || is_in_all(node, &constraints);
        let rated: Vec<&'a NodeInfo> = fitting.iter().filter(rated).copied().collect();
        let mut domains: Vec<Domains<'a>> = constraints.iter().map(|own| Domains::of(own, &rated)).collect();
        let required = required(candidate);
        let (tolerations, namespace) = (&candidate.pod.spec.tolerations, &candidate.info.kin.namespace);
        for node in snapshot.nodes().filter(|node| !needs_all_labels || is_in_all(node, &constraints)) {
            for (constraint, domains) in constraints.iter().zip(&mut domains) {
                let domain = domains.counts.get_mut(node.label(constraint.key).unwrap_or_default());
                if let Some(count) = domain
                    && constraint.counts(node, &required, tolerations)
                {
                    *count += constraint.matching(node, namespace);
                }
            }
        }
        Self { candidate, constraints: constraints.into_iter().zip(domains).collect(), needs_all_labels }
    }

    fn is_rated(&self, node: &NodeInfo) -> bool {
        !self.needs_all_labels || self.constraints.iter().all(|(constraint, _)| node.label(constraint.key).is_some())
    }
}

impl<'a> Domains<'a> {
    fn of(constraint: &Constraint<'_>, rated: &[&'a NodeInfo]) -> Self {
        let mut counts = HashMap::new();
        if constraint.key != HOST {
            counts.extend(rated.iter().map(|node| (node.label(constraint.key).unwrap_or_default(), 0)));
        }
        let size = if constraint.key == HOST { rated.len() } else { counts.len() };
        #[expect(clippy::cast_precision_loss, reason = "there are not so many nodes")]
        let weight = ((size + 2) as f64).ln();
        Self { counts, weight }
    }
}

impl Score for Spreading<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        if !self.is_rated(node) {
            return 0;
        }
        let of = |(constraint, domains): &(Constraint<'_>, Domains<'_>)| {
            let value = node.label(constraint.key)?;
            let count = if constraint.key == HOST {
                constraint.matching(node, &self.candidate.info.kin.namespace)
            } else {
                domains.counts.get(value).copied().unwrap_or(0)
            };
            #[expect(clippy::cast_precision_loss, reason = "there are not so many pods")]
            let fullness = count as f64 * domains.weight + (constraint.max_skew - 1) as f64;
            Some(fullness)
        };
        #[expect(clippy::cast_possible_truncation, reason = "there are not so many pods")]
        let fullness = self.constraints.iter().filter_map(of).sum::<f64>().round() as i64;
        fullness
    }

    /// The fullest is the worst; what is not rated gets nothing.
    fn normalize(&self, nodes: &[&NodeInfo], scores: &mut [i64]) {
        let rated: Vec<bool> = nodes.iter().map(|node| self.is_rated(node)).collect();
        let of_rated = || scores.iter().zip(&rated).filter(|(_, rated)| **rated).map(|(score, _)| *score);
        let (least, most) = (of_rated().min().unwrap_or(0), of_rated().max().unwrap_or(0));
        for (score, rated) in scores.iter_mut().zip(rated) {
            *score = match (rated, most) {
                (false, _) => 0,
                (true, 0) => MAX_SCORE,
                (true, most) => MAX_SCORE * (most + least - *score) / most,
            };
        }
    }
}
