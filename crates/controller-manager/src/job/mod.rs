//! Jobs: pods that run until enough of them have succeeded.
//!
//! A pass counts ([`tally`]), decides ([`plan`], [`verdict`]), acts, and writes down what it saw, so that no pod is counted
//! twice or never ([`tracking`]).

mod backoff;
mod events;
mod failure_policy;
mod indexes;
mod memory;
mod plan;
mod pods;
mod success_policy;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod tracking;
mod verdict;

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    batch::{Job, JobStatus},
    jiff::Timestamp,
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::EventType,
};
use futures::{StreamExt, stream};
use kube::api::Patch;

pub(crate) use self::verdict::{finish, is_finished};
use self::{
    memory::Memory,
    plan::{Action, Done, Place},
    tally::Observed,
    terms::{Manager, Terms, manager},
    tracking::{Conclusion, Finished, Turn, release_patch},
    verdict::{End, Verdict},
};
use crate::{
    batch::slow_start,
    context::Context,
    controllers::Run,
    expectations::{Expectations, Waiting},
    ownership::{Claims, OwnerError as Error, controller_of, failed, object_reference},
    pod_control::{Deletion, PodControl},
    pod_events::own_reference,
    pod_state::is_ready,
    slim::Pod,
    write,
    written::Written,
};

/// The finalizer of pods that are still to be counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// So many pods are written at once.
const WRITES_AT_ONCE: usize = 32;

/// The controller of jobs.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        jobs: context.informer(),
        pods: context.informer(),
        control: context.pod_control("job-controller"),
        expectations: Arc::default(),
        memory: Memory::default(),
        written: Written::default(),
    });
    let (jobs, orphans) = (WorkQueue::new(), WorkQueue::new());
    events::subscribe(&controller, &jobs, &orphans);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.job;
    Some(Box::new(move || {
        let this = Arc::clone(&controller);
        orphans.run(&daemon, "job-orphans", 1, move |key| {
            let this = Arc::clone(&this);
            async move { write::settle_races(this.let_orphan_go(&key).await) }
        });
        jobs.run(&daemon, "job", workers, move |key| {
            let controller = Arc::clone(&controller);
            // Holds whole objects while it writes, so it is kept off the worker's stack.
            async move { write::settle_races(Box::pin(controller.reconcile(&key)).await) }
        });
    }))
}

