//! How finished pods are counted, each exactly once, whenever the controller dies.
//!
//! A pod of a job has a finalizer and cannot vanish before it is counted. The status first notes the uids of finished pods
//! (or, of an indexed job, their indexes); then their finalizers are taken away; then the status counts those uids whose
//! pods have no finalizer any more, and forgets them in the same write. What is interrupted is found again as it was left.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use api_types::{
    batch::{JobStatus, UncountedTerminatedPods},
    meta::Time,
};

use super::{
    TRACKING,
    failure_policy::Ruling,
    indexes::Indexes,
    plan::{Done, Managed, Plan},
    tally::{Observed, Tally, number},
    terms::index_of,
    verdict::{self, End, Verdict},
};
use crate::slim::Pod;

/// No more uids in a status than this, so that it stays below 20 kB; as upstream.
const MOST_UNCOUNTED: usize = 500;

/// What a pass comes to.
#[derive(Debug)]
pub(super) struct Conclusion {
    /// The status to write before finalizers are taken away.
    pub status: JobStatus,
    /// The pods that lose their finalizer then.
    pub release: Vec<Arc<Pod>>,
    /// How the job ends.
    pub verdict: Option<Verdict>,
    /// It was suspended, or resumed.
    pub turn: Option<Turn>,
    /// There are more finished pods than can be counted at once.
    more: bool,
    /// Pods that are being deleted.
    terminating: i32,
    /// Uids of the pods that have their finalizer.
    held: BTreeSet<String>,
}

/// A change that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing runs any more.
    Suspended,
    /// Pods may run again.
    Resumed,
}

/// What the status is to say after an action, and which pods are counted.
pub(super) fn conclude(observed: &Observed<'_>, tally: &Tally, plan: Plan, done: Done) -> Conclusion {
    let mut status = observed.status();
    let active = tally.active_after(done);
    let complete = completes(observed, tally, plan.managed, active);
    let verdict = match plan.verdict {
        // What was not deleted, or is not seen yet, has to be waited for.
        Some(verdict) => Some(verdict).filter(|_| active == 0 && observed.caught_up),
        None => complete.then(Verdict::completed),
    };
    if status.start_time.is_none() && !observed.terms.suspended {
        status.start_time = Some(Time(observed.now));
    }
    let turn = (plan.managed == Managed::Yes && !complete).then(|| turn(observed, &mut status)).flatten();
    let terminating = tally.terminating.saturating_add(number(done.deleted));
    status.active = Some(active).filter(|active| *active != 0);
    status.ready = Some(tally.ready.saturating_sub(number(done.deleted_ready)).max(0));
    status.terminating = Some(terminating);

    let held: BTreeSet<String> =
        observed.pods.iter().filter(|pod| observed.is_held(pod)).map(|pod| pod.uid().to_owned()).collect();
    count_released(&mut status, &held);
    let (release, more) = note(observed, tally, verdict.as_ref(), &mut status);
    if let Some(verdict) = &verdict {
        let saying = ("True", verdict.reason.as_str(), verdict.message.as_str());
        verdict::set(&mut status.conditions, verdict.end.announced(), saying, observed.now);
    }
    Conclusion { status, release, verdict, turn, more, terminating, held }
}

/// Whether all that was asked for has succeeded.
fn completes(observed: &Observed<'_>, tally: &Tally, managed: Managed, active: i32) -> bool {
    let enough = observed.terms.completions.map_or(tally.succeeded > 0, |wanted| tally.succeeded >= wanted);
    enough && active == 0 && managed == Managed::Yes
}

/// The condition that says whether the job is suspended. A job that is has no start: its time is counted anew.
fn turn(observed: &Observed<'_>, status: &mut JobStatus) -> Option<Turn> {
    let now = observed.now;
    if observed.terms.suspended {
        status.start_time = None;
        let told = verdict::set(&mut status.conditions, "Suspended", ("True", "JobSuspended", "Job suspended"), now);
        told.then_some(Turn::Suspended)
    } else {
        let told = verdict::set(&mut status.conditions, "Suspended", ("False", "JobResumed", "Job resumed"), now);
        if told {
            status.start_time = Some(Time(now));
        }
        told.then_some(Turn::Resumed)
    }
}

/// Counts the pods that the status has noted and that have lost their finalizer.
fn count_released(status: &mut JobStatus, held: &BTreeSet<String>) {
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    let count = |uids: &mut Option<Vec<String>>, counter: &mut Option<i32>| {
        let Some(noted) = uids else { return };
        let before = noted.len();
        noted.retain(|uid| held.contains(uid));
        let counted = counter.unwrap_or(0).saturating_add(number(before - noted.len()));
        *counter = Some(counted).filter(|counted| *counted != 0);
        if noted.is_empty() {
            *uids = None;
        }
    };
    count(&mut uncounted.succeeded, &mut status.succeeded);
    count(&mut uncounted.failed, &mut status.failed);
}

