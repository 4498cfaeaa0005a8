//! The decision: filter, score, pick. Pure.

use std::sync::Arc;

use super::{Candidate, Filters, Finality, Profile, Reason, Rejected, Rejection, Rescue, Unplaced};
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
    /// On which of them it is pods that stand in the way.
    pub in_the_way: InTheWay,
    /// The reasons, each with the number of nodes that gave it, sorted by its text; without a number where the reason is
    /// not a node's.
    pub reasons: Vec<(Reason, Option<usize>)>,
    /// The plugins that rejected, by name.
    pub rejected_by: Vec<&'static str>,
    /// What can be done about it.
    pub rescue: Rescue,
}

/// Where pods that go may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// On any node.
    Everywhere,
    /// On the nodes at these positions of the snapshot.
    At(Vec<usize>),
}

impl Default for InTheWay {
    fn default() -> Self {
        Self::At(Vec::new())
    }
}

impl Failure {
    /// One plugin says no for all nodes.
    #[must_use]
    pub fn everywhere(nodes: usize, plugin: &'static str, rejection: Rejection) -> Self {
        let in_the_way = match rejection.finality {
            Finality::NeverHere => InTheWay::default(),
            Finality::NotNow => InTheWay::Everywhere,
        };
        let reasons = rejection.reasons.into_iter().map(|reason| (reason, None)).collect();
        Self { nodes, in_the_way, reasons, rejected_by: vec![plugin], rescue: Rescue::default() }
    }

    /// What is remembered of it while the pod waits.
    #[must_use]
    pub fn remembered(self) -> Rejected {
        let hopeless = self.in_the_way == InTheWay::default();
        Rejected { by: self.rejected_by, hopeless }
    }

    /// With the reasons in order.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.reasons.retain(|(_, count)| *count != Some(0));
        self.reasons.sort();
        self
    }

    /// A node at a position says no.
    pub fn note(&mut self, plugin: &'static str, rejection: Rejection, position: usize) {
        if rejection.finality == Finality::NotNow
            && let InTheWay::At(positions) = &mut self.in_the_way
        {
            positions.push(position);
        }
        self.count(plugin, rejection.reasons, 1);
    }

    fn count(&mut self, plugin: &'static str, reasons: Vec<Reason>, nodes: usize) {
        if !self.rejected_by.contains(&plugin) {
            self.rejected_by.push(plugin);
        }
        for reason in reasons {
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
/// When no node takes the pod: why, and what can be done about it.
pub fn schedule(
    profile: &Profile,
    snapshot: &Snapshot,
    candidate: Candidate<'_>,
    sampling: Sampling,
    tie: &mut dyn FnMut(usize) -> usize,
) -> Result<Decision, Failure> {
    let attempt = match Attempt::prepare(profile, snapshot, candidate) {
        Ok(attempt) => attempt,
        Err(failure) => return Err(rescued(profile, snapshot, candidate, None, failure, tie)),
    };
    match attempt.fitting(sampling) {
        Ok((fitting, next_start)) => {
            let best = pick(&fitting, &attempt.totals(&fitting), tie);
            Ok(Decision { node: best.shared_name(), next_start })
        }
        Err(failure) => Err(attempt.rescued(failure, tie)),
    }
}

/// What was found among the nodes.
pub struct Survey<'a> {
    /// Nodes that take the pod.
    pub fitting: Vec<&'a NodeInfo>,
    /// Where to start the next time.
    pub next_start: usize,
    /// Why others do not.
    pub failure: Failure,
}

/// A decision about one pod, step by step.
pub struct Attempt<'a> {
    profile: &'a Profile,
    snapshot: &'a Snapshot,
    candidate: Candidate<'a>,
    filters: Filters<'a>,
}

impl<'a> Attempt<'a> {
    /// Asks every plugin to look at the pod and the cluster.
    ///
    /// # Errors
    /// When one of them says that no node will do.
    pub fn prepare(profile: &'a Profile, snapshot: &'a Snapshot, candidate: Candidate<'a>) -> Result<Self, Failure> {
        let filters = Filters::prepare(profile, candidate, snapshot)?;
        Ok(Self { profile, snapshot, candidate, filters })
    }

    /// Nodes that take the pod, enough to choose from, and where to start the next time.
    ///
    /// # Errors
    /// When there is none: why.
    pub fn fitting(&self, sampling: Sampling) -> Result<(Vec<&'a NodeInfo>, usize), Failure> {
        let Survey { fitting, next_start, failure } = self.survey(sampling);
        if fitting.is_empty() { Err(failure.sorted()) } else { Ok((fitting, next_start)) }
    }

