//! What to do for a job.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    backoff::{Failures, finished_at},
    indexes::Indexes,
    tally::{IndexTally, Observed, Tally, number},
    terms::{IndexFailures, IndexTerms, Replaced, index_of},
    verdict::{self, Verdict},
};
use crate::{pod_rank::first_to_delete, pod_state::is_terminating, slim::Pod};

/// No more creations or deletions than this in one go; as upstream.
pub(super) const AT_ONCE: usize = 500;

/// A pod that is to be created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its index, in an indexed job.
    pub index: Option<i32>,
    /// How often its index has failed, where that is counted.
    pub failures: Option<IndexFailures>,
}

/// What to do.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Pods are as they should be, or nobody knows yet.
    Nothing,
    /// The job ends: these go, and are counted.
    End(Vec<Arc<Pod>>),
    /// There are too many: these go, and are not counted.
    Delete(Vec<Arc<Pod>>),
    /// There are too few.
    Create(Vec<Place>),
}

/// What to do, and when to look again.
#[derive(Debug)]
pub(super) struct Plan {
    /// How the job ends, if that is known before anything is done.
    pub verdict: Option<Verdict>,
    /// What to do.
    pub action: Action,
    /// Whether pods were planned for. If not, it may be too early to tell whether the job is complete.
    pub managed: Managed,
    /// When to look again even if nothing happens.
    pub next: Option<Duration>,
}

/// Whether pods were planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Managed {
    /// They were.
    Yes,
    /// The cache lags behind, or the job ends or goes.
    No,
}

/// Decides.
pub(super) fn plan(observed: &Observed<'_>, tally: &Tally) -> Plan {
    if let Some(verdict) = verdict::early(observed, tally) {
        let action = Action::End(tally.active.clone());
        return Plan { verdict: Some(verdict), action, managed: Managed::No, next: None };
    }
    let deadline = verdict::deadline(observed);
    let next = deadline.map(|at| Duration::try_from(at.duration_since(observed.now)).unwrap_or_default());
    if !observed.caught_up || observed.job.metadata.deletion_timestamp.is_some() {
        return Plan { verdict: None, action: Action::Nothing, managed: Managed::No, next };
    }
    let (action, wait) = manage(observed, tally);
    Plan { verdict: None, action, managed: Managed::Yes, next: [next, wait].into_iter().flatten().min() }
}

/// What to do with pods, and how long creations have to wait.
fn manage(observed: &Observed<'_>, tally: &Tally) -> (Action, Option<Duration>) {
    let active = tally.active.len();
    let wanted = if observed.terms.suspended { 0 } else { wanted(observed, tally) };
    let at_most = if observed.terms.suspended { usize::MAX } else { AT_ONCE };
    let mut superfluous = superfluous(observed, tally, active.saturating_sub(wanted));
    superfluous.truncate(at_most);
    if !superfluous.is_empty() {
        return (Action::Delete(superfluous), None);
    }
    let terminating = match observed.terms.replaced {
        Replaced::WhenTerminating => 0,
        Replaced::WhenFailed => usize::try_from(tally.terminating).unwrap_or(0),
    };
    match wanted.saturating_sub(terminating + active).min(AT_ONCE) {
        0 => (Action::Nothing, None),
        missing => create(observed, tally, missing),
    }
}

/// How many pods are to be active.
fn wanted(observed: &Observed<'_>, tally: &Tally) -> usize {
    let terms = &observed.terms;
    let count = |number: i32| usize::try_from(number).unwrap_or(0);
    match terms.completions {
        // After one success, those that are there may end.
        None if tally.succeeded > 0 => tally.active.len(),
        None => count(terms.parallelism),
        Some(completions) => count(completions.saturating_sub(tally.succeeded)).min(count(terms.parallelism)),
    }
}

