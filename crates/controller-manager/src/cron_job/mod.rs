//! Cron jobs: a job whenever its time comes.
//!
//! Nobody polls: the queue brings a cron job back when its next time comes.

mod plan;
mod schedule;
mod template;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    batch::{CronJob, CronJobStatus, Job},
    core::ObjectReference,
    jiff::{Timestamp, tz::TimeZone},
    meta::Time,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{
    Client,
    api::{DeleteParams, Patch, Preconditions, PropagationPolicy},
};

use self::plan::{Observed, Start, remove};
use crate::{
    context::Context,
    controllers::Run,
    ownership::{controller_index, controller_of, object_reference},
    pod_events::{own_reference, owner_key},
    slim::BY_CONTROLLER,
    step::{Error, failed},
    write,
    written::Written,
};

/// The controller of cron jobs.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let index = |job: &Job| vec![controller_index(&job.metadata)];
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        cron_jobs: context.informer(),
        jobs: context.informer::<Job>().with_index(BY_CONTROLLER, index),
        recorder: context.recorder("cronjob-controller"),
        local: TimeZone::system(),
        written: Written::default(),
    });
    let queue = WorkQueue::new();
    subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.cron_job;
    Some(Box::new(move || {
        queue.run(&daemon, "cronjob", workers, move |key| {
            let controller = Arc::clone(&controller);
            // Holds whole objects while it writes, so it is kept off the worker's stack.
            async move { write::settle_races(Box::pin(controller.reconcile(&key)).await) }
        });
    }))
}

/// Queues cron jobs when they or their jobs change. One whose schedule has changed waits for its next time: those that the
/// new schedule would have had before are none.
fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.cron_jobs.on_event(move |event| {
        let key = ObjectKey::of(&**event.object());
        match event {
            Event::Updated { old, new } if is_scheduled_anew(old, new) => {
                let plan = schedule::Plan::of(new, &this.local).ok();
                match plan.and_then(|plan| schedule::until_next(new, &plan, Timestamp::now())) {
                    Some(wait) => keys.add_after(key, wait),
                    None => keys.add(key),
                }
            }
            _ => keys.add(key),
        }
    });
    let keys = Arc::clone(queue);
    controller.jobs.on_event(move |event| {
        let job = event.object();
        if let Some(owner) = own_reference::<CronJob>(&job.metadata) {
            keys.add(owner_key(&job.metadata, owner));
        }
    });
}

fn is_scheduled_anew(old: &CronJob, new: &CronJob) -> bool {
    (&old.spec.schedule, &old.spec.time_zone) != (&new.spec.schedule, &new.spec.time_zone)
}

