//! What a job asks for.

use api_types::batch::{Job, JobSpec, PodFailurePolicy, SuccessPolicy};

use super::{
    failure_policy::{Ruling, judge},
    indexes::Indexes,
};
use crate::slim::{COMPLETION_INDEX, INDEX_FAILURES, INDEX_IGNORED_FAILURES, Pod};

/// The `managedBy` of jobs that are managed here.
const CONTROLLER: &str = "kubernetes.io/job-controller";

/// `spec` of a job, with its defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    /// How many pods are to succeed; `None` when one success is enough.
    pub completions: Option<i32>,
    /// How many may run at once.
    pub parallelism: i32,
    /// Which pods count for which completion.
    pub mode: Mode<'a>,
    /// How many may fail.
    pub backoff_limit: i32,
    /// For how many seconds it may be active.
    pub deadline: Option<i64>,
    /// What failures mean.
    pub failure_policy: Option<&'a PodFailurePolicy>,
    /// Nothing is to run.
    pub suspended: bool,
    /// When a pod is replaced.
    pub replaced: Replaced,
    /// Containers are restarted in their pods, and that counts.
    pub restarts_count: bool,
}

/// `spec.completionMode`
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode<'a> {
    /// All completions are alike.
    NonIndexed,
    /// Each completion has its index.
    Indexed(IndexTerms<'a>),
}

/// What a job asks for its indexes.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexTerms<'a> {
    /// How many there are.
    pub completions: i32,
    /// How often the pods of one may fail.
    pub backoff_limit: Option<i32>,
    /// How many may fail.
    pub max_failed: Option<i32>,
    /// Which of them are enough.
    pub success_policy: Option<&'a SuccessPolicy>,
}

/// `spec.podReplacementPolicy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// As soon as it is being deleted, which counts as a failure.
    WhenTerminating,
    /// Once it has failed.
    WhenFailed,
}

/// Who looks after a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    /// This controller.
    Us,
    /// Another one.
    SomebodyElse,
}

/// Whom `spec.managedBy` names.
pub(super) fn manager(job: &Job) -> Manager {
    match job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref()) {
        None | Some(CONTROLLER) => Manager::Us,
        Some(_) => Manager::SomebodyElse,
    }
}

impl<'a> Terms<'a> {
    /// Those of a job; `None` when its completion mode is not known here.
    pub(super) fn of(spec: &'a JobSpec) -> Option<Self> {
        let mode = match spec.completion_mode.as_deref() {
            None | Some("NonIndexed") => Mode::NonIndexed,
            Some("Indexed") => Mode::Indexed(IndexTerms {
                completions: spec.completions.unwrap_or(0),
                backoff_limit: spec.backoff_limit_per_index,
                max_failed: spec.max_failed_indexes,
                success_policy: spec.success_policy.as_ref(),
            }),
            Some(_) => return None,
        };
        let when_failed = spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some();
        let restart_policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        Some(Self {
            completions: spec.completions,
            parallelism: spec.parallelism.unwrap_or(1),
            mode,
            backoff_limit: spec.backoff_limit.unwrap_or(6),
            deadline: spec.active_deadline_seconds,
            failure_policy: spec.pod_failure_policy.as_ref(),
            suspended: spec.suspend == Some(true),
            replaced: if when_failed { Replaced::WhenFailed } else { Replaced::WhenTerminating },
            restarts_count: restart_policy == Some("OnFailure"),
        })
    }

    /// What is asked for indexes, if there are any.
    pub(super) const fn indexed(&self) -> Option<&IndexTerms<'a>> {
        match &self.mode {
            Mode::NonIndexed => None,
            Mode::Indexed(terms) => Some(terms),
        }
    }

    /// Whether the pod has failed. One that is deleted may never come to say so.
    pub(super) fn has_failed(&self, pod: &Pod) -> bool {
        let deleted = pod.metadata.deletion_timestamp.is_some() && pod.status.phase != "Succeeded";
        pod.status.phase == "Failed" || (deleted && self.replaced == Replaced::WhenTerminating)
    }

    /// Whether what becomes of the pod counts for the job: one of an index needs a valid one.
    pub(super) fn counts(&self, pod: &Pod) -> bool {
        self.indexed().is_none_or(|terms| index_of(pod).is_some_and(|index| index < terms.completions))
    }

    /// What the failure of the pod means.
    pub(super) fn ruling(&self, pod: &Pod) -> Ruling {
        judge(self.failure_policy, pod)
    }
}

impl IndexTerms<'_> {
    /// The indexes in a text.
    pub(super) fn parse(&self, text: Option<&str>) -> Indexes {
        Indexes::parse(text.unwrap_or_default(), self.completions)
    }
}

/// The index of a pod, if it says one.
pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    pod.number(COMPLETION_INDEX).filter(|index| *index >= 0)
}

/// How often pods of one index have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexFailures {
    /// So that it counted.
    pub counted: i32,
    /// So that it did not.
    pub ignored: i32,
}

impl IndexFailures {
    /// Before this pod.
    pub(super) fn before(pod: &Pod) -> Self {
        let number = |annotation| pod.number(annotation).unwrap_or(0).max(0);
        Self { counted: number(INDEX_FAILURES), ignored: number(INDEX_IGNORED_FAILURES) }
    }

    /// With this pod's.
    pub(super) fn with(pod: &Pod, terms: &Terms<'_>) -> Self {
        let Self { counted, ignored } = Self::before(pod);
        match terms.ruling(pod) {
            Ruling::Ignore => Self { counted, ignored: ignored.saturating_add(1) },
            _ => Self { counted: counted.saturating_add(1), ignored },
        }
    }

    /// All of them.
    pub(super) const fn total(self) -> i32 {
        self.counted.saturating_add(self.ignored)
    }
}
