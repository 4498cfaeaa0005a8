//! What a job's pods come to.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use api_types::{
    batch::{Job, JobStatus},
    jiff::Timestamp,
};

use super::{
    TRACKING,
    backoff::{Failures, finished_at},
    failure_policy::Ruling,
    indexes::Indexes,
    terms::{IndexFailures, IndexTerms, Terms, index_of},
};
use crate::{
    pod_state::{is_active, is_ready, is_terminating},
    slim::Pod,
};

/// What a pass over a job sees.
pub(super) struct Observed<'a> {
    /// The job.
    pub job: &'a Job,
    /// What it asks for.
    pub terms: Terms<'a>,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
    /// Uids of pods that have been counted and let go, though the cache does not show it yet.
    pub released: BTreeSet<String>,
    /// Whether the cache shows every pod that was created or deleted for it.
    pub caught_up: bool,
    /// Failures that were seen before.
    pub failures: Failures,
    /// The time.
    pub now: Timestamp,
}

impl Observed<'_> {
    /// The job's status; an empty one when it has none.
    pub(super) fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    /// Whether the pod still waits to be counted, or has been and is to be let go.
    pub(super) fn is_held(&self, pod: &Pod) -> bool {
        pod.has_finalizer(TRACKING) && !self.released.contains(pod.uid())
    }
}

/// What a job's pods come to.
#[derive(Debug)]
pub(super) struct Tally {
    /// Those that run or will.
    pub active: Vec<Arc<Pod>>,
    /// How many of them are ready.
    pub ready: i32,
    /// How many are being deleted and have not ended.
    pub terminating: i32,
    /// Successes, counted in the status or not.
    pub succeeded: i32,
    /// Failures that count, counted in the status or not.
    pub failed: i32,
    /// Failures since the last success.
    pub failures: Failures,
    /// Of an indexed job.
    pub indexes: Option<IndexTally>,
}

/// What became of the indexes.
#[derive(Debug)]
pub(super) struct IndexTally {
    /// Those whose success is in the status already.
    pub counted: Indexes,
    /// Those that have succeeded.
    pub succeeded: Indexes,
    /// Those that have failed; only where failures are counted by index.
    pub failed: Option<Indexes>,
    /// Failed pods that wait for their replacement, which has to learn from them how often its index has failed.
    pub waiting: BTreeMap<i32, Arc<Pod>>,
}

/// Counts.
pub(super) fn tally(observed: &Observed<'_>) -> Tally {
    let terms = &observed.terms;
    let status = observed.status();
    let uncounted = status.uncounted_terminated_pods.unwrap_or_default();
    let fresh = |uids: &Option<Vec<String>>, has_ended: &dyn Fn(&Pod) -> bool| -> Vec<Arc<Pod>> {
        let noted: HashSet<&str> = uids.iter().flatten().map(String::as_str).collect();
        let is_fresh = |pod: &&Arc<Pod>| {
            observed.is_held(pod) && !noted.contains(pod.uid()) && terms.counts(pod) && has_ended(pod)
        };
        observed.pods.iter().filter(is_fresh).cloned().collect()
    };
    let succeeded = fresh(&uncounted.succeeded, &|pod| pod.status.phase == "Succeeded");
    let failed = fresh(&uncounted.failed, &|pod| terms.has_failed(pod));
    let active: Vec<Arc<Pod>> = observed.pods.iter().filter(|pod| is_active(pod)).cloned().collect();
    let indexes = terms.indexed().map(|own| index_tally(observed, own, &active));
    let count_of = |uids: &Option<Vec<String>>| uids.as_ref().map_or(0, Vec::len);
    let counted = |counted: Option<i32>, more: usize| counted.unwrap_or(0).saturating_add(number(more));
    let that_count = failed.iter().filter(|pod| terms.ruling(pod) != Ruling::Ignore).count();
    Tally {
        ready: number(active.iter().filter(|pod| is_ready(pod)).count()),
        terminating: number(observed.pods.iter().filter(|pod| is_terminating(pod)).count()),
        succeeded: match &indexes {
            Some(indexes) => number(indexes.succeeded.len()),
            None => counted(status.succeeded, succeeded.len() + count_of(&uncounted.succeeded)),
        },
        failed: counted(status.failed, that_count + count_of(&uncounted.failed)),
        failures: observed.failures.with(&succeeded, &failed),
        active,
        indexes,
    }
}

/// As the API has it.
pub(super) fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn index_tally(observed: &Observed<'_>, own: &IndexTerms<'_>, active: &[Arc<Pod>]) -> IndexTally {
    let terms = &observed.terms;
    let status = observed.status();
    let held = || observed.pods.iter().filter(|pod| pod.has_finalizer(TRACKING) && terms.counts(pod));
    let counted = own.parse(status.completed_indexes.as_deref());
    let succeeded = held().filter(|pod| pod.status.phase == "Succeeded").filter_map(|pod| index_of(pod));
    let succeeded = counted.union(&succeeded.collect());
    let failed = own.backoff_limit.map(|limit| {
        let has_failed = |pod: &&Arc<Pod>| fails_index(pod, terms, limit);
        let fresh: Indexes = held().filter(has_failed).filter_map(|pod| index_of(pod)).collect();
        own.parse(status.failed_indexes.as_deref()).union(&fresh)
    });
    let waiting = match &failed {
        None => BTreeMap::new(),
        Some(failed) => {
            let running: BTreeSet<i32> = active.iter().filter_map(|pod| index_of(pod)).collect();
            let settled = |index: i32| running.contains(&index) || succeeded.has(index) || failed.has(index);
            latest(observed.pods.iter().filter(|pod| {
                let open = index_of(pod).is_some_and(|index| !settled(index));
                open && observed.is_held(pod) && terms.counts(pod) && terms.has_failed(pod)
            }))
        }
    };
    IndexTally { counted, succeeded, failed, waiting }
}

/// Whether the index of the pod has failed with it.
fn fails_index(pod: &Pod, terms: &Terms<'_>, limit: i32) -> bool {
    terms.has_failed(pod)
        && match terms.ruling(pod) {
            Ruling::FailIndex => true,
            Ruling::Ignore => false,
            Ruling::Count | Ruling::FailJob(_) => IndexFailures::before(pod).counted >= limit,
        }
}

/// Of each index the pod that failed last.
fn latest<'a>(pods: impl Iterator<Item = &'a Arc<Pod>>) -> BTreeMap<i32, Arc<Pod>> {
    let order = |pod: &Pod| (IndexFailures::before(pod).total(), finished_at(pod));
    let mut latest: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
    for pod in pods {
        let Some(index) = index_of(pod) else { continue };
        if latest.get(&index).is_none_or(|before| order(before) <= order(pod)) {
            latest.insert(index, Arc::clone(pod));
        }
    }
    latest
}
