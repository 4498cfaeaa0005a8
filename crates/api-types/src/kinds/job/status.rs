//! How far a job is, and which steps there are from one status to the next.

use std::collections::BTreeSet;

use super::{indexes, is_indexed};
use crate::{
    batch::{Job, JobSpec, JobStatus},
    field::{FieldError, Path},
    jiff::Timestamp,
    table,
    validation::number,
};

/// Whether a condition holds.
pub(super) fn is_true(job: &Job, kind: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// The job in a word.
pub(super) fn word(job: &Job) -> &'static str {
    let words = [
        ("Complete", is_true(job, "Complete")),
        ("Failed", is_true(job, "Failed")),
        ("Terminating", job.metadata.deletion_timestamp.is_some()),
        ("Suspended", is_true(job, "Suspended")),
        ("FailureTarget", is_true(job, "FailureTarget")),
    ];
    words.iter().find(|(_, so)| *so).map_or("Running", |(word, _)| word)
}

/// `1/3`, or `1/1 of 3` where any of three will do.
pub(super) fn progress(job: &Job) -> String {
    let spec = job.spec.clone().unwrap_or_default();
    let done = job.status.as_ref().and_then(|status| status.succeeded).unwrap_or_default();
    match (spec.completions, spec.parallelism) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, Some(parallelism)) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        _ => format!("{done}/1"),
    }
}

/// How long it has taken, or takes.
pub(super) fn duration(job: &Job) -> String {
    let status = job.status.as_ref();
    let Some(start) = status.and_then(|status| status.start_time.as_ref()) else { return String::new() };
    let end = status.and_then(|status| status.completion_time.as_ref()).map_or_else(Timestamp::now, |end| end.0);
    table::human_duration(end.as_second() - start.0.as_second())
}

/// A status, and the step that leads to it.
pub(super) fn validate(path: &Path, new: &Job, old: &Job) -> Vec<FieldError> {
    let (now, before) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let mut errors = counts(path, &now);
    errors.extend(uncounted(&path.child("uncountedTerminatedPods"), &now));
    let step = Step { path, new, old, now: &now, before: &before };
    errors.extend(step.ends());
    errors.extend(step.indexes());
    errors.extend(step.criteria());
    errors.extend(step.backwards());
    errors
}

fn counts(path: &Path, status: &JobStatus) -> Vec<FieldError> {
    let counts = [
        ("active", status.active),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("ready", status.ready),
        ("terminating", status.terminating),
    ];
    let negative = |(field, count): (&str, Option<i32>)| number::non_negative(&path.child(field), count?);
    counts.into_iter().filter_map(negative).collect()
}

fn uncounted(path: &Path, status: &JobStatus) -> Vec<FieldError> {
    let Some(pods) = &status.uncounted_terminated_pods else { return Vec::new() };
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (field, uids) in [("succeeded", &pods.succeeded), ("failed", &pods.failed)] {
        for (i, uid) in uids.iter().flatten().enumerate() {
            let path = path.child(field).index(i);
            if uid.is_empty() {
                errors.push(FieldError::invalid(&path, "", "must not be empty"));
            } else if !taken.insert(uid) {
                errors.push(FieldError::duplicate(&path, uid.as_str()));
            }
        }
    }
    errors
}

/// From one status to the next. Rules are looked at when what they are about has changed, so that what is wrong already
/// stands in nobody's way.
struct Step<'a> {
    path: &'a Path,
    new: &'a Job,
    old: &'a Job,
    now: &'a JobStatus,
    before: &'a JobStatus,
}