/// Pods that are to go: of an indexed job those without a valid index and all but one of each, and others, so that it is
/// at least so many.
fn superfluous(observed: &Observed<'_>, tally: &Tally, at_least: usize) -> Vec<Arc<Pod>> {
    let rank = |pods: Vec<Arc<Pod>>, count: usize| first_to_delete(pods, &[], count, observed.now);
    let Some(terms) = observed.terms.indexed() else { return rank(tally.active.clone(), at_least) };
    let valid = |pod: &Arc<Pod>| index_of(pod).filter(|index| *index < terms.completions);
    let mut gone: Vec<Arc<Pod>> = tally.active.iter().filter(|pod| valid(pod).is_none()).cloned().collect();
    let mut by_index: BTreeMap<i32, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in &tally.active {
        if let Some(index) = valid(pod) {
            by_index.entry(index).or_default().push(Arc::clone(pod));
        }
    }
    let mut left = Vec::with_capacity(by_index.len());
    for pods in by_index.into_values() {
        let doubles = rank(pods.clone(), pods.len() - 1);
        left.extend(pods.into_iter().filter(|pod| doubles.iter().all(|gone| gone.uid() != pod.uid())));
        gone.extend(doubles);
    }
    let more = at_least.saturating_sub(gone.len());
    gone.extend(rank(left, more));
    gone
}

fn create(observed: &Observed<'_>, tally: &Tally, missing: usize) -> (Action, Option<Duration>) {
    let by_index = observed.terms.indexed().zip(tally.indexes.as_ref());
    let counted_by_index = by_index.filter(|(terms, _)| terms.backoff_limit.is_some());
    let wait = match counted_by_index {
        Some(_) => Duration::ZERO,
        None => tally.failures.wait(observed.now),
    };
    if !wait.is_zero() {
        return (Action::Nothing, Some(wait));
    }
    match by_index {
        None => (Action::Create(vec![Place::default(); missing]), None),
        Some((terms, indexes)) => create_indexes(observed, tally, (terms, indexes), missing),
    }
}

/// Pods for the first indexes that have none; where failures are counted by index, each waits for its own.
fn create_indexes(
    observed: &Observed<'_>,
    tally: &Tally,
    (terms, indexes): (&IndexTerms<'_>, &IndexTally),
    missing: usize,
) -> (Action, Option<Duration>) {
    let mut places = Vec::new();
    let mut next: Option<Duration> = None;
    for index in taken(observed, tally, indexes).first_missing(missing, terms.completions) {
        let before = indexes.waiting.get(&index);
        let wait = before.map_or(Duration::ZERO, |pod| index_failures(pod).wait(observed.now));
        if wait.is_zero() {
            let with = || before.map_or_else(IndexFailures::default, |pod| IndexFailures::with(pod, &observed.terms));
            places.push(Place { index: Some(index), failures: terms.backoff_limit.is_some().then(with) });
        } else {
            next = Some(next.map_or(wait, |next| next.min(wait)));
        }
    }
    let action = if places.is_empty() { Action::Nothing } else { Action::Create(places) };
    (action, next)
}

/// Indexes that need no pod, or have one.
fn taken(observed: &Observed<'_>, tally: &Tally, indexes: &IndexTally) -> Indexes {
    let active: Indexes = tally.active.iter().filter_map(|pod| index_of(pod)).collect();
    let going = match observed.terms.replaced {
        Replaced::WhenTerminating => Indexes::default(),
        Replaced::WhenFailed => {
            observed.pods.iter().filter(|pod| is_terminating(pod)).filter_map(|pod| index_of(pod)).collect()
        }
    };
    let failed = indexes.failed.clone().unwrap_or_default();
    indexes.succeeded.union(&active).union(&going).union(&failed)
}

/// The failures of a pod's index, up to this pod's.
fn index_failures(pod: &Pod) -> Failures {
    let count = IndexFailures::before(pod).total().saturating_add(1);
    Failures::new(u32::try_from(count).unwrap_or(0), finished_at(pod))
}

/// What came of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Pods that were created.
    pub created: usize,
    /// Pods that were deleted.
    pub deleted: usize,
    /// How many of these were ready.
    pub deleted_ready: usize,
}

impl Tally {
    /// How many are active now.
    pub(super) fn active_after(&self, done: Done) -> i32 {
        number((self.active.len() + done.created).saturating_sub(done.deleted))
    }
}