    /// Asks about nodes until enough take the pod. The node where room was made for it is asked first, and if it has that,
    /// no other.
    #[must_use]
    pub fn survey(&self, sampling: Sampling) -> Survey<'a> {
        let snapshot = self.snapshot;
        let mut failure = Failure { nodes: snapshot.node_count(), ..Failure::default() };
        if let Some(node) = self.nominated() {
            return Survey { fitting: vec![node], next_start: sampling.start, failure };
        }
        let enough = Sampling::enough(snapshot.node_count(), self.profile.percentage);
        let mut fitting = Vec::with_capacity(enough.min(snapshot.positions()));
        let mut ask = |position: usize, node: &'a NodeInfo| {
            match self.filters.admit(node, self.candidate) {
                Ok(()) => fitting.push(node),
                Err((plugin, rejection)) => failure.note(plugin, rejection, position),
            }
            fitting.len() < enough
        };
        let next_start = match self.filters.among() {
            None => look_around(snapshot, sampling, &mut ask),
            Some((names, by)) => {
                let named = names.iter().filter_map(|name| snapshot.position(name));
                let named: Vec<(usize, &NodeInfo)> = named.collect();
                for (position, node) in &named {
                    ask(*position, node);
                }
                let others = snapshot.node_count() - named.len();
                let reason = format!("node(s) didn't satisfy plugin(s) [{}]", by.join(" "));
                failure.count(by[0], vec![reason.into()], others);
                sampling.start
            }
        };
        Survey { fitting, next_start, failure }
    }

    fn nominated(&self) -> Option<&'a NodeInfo> {
        let name = self.candidate.pod.nominated_node()?;
        if self.filters.among().is_some_and(|(names, _)| !names.contains(name)) {
            return None;
        }
        self.snapshot.node(name).filter(|node| self.filters.admit(node, self.candidate).is_ok())
    }

    /// How good each of the nodes is.
    #[must_use]
    pub fn totals(&self, nodes: &[&'a NodeInfo]) -> Vec<i64> {
        let mut totals = vec![0; nodes.len()];
        if nodes.len() == 1 {
            return totals;
        }
        let mut scores = Vec::with_capacity(nodes.len());
        for row in self.profile.rows.iter().filter(|row| row.weight != 0) {
            let Some(score) = row.plugin.pre_score(self.candidate, self.snapshot, nodes) else { continue };
            scores.clear();
            scores.extend(nodes.iter().map(|node| score.score(node)));
            score.normalize(nodes, &mut scores);
            for (total, score) in totals.iter_mut().zip(&scores) {
                *total += score * row.weight;
            }
        }
        totals
    }

    /// Says what can be done about it that no node takes the pod.
    pub fn rescued(&self, failure: Failure, tie: &mut dyn FnMut(usize) -> usize) -> Failure {
        rescued(self.profile, self.snapshot, self.candidate, Some(&self.filters), failure, tie)
    }
}

/// Asks the plugins what can be done about it that no node takes the pod. Without nodes there is nothing to be done.
pub fn rescued(
    profile: &Profile,
    snapshot: &Snapshot,
    candidate: Candidate<'_>,
    filters: Option<&Filters<'_>>,
    mut failure: Failure,
    tie: &mut dyn FnMut(usize) -> usize,
) -> Failure {
    if failure.nodes > 0 {
        let turn = tie(failure.nodes);
        failure.rescue = profile.rescue(&Unplaced { candidate, snapshot, filters, failure: &failure, turn });
    }
    failure
}

/// Goes round the nodes until it is told that it is enough; where to go on the next time.
fn look_around<'s>(
    snapshot: &'s Snapshot,
    sampling: Sampling,
    ask: &mut dyn FnMut(usize, &'s NodeInfo) -> bool,
) -> usize {
    let positions = snapshot.positions();
    for looked_at in 0..positions {
        let position = (sampling.start + looked_at) % positions;
        if let Some(node) = snapshot.at(position)
            && !ask(position, node)
        {
            return (position + 1) % positions;
        }
    }
    sampling.start
}

/// One of the best nodes.
pub fn pick<'c>(nodes: &[&'c NodeInfo], totals: &[i64], tie: &mut dyn FnMut(usize) -> usize) -> &'c NodeInfo {
    let highest = totals.iter().max();
    let best = || (0..nodes.len()).filter(|at| Some(&totals[*at]) == highest);
    let equal = best().count();
    // A tie-breaker that goes astray gets the last.
    nodes[best().nth(tie(equal).min(equal - 1)).unwrap_or(0)]
}

#[cfg(test)]
mod tests;
