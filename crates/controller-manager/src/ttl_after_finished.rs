//! Jobs that have ended are deleted after a while, when they say so (`ttlSecondsAfterFinished`).

use std::{sync::Arc, time::Duration};

use api_types::{
    batch::Job,
    jiff::{SignedDuration, Timestamp},
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{DeleteParams, Preconditions, PropagationPolicy},
};

use crate::{
    context::Context,
    controllers::Run,
    job,
    step::{Error, failed},
    write,
};

/// The controller of jobs that have ended.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller { client: context.client.clone(), jobs: context.informer() });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.jobs.on_event(move |event| {
        if let Event::Added(job) | Event::Updated { new: job, .. } = event
            && expiry(job).is_some()
        {
            keys.add(ObjectKey::of(&**job));
        }
    });
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.ttl_after_finished;
    Some(Box::new(move || {
        queue.run(&daemon, "ttl-after-finished", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

struct Controller {
    client: Client,
    jobs: Informer<Job>,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(job) = self.jobs.store().get(key) else { return Ok(Outcome::Done) };
        if let Some(outcome) = wait(&job, Timestamp::now()) {
            return Ok(outcome);
        }
        // The cache may lag: somebody may have given the job more time.
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let live = jobs.get_opt(&key.name).await.map_err(failed("looking at a job"))?;
        let Some(live) = live.filter(|live| live.metadata.uid == job.metadata.uid) else { return Ok(Outcome::Done) };
        if let Some(outcome) = wait(&live, Timestamp::now()) {
            return Ok(outcome);
        }
        jobs.delete(&key.name, &as_it_is(&live)).await.map_err(failed("deleting a job"))?;
        Ok(Outcome::Done)
    }
}

/// Deletes the job if it has not changed, after its pods.
fn as_it_is(job: &Job) -> DeleteParams {
    let preconditions =
        Preconditions { uid: job.metadata.uid.clone(), resource_version: job.metadata.resource_version.clone() };
    DeleteParams {
        preconditions: Some(preconditions),
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    }
}

/// When the job is to go; `None` while it has not ended, or when it is to stay or goes already.
fn expiry(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let finished = job::finish(job)?.last_transition_time.as_ref()?.0;
    Some(finished.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX))
}

/// What there is to do before the job may go; `None` when it may.
fn wait(job: &Job, now: Timestamp) -> Option<Outcome> {
    let Some(expiry) = expiry(job) else { return Some(Outcome::Done) };
    let rest = Duration::try_from(expiry.duration_since(now)).unwrap_or_default();
    (!rest.is_zero()).then_some(Outcome::RequeueAfter(rest))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_job_goes_when_its_time_is_up() {
        let now = Timestamp::from_second(1000).unwrap();
        let ended = |kind: &str, second: i64| {
            let at = Timestamp::from_second(second).unwrap().to_string();
            json!([{"type": kind, "status": "True", "lastTransitionTime": at}])
        };
        let after = |seconds| Some(Outcome::RequeueAfter(Duration::from_secs(seconds)));
        let cases: [(Value, Value, Option<Outcome>); 8] = [
            (json!(10), ended("Complete", 990), None),
            (json!(10), ended("Failed", 995), after(5)),
            (json!(0), ended("Complete", 1000), None),
            (json!(i32::MAX), ended("Complete", 0), after(2_147_482_647)),
            (json!(null), ended("Complete", 0), Some(Outcome::Done)),
            (json!(10), ended("Suspended", 0), Some(Outcome::Done)),
            (json!(10), json!([{"type": "Complete", "status": "True"}]), Some(Outcome::Done)),
            (json!(10), json!([]), Some(Outcome::Done)),
        ];
        for (seconds, conditions, expected) in cases {
            let mut job = json!({"spec": {"template": {}}, "status": {"conditions": conditions}});
            job["spec"]["ttlSecondsAfterFinished"] = seconds.clone();
            let mut job: Job = serde_json::from_value(job).unwrap();
            assert_eq!(wait(&job, now), expected, "{seconds} {conditions}");
            job.metadata.deletion_timestamp = Some(api_types::meta::Time(now));
            assert_eq!(wait(&job, now), Some(Outcome::Done));
        }
    }
}