struct Controller {
    jobs: Informer<Job>,
    pods: Informer<Pod>,
    control: PodControl,
    expectations: Arc<Expectations>,
    memory: Memory,
    /// Statuses that the cache does not show yet.
    written: Written,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(job) = self.jobs.store().get(key) else { return Ok(Outcome::Done) };
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        if manager(&job) == Manager::SomebodyElse {
            return Ok(Outcome::Done);
        }
        if is_finished(&job) {
            self.memory.forget(uid);
            return Ok(Outcome::Done);
        }
        // Pods are newer than the status then, and would be missed or counted twice.
        if let Some(wait) = self.written.unseen(key, self.jobs.store()) {
            return Ok(Outcome::RequeueAfter(wait));
        }
        let Some(spec) = &job.spec else { return Ok(Outcome::Done) };
        let Some(terms) = Terms::of(spec) else {
            let message = "Skipped Job sync because completion mode is unknown";
            self.record(&job, EventType::Warning, "UnknownCompletionMode", message);
            return Ok(Outcome::Done);
        };
        // Before the pods are read: what is ticked off afterwards is in the store already.
        let caught_up = self.expectations.waiting(uid) == Waiting::No;
        let Some(pods) = self.claim(&job).await? else { return Ok(Outcome::Done) };
        let with_finalizer = pods.iter().filter(|pod| pod.has_finalizer(TRACKING)).map(|pod| &**pod);
        let observed = Observed {
            job: &job,
            terms,
            released: self.memory.released(uid, with_finalizer),
            caught_up,
            failures: self.memory.failures(uid),
            now: Timestamp::now(),
            pods,
        };
        self.bring_on(key, &observed).await
    }

    /// One pass: counts, decides, acts, and writes down what was seen.
    async fn bring_on(&self, key: &ObjectKey, observed: &Observed<'_>) -> Result<Outcome, Error> {
        let tally = tally::tally(observed);
        let plan = plan::plan(observed, &tally);
        let next = plan.next;
        let (done, acted) = self.carry_out(observed.job, &plan.action).await;
        let failures = tally.failures;
        let conclusion = tracking::conclude(observed, &tally, plan, done);
        let base = self.write_status(key, observed.job, &conclusion.status).await?;
        if let Some(turn) = conclusion.turn {
            self.tell_turn(observed.job, turn);
        }
        self.memory.note_failures(observed.job.metadata.uid.as_deref().unwrap_or_default(), failures);
        let (released, release) = self.release(observed.job, &conclusion).await;
        let (status, finished) = conclusion.settle(&released, observed);
        self.write_status(key, &base, &status).await?;
        if let (Finished::Yes, Some(verdict)) = (finished, &conclusion.verdict) {
            self.tell_end(observed, &status, verdict);
        }
        release?;
        acted?;
        let waiting = match self.expectations.waiting(observed.job.metadata.uid.as_deref().unwrap_or_default()) {
            Waiting::For(rest) => Some(rest),
            Waiting::No => None,
        };
        Ok([next, waiting].into_iter().flatten().min().map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    /// The job's pods, after adopting and releasing; `None` when one was adopted just now and has to be seen as it is
    /// then, with its finalizer.
    async fn claim(&self, job: &Job) -> Result<Option<Vec<Arc<Pod>>>, Error> {
        let selector = Selector::from_label_selector(job.spec.as_ref().and_then(|spec| spec.selector.as_ref()))?;
        let claims = Claims { finalizer: Some(TRACKING), ..Claims::new(&self.control.client, job, &selector) };
        let pods = claims.claim(&self.pods).await?;
        let adopted = pods.iter().any(|pod| controller_of(&pod.metadata).is_none());
        Ok((!adopted).then_some(pods))
    }

    /// Does what was planned, as far as the server lets it.
    async fn carry_out(&self, job: &Job, action: &Action) -> (Done, Result<(), Error>) {
        match action {
            Action::Nothing => (Done::default(), Ok(())),
            Action::Create(places) => self.create(job, places).await,
            Action::End(pods) => self.delete(job, pods, Counted::Yes).await,
            Action::Delete(pods) => self.delete(job, pods, Counted::No).await,
        }
    }

    async fn create(&self, job: &Job, places: &[Place]) -> (Done, Result<(), Error>) {
        let (uid, regarding) = (job.metadata.uid.as_deref().unwrap_or_default(), object_reference(job));
        self.expectations.expect_creations(uid, places.len());
        let started = slow_start(places.len(), async |index: usize| {
            self.control.create(&regarding, &pods::pod_for(job, places[index])).await.map(drop)
        })
        .await;
        for _ in started.succeeded..places.len() {
            self.expectations.creation_observed(uid);
        }
        let result = match started.error {
            // Nothing more is wanted here.
            Some(error) if write::is_namespace_terminating(&error) => Ok(()),
            Some(error) => Err(failed("creating pods")(error)),
            None => Ok(()),
        };
        (Done { created: started.succeeded, ..Done::default() }, result)
    }

    /// Deletes pods, of which those that are not to be counted lose their finalizer before.
    async fn delete(&self, job: &Job, pods: &[Arc<Pod>], counted: Counted) -> (Done, Result<(), Error>) {
        let (uid, regarding) = (job.metadata.uid.as_deref().unwrap_or_default(), object_reference(job));
        // At the end nothing is created any more; whether all that was created is seen must not be forgotten.
        if counted == Counted::No {
            self.expectations.expect_deletions(uid, pods.iter().map(|pod| pod.uid().to_owned()));
        }
        let delete = async |pod: &Arc<Pod>| {
            let let_go = if counted == Counted::No { self.take_finalizer(pod).await } else { Ok(()) };
            let deleted = match let_go {
                Ok(()) => self.control.delete(&regarding, pod).await,
                Err(error) => Err(error),
            };
            if !matches!(deleted, Ok(Deletion::Begun)) {
                self.expectations.deletion_observed(uid, pod.uid());
            }
            (deleted, is_ready(pod))
        };
        let results: Vec<_> = stream::iter(pods).map(delete).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let gone = results.iter().filter(|(deleted, _)| deleted.is_ok());
        let deleted_ready = gone.clone().filter(|(_, ready)| *ready).count();
        let done = Done { deleted: gone.count(), deleted_ready, ..Done::default() };
        let error = results.into_iter().find_map(|(deleted, _)| deleted.err());
        (done, error.map_or(Ok(()), |error| Err(failed("deleting pods")(error))))
    }

    /// Takes the finalizer from the pods that the status notes. Says which have lost it.
    async fn release(&self, job: &Job, conclusion: &Conclusion) -> (BTreeSet<String>, Result<(), Error>) {
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let release = async |pod: &Arc<Pod>| {
            let released = self.take_finalizer(pod).await;
            if released.is_ok() {
                self.memory.note_release(uid, pod.uid());
            }
            released.map(|()| pod.uid().to_owned())
        };
        let release = stream::iter(&conclusion.release).map(release).buffer_unordered(WRITES_AT_ONCE);
        let results: Vec<Result<String, kube::Error>> = release.collect().await;
        let (released, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        let error = refused.into_iter().find_map(Result::err);
        let result = error.map_or(Ok(()), |error| Err(failed("taking a pod's finalizer away")(error)));
        (released.into_iter().flatten().collect(), result)
    }

    /// A pod that is gone has no finalizer.
    async fn take_finalizer(&self, pod: &Pod) -> Result<(), kube::Error> {
        if !pod.has_finalizer(TRACKING) {
            return Ok(());
        }
        let key = pod.key();
        let api: Api<Pod> = Api::namespaced(self.control.client.clone(), &key.namespace);
        match api.patch(&key.name, &write::patch_params(), &Patch::Strategic(release_patch(pod))).await {
            Err(error) if write::code(&error) == Some(404) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Writes the status if it changed, over no other one; returns the job as it is then.
    async fn write_status(&self, key: &ObjectKey, job: &Job, status: &JobStatus) -> Result<Job, Error> {
        let old = job.status.clone().unwrap_or_default();
        if *status == old {
            return Ok(job.clone());
        }
        let mut patch = write::status_patch(job.metadata.uid.as_deref(), &old, status);
        patch["metadata"]["resourceVersion"] = job.metadata.resource_version.clone().into();
        let api: Api<Job> = Api::namespaced(self.control.client.clone(), &key.namespace);
        let written = api.patch_status(&key.name, &write::patch_params(), &Patch::Merge(patch)).await;
        let job = written.map_err(failed("writing the status"))?;
        self.written.stored(key, &job);
        Ok(job)
    }

    /// Takes the finalizer from a pod that no job will count.
    async fn let_orphan_go(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(pod) = self.pods.store().get(key).filter(|pod| self.is_orphan(pod)) else { return Ok(Outcome::Done) };
        // A cache that lacks the job may lag behind that of pods.
        if let Some(owner) = own_reference::<Job>(&pod.metadata) {
            let jobs: Api<Job> = Api::namespaced(self.control.client.clone(), &key.namespace);
            let live = jobs.get_opt(&owner.name).await.map_err(failed("looking at a job"))?;
            let own = live.filter(|live| live.metadata.uid.as_deref() == Some(owner.uid.as_str()));
            if own.is_some_and(|job| !is_finished(&job)) {
                return Ok(Outcome::Done);
            }
        }
        self.take_finalizer(&pod).await.map_err(failed("taking an orphan's finalizer away"))?;
        Ok(Outcome::Done)
    }

    fn record(&self, job: &Job, kind: EventType, reason: &str, message: &str) {
        self.control.recorder.record(&object_reference(job), kind, reason, message);
    }

    fn tell_turn(&self, job: &Job, turn: Turn) {
        match turn {
            Turn::Suspended => self.record(job, EventType::Normal, "Suspended", "Job suspended"),
            Turn::Resumed => self.record(job, EventType::Normal, "Resumed", "Job resumed"),
        }
    }

    fn tell_end(&self, observed: &Observed<'_>, status: &JobStatus, verdict: &Verdict) {
        let job = observed.job;
        match verdict.end {
            End::Failure => self.record(job, EventType::Warning, &verdict.reason, &verdict.message),
            End::Success => {
                if observed.terms.completions.is_some_and(|wanted| status.succeeded.unwrap_or(0) > wanted) {
                    let message = "Too many succeeded pods running after completion count reached";
                    self.record(job, EventType::Warning, "TooManySucceededPods", message);
                }
                self.record(job, EventType::Normal, "Completed", "Job completed");
            }
        }
    }
}

/// Whether a pod that is deleted counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// It does.
    Yes,
    /// It does not.
    No,
}
