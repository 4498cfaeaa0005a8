//! How a job ends.

use api_types::{
    batch::{Job, JobCondition, JobStatus},
    jiff::Timestamp,
    meta::Time,
};

use super::{
    failure_policy::Ruling,
    success_policy,
    tally::{IndexTally, Observed, Tally},
    terms::{IndexTerms, Terms},
};
use crate::slim::Pod;

/// Success or failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has done what was asked.
    Success,
    /// It will not.
    Failure,
}

impl End {
    /// The condition that says that the job will end so, while pods are still there.
    pub(super) const fn announced(self) -> &'static str {
        match self {
            Self::Success => "SuccessCriteriaMet",
            Self::Failure => "FailureTarget",
        }
    }

    /// The condition that says that it has.
    pub(super) const fn reached(self) -> &'static str {
        match self {
            Self::Success => "Complete",
            Self::Failure => "Failed",
        }
    }
}

/// How a job ends, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How.
    pub end: End,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

impl Verdict {
    fn failure(reason: &str, message: impl Into<String>) -> Self {
        Self { end: End::Failure, reason: reason.to_owned(), message: message.into() }
    }

    /// All that was asked for has succeeded.
    pub(super) fn completed() -> Self {
        Self {
            end: End::Success,
            reason: "CompletionsReached".to_owned(),
            message: "Reached expected number of succeeded pods".to_owned(),
        }
    }

    /// The one that the status says already.
    fn announced(status: &JobStatus) -> Option<Self> {
        [End::Success, End::Failure].into_iter().find_map(|end| {
            let condition = true_condition(status, end.announced())?;
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            Some(Self { end, reason: text(&condition.reason), message: text(&condition.message) })
        })
    }
}

/// The condition that says that a job has ended, if it has.
pub(crate) fn finish(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    [End::Success, End::Failure].into_iter().find_map(|end| true_condition(status, end.reached()))
}

/// Whether a job has ended.
pub(crate) fn is_finished(job: &Job) -> bool {
    finish(job).is_some()
}

fn true_condition<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Makes a condition say this; a condition that is not there is not false either. Returns whether that is news.
pub(super) fn set(
    conditions: &mut Option<Vec<JobCondition>>,
    kind: &str,
    (status, reason, message): (&str, &str, &str),
    now: Timestamp,
) -> bool {
    let wanted = JobCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let same = |own: &JobCondition| {
        (&own.status, &own.reason, &own.message) == (&wanted.status, &wanted.reason, &wanted.message)
    };
    match conditions.iter_mut().flatten().find(|condition| condition.type_ == kind) {
        Some(own) if same(own) => false,
        Some(own) => {
            *own = wanted;
            true
        }
        None if status == "False" => false,
        None => {
            conditions.get_or_insert_default().push(wanted);
            true
        }
    }
}

/// How the job ends, if it does before everything has succeeded.
pub(super) fn early(observed: &Observed<'_>, tally: &Tally) -> Option<Verdict> {
    let terms = &observed.terms;
    let announced = Verdict::announced(&observed.status());
    let by_policy = || {
        let failed = observed.pods.iter().filter(|pod| terms.has_failed(pod));
        failed.into_iter().find_map(|pod| match terms.ruling(pod) {
            Ruling::FailJob(message) => Some(Verdict::failure("PodFailurePolicy", message)),
            _ => None,
        })
    };
    let by_index = || terms.indexed().zip(tally.indexes.as_ref()).and_then(|(terms, tally)| indexes_end(terms, tally));
    announced.or_else(by_policy).or_else(|| limits(observed, tally)).or_else(by_index)
}

/// Whether the job has failed too often, or taken too long.
fn limits(observed: &Observed<'_>, tally: &Tally) -> Option<Verdict> {
    let terms = &observed.terms;
    if tally.failed > terms.backoff_limit || restarted_too_often(&observed.pods, terms) {
        let message = "Job has reached the specified backoff limit";
        Some(Verdict::failure("BackoffLimitExceeded", message))
    } else if deadline(observed).is_some_and(|deadline| deadline <= observed.now) {
        Some(Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
    } else {
        None
    }
}

fn restarted_too_often(pods: &[std::sync::Arc<Pod>], terms: &Terms<'_>) -> bool {
    if !terms.restarts_count {
        return false;
    }
    let at_work = pods.iter().filter(|pod| matches!(pod.status.phase.as_str(), "Running" | "Pending"));
    let containers =
        at_work.flat_map(|pod| pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses));
    let restarts: i64 = containers.map(|status| i64::from(status.restart_count)).sum();
    restarts >= i64::from(terms.backoff_limit).max(1)
}

/// When the job's time is up; never while it is suspended.
pub(super) fn deadline(observed: &Observed<'_>) -> Option<Timestamp> {
    let seconds = observed.terms.deadline.filter(|_| !observed.terms.suspended)?;
    let start = observed.job.status.as_ref().and_then(|status| status.start_time.as_ref());
    let start = start.map_or(observed.now, |time| time.0);
    let allowed = api_types::jiff::SignedDuration::from_secs(seconds);
    Some(start.checked_add(allowed).unwrap_or(Timestamp::MAX))
}

fn indexes_end(terms: &IndexTerms<'_>, tally: &IndexTally) -> Option<Verdict> {
    let failed = tally.failed.as_ref().map_or(0, super::indexes::Indexes::len);
    let count = |limit: i32| usize::try_from(limit).unwrap_or(0);
    if terms.max_failed.is_some_and(|most| failed > count(most)) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        Some(Verdict::failure("MaxFailedIndexesExceeded", message))
    } else if failed > 0 && failed + tally.succeeded.len() >= count(terms.completions) {
        Some(Verdict::failure("FailedIndexes", "Job has failed indexes"))
    } else {
        let message = success_policy::met(terms.success_policy?, terms.completions, &tally.succeeded)?;
        Some(Verdict { end: End::Success, reason: "SuccessPolicy".to_owned(), message })
    }
}
