//! Deployments: replica sets that replace one another.

mod events;
mod plan;
mod revision;
mod status;
mod sync;

use std::sync::Arc;

use api_types::{
    apps::{Deployment, DeploymentStatus, ReplicaSet},
    jiff::Timestamp,
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{Client, api::Patch};

use self::{
    plan::{OldPods, Scale, Strategy},
    revision::{Sets, observe},
};
use crate::{
    context::Context,
    controllers::Run,
    ownership::{self, Claims, OwnerError as Error, failed, object_reference},
    pod_state,
    slim::{BY_CONTROLLER, Pod},
    write,
};

/// The controller of deployments.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let sets = context
        .informer::<ReplicaSet>()
        .with_index(BY_CONTROLLER, |set| vec![ownership::controller_index(&set.metadata)]);
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        deployments: context.informer(),
        sets,
        pods: context.informer(),
        recorder: context.recorder("deployment-controller"),
    });
    let queue = WorkQueue::new();
    events::subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.deployment;
    Some(Box::new(move || {
        queue.run(&daemon, "deployment", workers, move |key| {
            let controller = Arc::clone(&controller);
            // Holds whole objects while it writes, so it is kept off the worker's stack.
            async move { write::settle_races(Box::pin(controller.reconcile(&key)).await) }
        });
    }))
}

struct Controller {
    client: Client,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    recorder: Recorder,
}

/// What one pass over a deployment works with.
struct Pass {
    deployment: Arc<Deployment>,
    sets: Sets,
    /// `spec.paused`.
    paused: bool,
    now: Timestamp,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(deployment) = self.deployments.store().get(key) else { return Ok(Outcome::Done) };
        let selector = Selector::from_label_selector(deployment.spec.as_ref().map(|spec| &spec.selector))?;
        if selector.is_everything() {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            let regarding = object_reference(&*deployment);
            self.recorder.record(&regarding, EventType::Warning, "SelectingAll", message);
            return Ok(Outcome::Done);
        }
        let sets = self.claim(&deployment, &selector).await?;
        let sets = Sets::sort_out(&deployment, sets);
        let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
        let mut pass = Pass { deployment, sets, paused, now: Timestamp::now() };
        if pass.deployment.metadata.deletion_timestamp.is_some() {
            let status = status::calculate(&pass.deployment, &pass.sets, pass.now);
            return self.write_status(&pass, status).await;
        }
        if self.note_pause(&pass).await? {
            // The status that was written comes back as an event.
            return Ok(Outcome::Done);
        }
        if paused || observe(&pass.deployment, &pass.sets).is_scaling() {
            return self.rescale(&mut pass).await;
        }
        match observe(&pass.deployment, &pass.sets).strategy {
            Strategy::Recreate => self.recreate(&mut pass).await,
            Strategy::RollingUpdate { .. } => self.roll(&mut pass).await,
        }
    }

    /// The deployment's replica sets, after adopting and releasing.
    async fn claim(&self, deployment: &Deployment, selector: &Selector) -> Result<Vec<Arc<ReplicaSet>>, Error> {
        Ok(Claims::new(&self.client, deployment, selector).claim(&self.sets).await?)
    }

    async fn roll(&self, pass: &mut Pass) -> Result<Outcome, Error> {
        if !self.ensure_new_set(pass).await? {
            return Ok(Outcome::Done);
        }
        let steps = observe(&pass.deployment, &pass.sets).roll();
        self.finish_step(pass, &steps).await
    }

    async fn recreate(&self, pass: &mut Pass) -> Result<Outcome, Error> {
        let old_pods = self.old_pods(&pass.sets);
        let down = observe(&pass.deployment, &pass.sets).recreate(OldPods::Running);
        if down.is_empty() && old_pods == OldPods::Gone && !self.ensure_new_set(pass).await? {
            return Ok(Outcome::Done);
        }
        let steps = observe(&pass.deployment, &pass.sets).recreate(old_pods);
        self.finish_step(pass, &steps).await
    }

    /// Whether pods of old templates are still there; finished ones do not count.
    fn old_pods(&self, sets: &Sets) -> OldPods {
        let uids = sets.old.iter().filter_map(|set| set.metadata.uid.as_deref());
        let mut pods = uids.flat_map(|uid| self.pods.store().by_index(BY_CONTROLLER, uid));
        if pods.any(|pod| !pod_state::is_terminal(&pod)) { OldPods::Running } else { OldPods::Gone }
    }

    /// Scales, cleans up when the rollout is complete, and writes the status.
    async fn finish_step(&self, pass: &mut Pass, steps: &[Scale]) -> Result<Outcome, Error> {
        self.scale(pass, steps).await?;
        let complete = status::is_complete(&pass.deployment, &pass.deployment.status.clone().unwrap_or_default());
        if steps.is_empty() && complete {
            self.clean_up(pass).await?;
        }
        let status = status::rollout(&pass.deployment, &pass.sets, pass.now);
        self.write_status(pass, status).await
    }

    async fn rescale(&self, pass: &mut Pass) -> Result<Outcome, Error> {
        if !self.update_new_set(pass).await? {
            return Ok(Outcome::Done);
        }
        let steps = observe(&pass.deployment, &pass.sets).rescale();
        self.scale(pass, &steps).await?;
        if pass.paused {
            self.clean_up(pass).await?;
        }
        let status = status::calculate(&pass.deployment, &pass.sets, pass.now);
        self.write_status(pass, status).await
    }

    /// Writes the status if it differs; asks to come back when the progress deadline passes.
    async fn write_status(&self, pass: &Pass, status: DeploymentStatus) -> Result<Outcome, Error> {
        let deployment = &pass.deployment;
        let old = deployment.status.clone().unwrap_or_default();
        if status != old {
            let patch = Patch::Merge(write::status_patch(deployment.metadata.uid.as_deref(), &old, &status));
            let name = deployment.metadata.name.as_deref().unwrap_or_default();
            let api = self.deployment_api(deployment);
            let written = api.patch_status(name, &write::patch_params(), &patch).await;
            written.map_err(failed("writing the status"))?;
        }
        let next = status::next_judgement(deployment, &status, pass.now);
        Ok(next.map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    fn deployment_api(&self, deployment: &Deployment) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), deployment.metadata.namespace.as_deref().unwrap_or_default())
    }

    fn set_api(&self, deployment: &Deployment) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), deployment.metadata.namespace.as_deref().unwrap_or_default())
    }
}
