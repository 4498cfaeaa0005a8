//! The decision: filter, score, pick. Pure.

use super::{Candidate, MAX_SCORE, Normalize, PLUGINS, Plugin, Prepared, Reason};
use crate::cache::{Cache, NodeInfo};

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
    /// How many fitting nodes are enough among `nodes`: half of them, less in large clusters,
    /// after upstream's adaptive `percentageOfNodesToScore`.
    fn enough(nodes: usize) -> usize {
        let percent = 50usize.saturating_sub(nodes / 125).max(LEAST_PERCENT);
        (nodes * percent / 100).max(ENOUGH_NODES)
    }
}

/// A node was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its name.
    pub node: String,
    /// Where the next decision starts.
    pub next_start: usize,
}

/// No node takes the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// How many nodes there are.
    pub nodes: usize,
    /// The reasons, each with the number of nodes that gave it, sorted by its text.
    pub reasons: Vec<(Reason, usize)>,
    /// The plugins that rejected, by name.
    pub rejected_by: Vec<&'static str>,
}

impl Failure {
    fn note(&mut self, plugin: &'static str, reasons: Vec<Reason>) {
        if !self.rejected_by.contains(&plugin) {
            self.rejected_by.push(plugin);
        }
        for reason in reasons {
            match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => self.reasons.push((reason, 1)),
            }
        }
    }
}

struct Policy<'a> {
    plugin: &'static dyn Plugin,
    weight: i64,
    prepared: Prepared<'a>,
}

/// Finds the best node for a pod. `tie` picks one of `n` equally good nodes.
///
/// # Errors
/// When no node takes the pod: why.
pub fn schedule(
    cache: &Cache,
    candidate: Candidate<'_>,
    sampling: Sampling,
    tie: &mut dyn FnMut(usize) -> usize,
) -> Result<Decision, Failure> {
    let policies: Vec<Policy<'_>> = PLUGINS
        .iter()
        .map(|row| Policy { plugin: row.plugin, weight: row.weight, prepared: row.plugin.prepare(candidate) })
        .collect();
    let (fitting, next_start) = filter(cache, &policies, sampling)?;
    let best = pick(&fitting, &score(&policies, &fitting), tie);
    Ok(Decision { node: best.name().to_owned(), next_start })
}

fn filter<'c>(
    cache: &'c Cache,
    policies: &[Policy<'_>],
    sampling: Sampling,
) -> Result<(Vec<&'c NodeInfo>, usize), Failure> {
    let enough = Sampling::enough(cache.node_count());
    let positions = cache.positions();
    let mut fitting = Vec::with_capacity(enough.min(positions));
    let mut failure = Failure { nodes: cache.node_count(), ..Failure::default() };
    let mut looked_at = 0;
    while looked_at < positions && fitting.len() < enough {
        let position = (sampling.start + looked_at) % positions;
        looked_at += 1;
        let Some(node) = cache.at(position) else { continue };
        match reject(policies, node) {
            None => fitting.push(node),
            Some((plugin, reasons)) => failure.note(plugin, reasons),
        }
    }
    if fitting.is_empty() {
        failure.reasons.sort();
        return Err(failure);
    }
    Ok((fitting, (sampling.start + looked_at) % positions))
}

fn reject(policies: &[Policy<'_>], node: &NodeInfo) -> Option<(&'static str, Vec<Reason>)> {
    policies.iter().find_map(|policy| {
        let rejection = policy.prepared.filter.as_ref()?(node).err()?;
        Some((policy.plugin.name(), rejection))
    })
}

fn score(policies: &[Policy<'_>], nodes: &[&NodeInfo]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    if nodes.len() == 1 {
        return totals;
    }
    let mut scores = Vec::with_capacity(nodes.len());
    for policy in policies {
        let Some(score) = &policy.prepared.score else { continue };
        scores.clear();
        scores.extend(nodes.iter().map(|node| score(node)));
        normalize(&mut scores, policy.prepared.normalize);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += score * policy.weight;
        }
    }
    totals
}

fn normalize(scores: &mut [i64], how: Normalize) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = match how {
            Normalize::Not => *score,
            Normalize::HighestBest if highest == 0 => 0,
            Normalize::HighestBest => *score * MAX_SCORE / highest,
            Normalize::HighestWorst if highest == 0 => MAX_SCORE,
            Normalize::HighestWorst => MAX_SCORE - *score * MAX_SCORE / highest,
        };
    }
}

fn pick<'c>(nodes: &[&'c NodeInfo], totals: &[i64], tie: &mut dyn FnMut(usize) -> usize) -> &'c NodeInfo {
    let highest = totals.iter().max();
    let best: Vec<usize> = (0..nodes.len()).filter(|at| Some(&totals[*at]) == highest).collect();
    nodes[best[tie(best.len()).min(best.len() - 1)]]
}

#[cfg(test)]
mod tests;
