//! The decision: filter, score, pick. Pure.

use std::sync::Arc;

use super::{Candidate, Filters, Finality, Profile, Reason, Rejected, Rejection};
use crate::cache::{NodeInfo, Snapshot};

/// Where to start, and how many fitting nodes are enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling {
    /// Position of the first node to look at; moves on, so that every node gets its turn.
    pub start: usize,
}

/// Fewer nodes than this are always all looked at; upstream's `minFeasibleNodesToFind`.
const ENOUGH_NODES: usize = 100;
/// At least this share of the nodes must fit; upstream's `minFeasibleNodesPercentageToFind`.
const LEAST_PERCENT: usize = 5;

impl Sampling {
    /// How many fitting nodes are enough among `nodes`: as many percent as configured, else half of them, less in large
    /// clusters, after upstream's adaptive `percentageOfNodesToScore`.
    fn enough(nodes: usize, configured: Option<usize>) -> usize {
        let percent = configured.unwrap_or_else(|| 50usize.saturating_sub(nodes / 125).max(LEAST_PERCENT));
        (nodes * percent / 100).max(ENOUGH_NODES)
    }
}

/// A node was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its name.
    pub node: Arc<str>,
    /// Where the next decision starts.
    pub next_start: usize,
}

/// No node takes the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many of them will never take it as they are; on the others it is pods that stand in the way.
    pub hopeless: usize,
    /// The reasons, each with the number of nodes that gave it, sorted by its text; without a number where the reason is
    /// not a node's.
    pub reasons: Vec<(Reason, Option<usize>)>,
    /// The plugins that rejected, by name.
    pub rejected_by: Vec<&'static str>,
}

impl Failure {
    /// One plugin says no for all nodes.
    #[must_use]
    pub fn everywhere(nodes: usize, plugin: &'static str, rejection: Rejection) -> Self {
        let hopeless = if rejection.finality == Finality::NeverHere { nodes } else { 0 };
        let reasons = rejection.reasons.into_iter().map(|reason| (reason, None)).collect();
        Self { nodes, hopeless, reasons, rejected_by: vec![plugin] }
    }

    /// What is remembered of it while the pod waits.
    #[must_use]
    pub fn remembered(self) -> Rejected {
        Rejected { by: self.rejected_by, hopeless: self.hopeless == self.nodes }
    }

    fn note(&mut self, plugin: &'static str, rejection: Rejection, nodes: usize) {
        if !self.rejected_by.contains(&plugin) {
            self.rejected_by.push(plugin);
        }
        if rejection.finality == Finality::NeverHere {
            self.hopeless += nodes;
        }
        for reason in rejection.reasons {
            match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count = count.map(|count| count + nodes),
                None => self.reasons.push((reason, Some(nodes))),
            }
        }
    }
}

/// Finds the best node for a pod. `tie` picks one of `n` equally good nodes.
///
/// # Errors
/// When no node takes the pod: why.
pub fn schedule(
    profile: &Profile,
    snapshot: &Snapshot,
    candidate: Candidate<'_>,
    sampling: Sampling,
    tie: &mut dyn FnMut(usize) -> usize,
) -> Result<Decision, Failure> {
    let filters = Filters::prepare(profile, candidate, snapshot)?;
    let (fitting, next_start) = fitting(profile, &filters, snapshot, sampling)?;
    let best = pick(&fitting, &score(profile, candidate, snapshot, &fitting), tie);
    Ok(Decision { node: best.shared_name(), next_start })
}

fn fitting<'s>(
    profile: &Profile,
    filters: &Filters<'_>,
    snapshot: &'s Snapshot,
    sampling: Sampling,
) -> Result<(Vec<&'s NodeInfo>, usize), Failure> {
    let enough = Sampling::enough(snapshot.node_count(), profile.percentage);
    let mut failure = Failure { nodes: snapshot.node_count(), ..Failure::default() };
    let mut fitting = Vec::with_capacity(enough.min(snapshot.positions()));
    let mut ask = |node: &'s NodeInfo| {
        match filters.check(node) {
            Ok(()) => fitting.push(node),
            Err((plugin, rejection)) => failure.note(plugin, rejection, 1),
        }
        fitting.len() < enough
    };
    let next_start = match filters.among() {
        None => look_around(snapshot, sampling, &mut ask),
        Some((names, by)) => {
            let named: Vec<&NodeInfo> = names.iter().filter_map(|name| snapshot.node(name)).collect();
            for node in &named {
                ask(node);
            }
            let others = snapshot.node_count() - named.len();
            let reason = format!("node(s) didn't satisfy plugin(s) [{}]", by.join(" "));
            failure.note(by[0], Rejection::never_here(reason), others);
            sampling.start
        }
    };
    if fitting.is_empty() {
        failure.reasons.retain(|(_, count)| *count != Some(0));
        failure.reasons.sort();
        return Err(failure);
    }
    Ok((fitting, next_start))
}

/// Goes round the nodes until it is told that it is enough; where to go on the next time.
fn look_around<'s>(snapshot: &'s Snapshot, sampling: Sampling, ask: &mut dyn FnMut(&'s NodeInfo) -> bool) -> usize {
    let positions = snapshot.positions();
    for looked_at in 0..positions {
        let position = (sampling.start + looked_at) % positions;
        if let Some(node) = snapshot.at(position)
            && !ask(node)
        {
            return (position + 1) % positions;
        }
    }
    sampling.start
}

fn score<'s>(
    profile: &'s Profile,
    candidate: Candidate<'s>,
    snapshot: &'s Snapshot,
    nodes: &[&'s NodeInfo],
) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    if nodes.len() == 1 {
        return totals;
    }
    let mut scores = Vec::with_capacity(nodes.len());
    for row in profile.rows.iter().filter(|row| row.weight != 0) {
        let Some(score) = row.plugin.pre_score(candidate, snapshot, nodes) else { continue };
        scores.clear();
        scores.extend(nodes.iter().map(|node| score.score(node)));
        score.normalize(nodes, &mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += score * row.weight;
        }
    }
    totals
}

fn pick<'c>(nodes: &[&'c NodeInfo], totals: &[i64], tie: &mut dyn FnMut(usize) -> usize) -> &'c NodeInfo {
    let highest = totals.iter().max();
    let best = || (0..nodes.len()).filter(|at| Some(&totals[*at]) == highest);
    let equal = best().count();
    // A tie-breaker that goes astray gets the last.
    nodes[best().nth(tie(equal).min(equal - 1)).unwrap_or(0)]
}

#[cfg(test)]
mod tests;
