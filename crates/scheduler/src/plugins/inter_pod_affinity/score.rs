//! What would be nice to have near or far, on both sides.

use super::{InterPodAffinity, filter::Counts};
use crate::{
    cache::{NodeInfo, PodInfo, Snapshot, Term},
    framework::{Candidate, MAX_SCORE, Score},
};

/// What the neighbours are worth, by domain.
pub(super) struct Company(Counts);

impl Company {
    pub(super) fn new(plugin: &InterPodAffinity, candidate: Candidate<'_>, snapshot: &Snapshot) -> Self {
        let mut worth = Counts::default();
        let own = candidate.info.terms.as_deref();
        let has_own =
            own.is_some_and(|terms| !terms.affinity.preferred.is_empty() || !terms.anti_affinity.preferred.is_empty());
        if let Some(terms) = own.filter(|_| has_own) {
            let (near, far) = (&terms.affinity.preferred, &terms.anti_affinity.preferred);
            let signed = near.iter().map(|own| (1, own)).chain(far.iter().map(|own| (-1, own)));
            for (sign, (weight, term)) in signed {
                note_own(&mut worth, term, sign * weight, snapshot);
            }
        }
        if has_own || !plugin.ignores_preferences {
            for node in snapshot.nodes_with_terms() {
                for pod in node.pods_with_terms() {
                    note_theirs(&mut worth, plugin.hard_weight, pod, node, candidate, snapshot);
                }
            }
        }
        Self(worth)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the pod thinks of those that are there.
fn note_own(worth: &mut Counts, term: &Term, weight: i64, snapshot: &Snapshot) {
    for node in snapshot.nodes() {
        let matching = node.groups().iter().filter(|group| term.matches(&group.kin, snapshot.directory()));
        let pods: usize = matching.map(|group| group.pods).sum();
        if pods > 0 {
            worth.add(&term.topology_key, node, weight * i64::try_from(pods).unwrap_or(0));
        }
    }
}

/// What one that is there thinks of the pod.
fn note_theirs(
    worth: &mut Counts,
    hard_weight: i64,
    pod: &PodInfo,
    node: &NodeInfo,
    candidate: Candidate<'_>,
    snapshot: &Snapshot,
) {
    let Some(terms) = &pod.terms else { return };
    let hard = terms.affinity.required.iter().map(|term| (hard_weight, term));
    let near = terms.affinity.preferred.iter().map(|(weight, term)| (*weight, term));
    let far = terms.anti_affinity.preferred.iter().map(|(weight, term)| (-*weight, term));
    for (weight, term) in hard.chain(near).chain(far).filter(|(weight, _)| *weight != 0) {
        if term.matches(&candidate.info.kin, snapshot.directory()) {
            worth.add(&term.topology_key, node, weight);
        }
    }
}

impl Score for Company {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.0.around(node).sum()
    }

    /// From the worst to the best.
    fn normalize(&self, _: &[&NodeInfo], scores: &mut [i64]) {
        let (least, most) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
        for score in scores {
            *score = if most == least { 0 } else { MAX_SCORE * (*score - least) / (most - least) };
        }
    }
}
