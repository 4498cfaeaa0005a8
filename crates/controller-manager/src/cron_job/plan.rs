//! What to do for a cron job.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api_types::{
    batch::{CronJob, CronJobStatus, Job},
    core::ObjectReference,
    jiff::{Timestamp, tz::TimeZone},
    meta::Time,
};
use component::recorder::EventType;

use super::{
    schedule::{self, Missed, TooLate, Unusable},
    template,
};
use crate::job::{finish, is_finished};

/// What a pass over a cron job sees.
pub(super) struct Observed<'a> {
    /// The cron job.
    pub cron_job: &'a CronJob,
    /// Its jobs.
    pub jobs: &'a [Arc<Job>],
    /// Uids of jobs that the status has as active and that are gone for certain.
    pub gone: &'a BTreeSet<String>,
    /// By whose clocks it runs when it names none.
    pub local: &'a TimeZone,
    /// The time.
    pub now: Timestamp,
}

/// An event to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tale {
    /// Its type.
    pub kind: EventType,
    /// Its reason.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
}

/// What to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is known of jobs that have ended or gone.
    pub status: CronJobStatus,
    /// What is to be told.
    pub tales: Vec<Tale>,
    /// A job to create.
    pub start: Option<Start>,
    /// Jobs that are over and are more than are kept.
    pub superfluous: Vec<Arc<Job>>,
    /// When to look again.
    pub next: Option<Duration>,
}

/// A job to create.
#[derive(Debug)]
pub(super) struct Start {
    /// The time that it is for.
    pub at: Timestamp,
    /// The job.
    pub job: Box<Job>,
    /// Jobs that run and are to make room.
    pub replaces: Vec<ObjectReference>,
}

impl Plan {
    fn tell(&mut self, kind: EventType, reason: &'static str, message: impl Into<String>) {
        self.tales.push(Tale { kind, reason, message: message.into() });
    }
}

/// Decides.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let status = observed.cron_job.status.clone().unwrap_or_default();
    let superfluous = superfluous(observed);
    let mut plan = Plan { status, tales: Vec::new(), start: None, superfluous, next: None };
    see_jobs(observed, &mut plan);
    if observed.cron_job.metadata.deletion_timestamp.is_none() {
        schedule(observed, &mut plan);
    }
    plan
}

/// Takes jobs that have ended or gone from the list of the active ones.
fn see_jobs(observed: &Observed<'_>, plan: &mut Plan) {
    for job in observed.jobs {
        let (name, uid) = (job.metadata.name.as_deref().unwrap_or_default(), &job.metadata.uid);
        let is_listed = plan.status.active.iter().flatten().any(|active| active.uid == *uid);
        match finish(job) {
            None if !is_listed => {
                let message = format!("Saw a job that the controller did not create or forgot: {name}");
                plan.tell(EventType::Warning, "UnexpectedJob", message);
            }
            Some(finish) if is_listed => {
                remove(&mut plan.status, |active| active.uid == *uid);
                let message = format!("Saw completed job: {name}, status: {}", finish.type_);
                plan.tell(EventType::Normal, "SawCompletedJob", message);
            }
            _ => {}
        }
        let success = finish(job).filter(|finish| finish.type_ == "Complete");
        let completed = success.and(job.status.as_ref()).and_then(|status| status.completion_time.clone());
        plan.status.last_successful_time = completed.max(plan.status.last_successful_time.take());
    }
    for active in plan.status.active.clone().into_iter().flatten() {
        if active.uid.as_ref().is_some_and(|uid| observed.gone.contains(uid)) {
            remove(&mut plan.status, |own| own.uid == active.uid);
            let message = format!("Active job went missing: {}", active.name.as_deref().unwrap_or_default());
            plan.tell(EventType::Normal, "MissingJob", message);
        }
    }
}

/// Takes jobs from the list of the active ones.
pub(super) fn remove(status: &mut CronJobStatus, is_it: impl Fn(&ObjectReference) -> bool) {
    if let Some(active) = &mut status.active {
        active.retain(|active| !is_it(active));
    }
    status.active.take_if(|active| active.is_empty());
}