struct Controller {
    client: Client,
    cron_jobs: Informer<CronJob>,
    jobs: Informer<Job>,
    recorder: Recorder,
    /// By whose clocks cron jobs run that name none.
    local: TimeZone,
    /// Statuses that the cache does not show yet.
    written: Written,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(cron_job) = self.cron_jobs.store().get(key) else { return Ok(Outcome::Done) };
        // What was started would be started again.
        if let Some(wait) = self.written.unseen(key, self.cron_jobs.store()) {
            return Ok(Outcome::RequeueAfter(wait));
        }
        let jobs = self.jobs.store().by_index(BY_CONTROLLER, cron_job.metadata.uid.as_deref().unwrap_or_default());
        let gone = self.gone(&cron_job, &jobs).await?;
        let observed =
            Observed { cron_job: &cron_job, jobs: &jobs, gone: &gone, local: &self.local, now: Timestamp::now() };
        let plan = plan::plan(&observed);
        for tale in plan.tales {
            self.recorder.record(&object_reference(&*cron_job), tale.kind, tale.reason, tale.message);
        }
        let mut status = plan.status;
        let started = match plan.start {
            Some(start) => self.start(&cron_job, start, &mut status).await,
            None => Ok(()),
        };
        for job in plan.superfluous {
            // It is tried again with the next event.
            let _ = self.delete(&cron_job, &object_reference(&*job)).await;
        }
        self.write_status(key, &cron_job, &status).await?;
        started?;
        Ok(plan.next.map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    /// Uids of jobs that the status has as active and that the server does not have. A cache that lacks them may lag.
    async fn gone(&self, cron_job: &CronJob, jobs: &[Arc<Job>]) -> Result<BTreeSet<String>, Error> {
        let mut gone = BTreeSet::new();
        for active in plan::unseen(cron_job.status.as_ref(), jobs) {
            let live = self.api(cron_job).get_opt(active.name.as_deref().unwrap_or_default()).await;
            let live: Option<Job> = live.map_err(failed("looking at a job"))?;
            if live.is_none_or(|live| live.metadata.uid != active.uid) {
                gone.extend(active.uid.clone());
            }
        }
        Ok(gone)
    }

    /// Creates a job, after those that it replaces are deleted. Its name is a lock: when there is one already, it is this
    /// one, of a controller that has died before it could write so.
    async fn start(&self, cron_job: &CronJob, start: Start, status: &mut CronJobStatus) -> Result<(), Error> {
        for job in &start.replaces {
            self.delete(cron_job, job).await.map_err(failed("replacing a job"))?;
            remove(status, |active| active.uid == job.uid);
        }
        let api: Api<Job> = self.api(cron_job);
        let name = start.job.metadata.name.clone().unwrap_or_default();
        let regarding = object_reference(cron_job);
        let job = match api.create(&write::post_params(), &start.job).await {
            Ok(job) => {
                let message = format!("Created job {name}");
                self.recorder.record(&regarding, EventType::Normal, "SuccessfulCreate", message);
                job
            }
            Err(error) if write::code(&error) == Some(409) => {
                let there = api.get(&name).await.map_err(failed("looking at a job"))?;
                let is_ours = controller_of(&there.metadata).map(|own| &own.uid) == cron_job.metadata.uid.as_ref();
                if !is_ours {
                    return Ok(());
                }
                there
            }
            // Nothing more is wanted here.
            Err(error) if write::is_namespace_terminating(&error) => return Ok(()),
            Err(error) => {
                let message = format!("Error creating job: {}", write::message(&error));
                self.recorder.record(&regarding, EventType::Warning, "FailedCreate", message);
                return Err(failed("creating a job")(error));
            }
        };
        if plan::runs(&job) {
            status.active.get_or_insert_default().push(object_reference(&job));
        }
        status.last_schedule_time = Some(Time(start.at));
        Ok(())
    }

    /// Deletes a job with its pods.
    async fn delete(&self, cron_job: &CronJob, job: &ObjectReference) -> Result<(), kube::Error> {
        let name = job.name.as_deref().unwrap_or_default();
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: job.uid.clone(), resource_version: None }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let regarding = object_reference(cron_job);
        match self.api::<Job>(cron_job).delete(name, &params).await {
            Err(error) if write::is_race(&error) => Ok(()),
            Err(error) => {
                let message = format!("Deleted job: {}", write::message(&error));
                self.recorder.record(&regarding, EventType::Warning, "FailedDelete", message);
                Err(error)
            }
            Ok(()) => {
                self.recorder.record(&regarding, EventType::Normal, "SuccessfulDelete", format!("Deleted job {name}"));
                Ok(())
            }
        }
    }

    /// Writes the status if it changed, over no other one.
    async fn write_status(&self, key: &ObjectKey, cron_job: &CronJob, status: &CronJobStatus) -> Result<(), Error> {
        let old = cron_job.status.clone().unwrap_or_default();
        if *status == old {
            return Ok(());
        }
        let mut patch = write::status_patch(cron_job.metadata.uid.as_deref(), &old, status);
        patch["metadata"]["resourceVersion"] = cron_job.metadata.resource_version.clone().into();
        let api: Api<CronJob> = self.api(cron_job);
        let written = api.patch_status(&key.name, &write::patch_params(), &Patch::Merge(patch)).await;
        self.written.stored(key, &written.map_err(failed("writing the status"))?);
        Ok(())
    }

    /// The objects of a kind beside the cron job.
    fn api<K>(&self, cron_job: &CronJob) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = api_types::k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), cron_job.metadata.namespace.as_deref().unwrap_or_default())
    }
}