/// Notes finished pods in the status. Returns those that are to lose their finalizer, and whether there are more.
fn note(
    observed: &Observed<'_>,
    tally: &Tally,
    verdict: Option<&Verdict>,
    status: &mut JobStatus,
) -> (Vec<Arc<Pod>>, bool) {
    let mut pods: Vec<&Arc<Pod>> = observed.pods.iter().filter(|pod| observed.is_held(pod)).collect();
    pods.sort_by_key(|pod| index_of(pod));
    let uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    let noted: HashSet<String> = uncounted.succeeded.iter().chain(&uncounted.failed).flatten().cloned().collect();
    let mut notes = Notes { uncounted, indexes: Vec::new() };
    let mut release = Vec::new();
    let mut full = false;
    for pod in pods {
        if full {
            break;
        }
        if may_go(observed, tally, verdict, pod) {
            if !noted.contains(pod.uid()) {
                notes.add(observed, tally, verdict, pod);
            }
            release.push(Arc::clone(pod));
            full = notes.len() >= MOST_UNCOUNTED;
        }
    }
    if let Some(indexes) = &tally.indexes {
        let succeeded = indexes.counted.union(&notes.indexes.iter().copied().collect::<Indexes>());
        status.succeeded = Some(number(succeeded.len())).filter(|count| *count != 0);
        status.completed_indexes = Some(succeeded.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = indexes.failed.as_ref().map(Indexes::to_string);
    }
    status.uncounted_terminated_pods = Some(notes.uncounted);
    (release, full)
}

/// Whether a pod may lose its finalizer: it has ended, or the job has or goes. A pod that waits for its replacement may not.
fn may_go(observed: &Observed<'_>, tally: &Tally, verdict: Option<&Verdict>, pod: &Pod) -> bool {
    let job_goes = observed.job.metadata.deletion_timestamp.is_some() || verdict.is_some();
    let waits = || {
        let waiting = tally.indexes.as_ref().map(|indexes| &indexes.waiting);
        waiting.is_some_and(|waiting| waiting.values().any(|own| own.uid() == pod.uid()))
    };
    job_goes || pod.status.phase == "Succeeded" || (observed.terms.has_failed(pod) && !waits())
}

/// What a status notes of pods that are to be counted.
struct Notes {
    /// By their uids.
    uncounted: UncountedTerminatedPods,
    /// By their indexes, which is enough of a success.
    indexes: Vec<i32>,
}

impl Notes {
    fn len(&self) -> usize {
        let count = |uids: &Option<Vec<String>>| uids.as_ref().map_or(0, Vec::len);
        self.indexes.len() + count(&self.uncounted.succeeded) + count(&self.uncounted.failed)
    }

    fn add(&mut self, observed: &Observed<'_>, tally: &Tally, verdict: Option<&Verdict>, pod: &Pod) {
        let terms = &observed.terms;
        if !terms.counts(pod) {
            return;
        }
        // When the job has failed, so has every pod that has not succeeded.
        let failed = terms.has_failed(pod) || verdict.is_some_and(|verdict| verdict.end == End::Failure);
        match (&tally.indexes, index_of(pod)) {
            (Some(indexes), Some(index)) if pod.status.phase == "Succeeded" => {
                self.indexes.extend(Some(index).filter(|index| !indexes.counted.has(*index)));
            }
            _ if pod.status.phase == "Succeeded" => push(&mut self.uncounted.succeeded, pod),
            _ if failed && terms.ruling(pod) != Ruling::Ignore => push(&mut self.uncounted.failed, pod),
            _ => {}
        }
    }
}

fn push(uids: &mut Option<Vec<String>>, pod: &Pod) {
    uids.get_or_insert_default().push(pod.uid().to_owned());
}

/// Whether the job has ended with what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// It has.
    Yes,
    /// It goes on, or pods have to be waited for.
    No,
}

impl Conclusion {
    /// The status after the pods with these uids have lost their finalizer.
    pub(super) fn settle(&self, released: &BTreeSet<String>, observed: &Observed<'_>) -> (JobStatus, Finished) {
        let mut status = self.status.clone();
        let held: BTreeSet<String> = self.held.difference(released).cloned().collect();
        count_released(&mut status, &held);
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let all_counted = uncounted.is_none_or(|pods| pods.succeeded.is_none() && pods.failed.is_none());
        let Some(verdict) = self.verdict.as_ref().filter(|_| all_counted && self.terminating == 0 && !self.more) else {
            return (status, Finished::No);
        };
        let saying = ("True", verdict.reason.as_str(), verdict.message.as_str());
        verdict::set(&mut status.conditions, verdict.end.reached(), saying, observed.now);
        if verdict.end == End::Success {
            status.completion_time = Some(Time(observed.now));
        }
        (status, Finished::Yes)
    }
}

/// The patch that takes a pod's finalizer away.
pub(super) fn release_patch(pod: &Pod) -> serde_json::Value {
    serde_json::json!({"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}})
}