impl Step<'_> {
    fn is(&self, kind: &str) -> bool {
        is_true(self.new, kind)
    }

    fn has_changed(&self, kind: &str) -> bool {
        self.is(kind) != is_true(self.old, kind)
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn spec(&self) -> JobSpec {
        self.new.spec.clone().unwrap_or_default()
    }

    fn wrong(&self, detail: &str) -> FieldError {
        FieldError::invalid_whole(&self.path.child("conditions"), detail)
    }

    /// How a job ends, and what else holds then.
    fn ends(&self) -> Vec<FieldError> {
        let (now, before) = (self.now, self.before);
        let (complete, failed) = (self.is("Complete"), self.is("Failed"));
        let (completes, fails) = (self.has_changed("Complete"), self.has_changed("Failed"));
        let times = (now.start_time.as_ref(), now.completion_time.as_ref());
        let started = now.start_time != before.start_time;
        let completion = now.completion_time != before.completion_time;
        let at = self.path.child("completionTime");
        let told = |detail: &str| FieldError::invalid(&at, serde_json::to_value(times.1).unwrap_or_default(), detail);
        let early = matches!(times, (Some(start), Some(end)) if end < start);
        let rules: [(bool, bool, &dyn Fn() -> FieldError); 7] = [
            (completes || fails, complete && failed, &|| {
                self.wrong("cannot set Complete=True and Failed=true conditions")
            }),
            (completes || self.has_changed("FailureTarget"), complete && self.is("FailureTarget"), &|| {
                self.wrong("cannot set Complete=True and FailureTarget=true conditions")
            }),
            (completes || completion, times.1.is_some() && !complete, &|| {
                told("cannot set completionTime when there is no Complete=True condition")
            }),
            (completes || completion, times.1.is_none() && complete, &|| {
                FieldError::required(&at, "completionTime is required for Complete jobs")
            }),
            (started || completion, early, &|| told("completionTime cannot be set before startTime")),
            (fails || self.has_changed("FailureTarget"), failed && !self.is("FailureTarget"), &|| {
                self.wrong("cannot set Failed=True condition without the FailureTarget=true condition")
            }),
            (completes || self.has_changed("SuccessCriteriaMet"), complete && !self.is("SuccessCriteriaMet"), &|| {
                self.wrong("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
            }),
        ];
        let mut errors = broken(&rules);
        errors.extend(self.finished());
        errors
    }

    /// What a finished job has no more of.
    fn finished(&self) -> Vec<FieldError> {
        let (now, before) = (self.now, self.before);
        let finished = self.is_finished();
        let ends = finished != (is_true(self.old, "Complete") || is_true(self.old, "Failed"));
        let active = now.active.unwrap_or_default();
        let left = now
            .uncounted_terminated_pods
            .as_ref()
            .is_some_and(|pods| pods.succeeded.iter().chain(&pods.failed).any(|uids| !uids.is_empty()));
        let spec = self.spec();
        let idle = spec.suspend == Some(true) && spec.completions == Some(0);
        let value = || serde_json::to_value(&now.uncounted_terminated_pods).unwrap_or_default();
        let path = self.path;
        broken(&[
            (ends || now.active != before.active, finished && active > 0, &|| {
                FieldError::invalid(&path.child("active"), active, "active>0 is invalid for finished job")
            }),
            ((ends || now.start_time != before.start_time) && !idle, finished && now.start_time.is_none(), &|| {
                FieldError::required(&path.child("startTime"), "startTime is required for finished job")
            }),
            (ends || now.uncounted_terminated_pods != before.uncounted_terminated_pods, finished && left, &|| {
                let detail = "uncountedTerminatedPods needs to be empty for finished job";
                FieldError::invalid(&path.child("uncountedTerminatedPods"), value(), detail)
            }),
        ])
    }

    /// Which indexes are done and which have failed.
    fn indexes(&self) -> Vec<FieldError> {
        let (now, before, spec) = (self.now, self.before, self.spec());
        let completed = now.completed_indexes.as_deref().unwrap_or_default();
        let done_changes = completed != before.completed_indexes.as_deref().unwrap_or_default();
        let failure_changes = now.failed_indexes != before.failed_indexes;
        let (done_path, failed_path) = (self.path.child("completedIndexes"), self.path.child("failedIndexes"));
        let mut errors = Vec::new();
        if let (true, Some(completions)) = (done_changes, spec.completions)
            && let Err(why) = indexes::count(completed, completions)
        {
            errors.push(FieldError::invalid(&done_path, completed, format!("error parsing completedIndexes: {why}")));
        }
        let failed = now.failed_indexes.as_deref();
        if let (true, Some(completions), Some(_), Some(failed)) =
            (failure_changes, spec.completions, spec.backoff_limit_per_index, failed)
            && let Err(why) = indexes::count(failed, completions)
        {
            errors.push(FieldError::invalid(&failed_path, failed, format!("error parsing failedIndexes: {why}")));
        }
        if done_changes && !completed.is_empty() && !is_indexed(&spec) {
            let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.push(FieldError::invalid(&done_path, completed, detail));
        }
        if let (true, None, Some(failed)) = (failure_changes, spec.backoff_limit_per_index, failed) {
            let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            errors.push(FieldError::invalid(&failed_path, failed, detail));
        }
        if let (true, Some(completions), Some(failed)) = (done_changes || failure_changes, spec.completions, failed)
            && let Some(index) = indexes::overlap(completed, failed, completions)
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.push(FieldError::invalid(&failed_path, failed, detail));
        }
        errors
    }

    /// Pods that still end or are ready, and what counts as success.
    fn criteria(&self) -> Vec<FieldError> {
        let (now, before) = (self.now, self.before);
        let (terminating, ready) = (now.terminating.unwrap_or_default(), now.ready.unwrap_or_default());
        let met = self.is("SuccessCriteriaMet");
        let ends = self.has_changed("Complete") || self.has_changed("Failed");
        let path = self.path;
        let unmet = self.spec().success_policy.is_some() && !met && self.is("Complete");
        broken(&[
            (ends || now.terminating != before.terminating, self.is_finished() && terminating > 0, &|| {
                let detail = "terminating>0 is invalid for finished job";
                FieldError::invalid(&path.child("terminating"), terminating, detail)
            }),
            (now.ready != before.ready || now.active != before.active, ready > now.active.unwrap_or_default(), &|| {
                FieldError::invalid(&path.child("ready"), ready, "cannot set more ready pods than active")
            }),
            (true, met && self.is("Failed"), &|| {
                self.wrong("cannot set SuccessCriteriaMet=True and Failed=true conditions")
            }),
            (true, met && self.is("FailureTarget"), &|| {
                self.wrong("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
            }),
            (true, unmet, &|| {
                self.wrong("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
            }),
        ])
    }

    /// What is never taken back.
    fn backwards(&self) -> Vec<FieldError> {
        let (now, before, spec) = (self.now, self.before, self.spec());
        let mut errors = Vec::new();
        for kind in ["Failed", "Complete", "FailureTarget"] {
            if is_true(self.old, kind) && !self.is(kind) {
                errors.push(self.wrong(&format!("cannot disable the terminal {kind}=True condition")));
            }
        }
        let elastic = is_indexed(&spec) && spec.completions == spec.parallelism;
        let counters =
            [("failed", now.failed, before.failed, false), ("succeeded", now.succeeded, before.succeeded, elastic)];
        for (field, now, before, elastic) in counters {
            let (now, before) = (now.unwrap_or_default(), before.unwrap_or_default());
            if now < before && !elastic {
                let detail = format!("cannot decrease the {field} counter");
                errors.push(FieldError::invalid(&self.path.child(field), now, detail));
            }
        }
        if now.completion_time.is_some()
            && before.completion_time.is_some()
            && now.completion_time != before.completion_time
        {
            let value = serde_json::to_value(&now.completion_time).unwrap_or_default();
            let detail = "completionTime cannot be mutated";
            errors.push(FieldError::invalid(&self.path.child("completionTime"), value, detail));
        }
        if before.start_time.is_some() && now.start_time != before.start_time && spec.suspend != Some(true) {
            let detail = "startTime cannot be removed for unsuspended job";
            errors.push(FieldError::required(&self.path.child("startTime"), detail));
        }
        let met_before = is_true(self.old, "SuccessCriteriaMet");
        if met_before && !self.is("SuccessCriteriaMet") {
            errors.push(self.wrong("cannot disable the SuccessCriteriaMet=True condition"));
        }
        if is_true(self.old, "Complete") && !met_before && self.is("SuccessCriteriaMet") {
            let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            errors.push(self.wrong(detail));
        }
        errors
    }
}

/// The errors of rules that concern the step and are broken.
fn broken(rules: &[(bool, bool, &dyn Fn() -> FieldError)]) -> Vec<FieldError> {
    rules.iter().filter(|(concerns, broken, _)| *concerns && *broken).map(|(.., error)| error()).collect()
}