/// Starts a job when its time has come, and says when the next time comes.
fn schedule(observed: &Observed<'_>, plan: &mut Plan) {
    let spec = &observed.cron_job.spec;
    let own = match schedule::Plan::of(observed.cron_job, observed.local) {
        Err(Unusable::TimeZone(zone)) => {
            let message = format!("invalid timeZone: {zone:?}: unknown time zone {zone}");
            return plan.tell(EventType::Warning, "UnknownTimeZone", message);
        }
        _ if spec.suspend == Some(true) => return,
        Err(Unusable::Schedule(why)) => {
            let message = format!("unparseable schedule: {:?} : {why}", spec.schedule);
            return plan.tell(EventType::Warning, "UnparseableSchedule", message);
        }
        Ok(own) => own,
    };
    if spec.schedule.contains("TZ") {
        let message = format!(
            "CRON_TZ or TZ used in schedule {:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            spec.schedule
        );
        plan.tell(EventType::Warning, "UnsupportedSchedule", message);
    }
    plan.next = schedule::until_next(observed.cron_job, &own, observed.now);
    match schedule::past(observed.cron_job, &own, observed.now, TooLate::DoNot) {
        Err(why) => {
            plan.next = None;
            let message = format!("invalid schedule: {} : {why}", spec.schedule);
            plan.tell(EventType::Warning, "InvalidSchedule", message);
        }
        Ok(past) => {
            let Some(at) = past.last else { return };
            if past.missed == Missed::Many {
                let message =
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                plan.tell(EventType::Warning, "TooManyMissedTimes", message);
            }
            plan.start = start(observed, plan, at);
        }
    }
}

/// The job for this time, unless it is too late, or there is or was one, or another one runs that nothing may run beside.
fn start(observed: &Observed<'_>, plan: &mut Plan, at: Timestamp) -> Option<Start> {
    let spec = &observed.cron_job.spec;
    let late = observed.now.duration_since(at);
    if spec.starting_deadline_seconds.is_some_and(|seconds| i128::from(seconds) * 1_000_000_000 < late.as_nanos()) {
        let message = format!("Missed scheduled time to start a job: {}", at.strftime("%a, %d %b %Y %H:%M:%S +0000"));
        plan.tell(EventType::Warning, "MissSchedule", message);
        return None;
    }
    let name = template::job_name(observed.cron_job, at);
    let active = plan.status.active.clone().unwrap_or_default();
    let has_run = plan.status.last_schedule_time.as_ref().is_some_and(|last| last.0 == at);
    if has_run || active.iter().any(|active| active.name.as_ref() == Some(&name)) {
        return None;
    }
    let replaces = match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.tell(EventType::Normal, "JobAlreadyActive", message);
            return None;
        }
        Some("Replace") => active,
        _ => Vec::new(),
    };
    Some(Start { at, job: Box::new(template::job(observed.cron_job, at)), replaces })
}

/// The oldest of the jobs that have succeeded, and of those that have failed, beyond the limits.
fn superfluous(observed: &Observed<'_>) -> Vec<Arc<Job>> {
    let spec = &observed.cron_job.spec;
    let limits = [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    let of = |(kind, limit): (&str, Option<i32>)| {
        let ended = |job: &&Arc<Job>| finish(job).is_some_and(|finish| finish.type_ == kind);
        let mut jobs: Vec<Arc<Job>> = observed.jobs.iter().filter(ended).cloned().collect();
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
        jobs.sort_by(|a, b| order(a).cmp(&order(b)));
        jobs.truncate(jobs.len().saturating_sub(limit));
        jobs.retain(|job| job.metadata.deletion_timestamp.is_none());
        jobs
    };
    limits.into_iter().flat_map(of).collect()
}

/// Jobs in the order in which they started; those that never did come last.
fn order(job: &Job) -> (bool, Option<Time>, Option<&str>) {
    let start = job.status.as_ref().and_then(|status| status.start_time.clone());
    (start.is_none(), start, job.metadata.name.as_deref())
}

/// Uids of jobs that the status has as active and that are not among the jobs that are seen.
pub(super) fn unseen<'a>(status: Option<&'a CronJobStatus>, jobs: &[Arc<Job>]) -> Vec<&'a ObjectReference> {
    let active = status.into_iter().flat_map(|status| status.active.iter().flatten());
    active.filter(|active| jobs.iter().all(|job| job.metadata.uid != active.uid)).collect()
}

/// Whether a job still runs.
pub(super) fn runs(job: &Job) -> bool {
    !is_finished(job)
}
