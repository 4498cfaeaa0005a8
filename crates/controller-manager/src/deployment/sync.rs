//! The writes of a rollout.

use std::{collections::BTreeMap, sync::Arc};

use api_types::apps::{Deployment, DeploymentStatus, ReplicaSet};
use component::recorder::EventType;
use kube::api::{DeleteParams, Patch, Preconditions};
use serde_json::json;

use super::{
    Controller, Error, Pass, failed,
    plan::{Scale, on_wire},
    revision::{self, REVISION, observe},
    status::{self, PROGRESSING},
};
use crate::{
    ownership::{controller_of, object_reference},
    pod_template::template_hash,
    write,
};

impl Controller {
    /// Makes sure that the current template has its set, with its annotations. `false` when
    /// something was written that has to come back through the informers first.
    pub(super) async fn ensure_new_set(&self, pass: &mut Pass) -> Result<bool, Error> {
        if pass.sets.new.is_some() {
            return self.update_new_set(pass).await;
        }
        let collisions = pass.deployment.status.as_ref().and_then(|status| status.collision_count);
        let template = pass.deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let set = revision::new_replica_set(&pass.deployment, &pass.sets, &template_hash(&template, collisions));
        let name = set.metadata.name.clone().unwrap_or_default();
        match self.set_api(&pass.deployment).create(&write::post_params(), &set).await {
            Ok(created) => {
                let size = created.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
                if size > 0 {
                    self.record_scale(&pass.deployment, &Scale { name: name.clone(), from: 0, to: size.into() });
                }
                self.write_revision(&pass.deployment, &created).await?;
                pass.sets.new = Some(Arc::new(created));
                let message = format!("Created new replica set {name:?}");
                self.note_progress(pass, "True", status::NEW_SET_CREATED, message).await?;
                Ok(true)
            }
            Err(error) if write::code(&error) == Some(409) => self.resolve_collision(pass, &name).await,
            Err(error) if write::is_namespace_terminating(&error) => Ok(false),
            Err(error) => {
                let message = format!("Failed to create new replica set {name:?}: {}", write::message(&error));
                let regarding = object_reference(&*pass.deployment);
                self.recorder.record(&regarding, EventType::Warning, status::CREATE_ERROR, message.clone());
                self.note_progress(pass, "False", status::CREATE_ERROR, message).await?;
                Err(failed("creating the new replica set")(error))
            }
        }
    }

    /// The name is taken: by our own set that the cache lacks, or by another template whose hash
    /// collides, and then the next hash is tried.
    async fn resolve_collision(&self, pass: &mut Pass, name: &str) -> Result<bool, Error> {
        let live = self.set_api(&pass.deployment).get_opt(name).await.map_err(failed("reading a replica set"))?;
        let Some(live) = live else { return Ok(false) };
        let ours = controller_of(&live.metadata)
            .is_some_and(|owner| Some(&owner.uid) == pass.deployment.metadata.uid.as_ref());
        if ours && revision::has_template_of(&live, &pass.deployment) {
            pass.sets.new = Some(Arc::new(live));
            return Ok(true);
        }
        let mut status = pass.deployment.status.clone().unwrap_or_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0).saturating_add(1));
        self.write_status(pass, status).await?;
        Ok(false)
    }

    /// Brings the new set's annotations up to date, and the deployment's revision.
    pub(super) async fn update_new_set(&self, pass: &mut Pass) -> Result<bool, Error> {
        let Some(new) = pass.sets.new.clone() else { return Ok(true) };
        let deployment = Arc::clone(&pass.deployment);
        let next = pass.sets.next_revision();
        let missing = revision::missing_annotations(&deployment, new.metadata.annotations.as_ref(), next);
        let min_ready_seconds = deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let ready_differs = new.spec.as_ref().and_then(|spec| spec.min_ready_seconds) != min_ready_seconds;
        if !missing.is_empty() || ready_differs {
            let patch = json!({
                "metadata": {"resourceVersion": new.metadata.resource_version, "annotations": missing},
                "spec": {"minReadySeconds": min_ready_seconds},
            });
            pass.sets.new = Some(self.patch_set(&deployment, &new, &patch).await?);
        }
        if let Some(new) = &pass.sets.new {
            self.write_revision(&deployment, new).await?;
            if status::condition(&deployment.status.clone().unwrap_or_default(), PROGRESSING).is_none() {
                let message = format!("Found new replica set {:?}", new.metadata.name.as_deref().unwrap_or_default());
                self.note_progress(pass, "True", status::FOUND_NEW_SET, message).await?;
            }
        }
        Ok(true)
    }

    /// The deployment's own revision is that of its new set. Written through the status, since a new
    /// annotation would otherwise raise the generation.
    async fn write_revision(&self, deployment: &Deployment, new: &ReplicaSet) -> Result<(), Error> {
        let revision = new.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
        let current = deployment.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
        if revision.is_none() || revision == current {
            return Ok(());
        }
        let patch = json!({"metadata": {"uid": deployment.metadata.uid, "annotations": {REVISION: revision}}});
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        let api = self.deployment_api(deployment);
        let written = api.patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(drop).map_err(failed("writing the revision"))
    }

    /// Writes the Progressing condition, and carries on with it.
    async fn note_progress(&self, pass: &mut Pass, status: &str, reason: &str, message: String) -> Result<(), Error> {
        if status::progress_deadline(&pass.deployment).is_none() {
            return Ok(());
        }
        let mut new = pass.deployment.status.clone().unwrap_or_default();
        status::set_condition(&mut new, status::new_condition(PROGRESSING, status, reason, message, pass.now));
        self.write_status(pass, new.clone()).await?;
        let mut deployment: Deployment = (*pass.deployment).clone();
        deployment.status = Some(new);
        pass.deployment = Arc::new(deployment);
        Ok(())
    }

    /// Shows in the Progressing condition that the deployment was paused or resumed; `true` when
    /// that was news.
    pub(super) async fn note_pause(&self, pass: &Pass) -> Result<bool, Error> {
        let old = pass.deployment.status.clone().unwrap_or_default();
        let reason = status::condition(&old, PROGRESSING).and_then(|condition| condition.reason.as_deref());
        let (reason, message) = match (pass.paused, reason == Some(status::PAUSED)) {
            // A timeout stays to be seen.
            (true, false) if reason != Some("ProgressDeadlineExceeded") => (status::PAUSED, "Deployment is paused"),
            (false, true) => (status::RESUMED, "Deployment is resumed"),
            _ => return Ok(false),
        };
        if status::progress_deadline(&pass.deployment).is_none() {
            return Ok(false);
        }
        let mut new: DeploymentStatus = old;
        status::set_condition(&mut new, status::new_condition(PROGRESSING, "Unknown", reason, message, pass.now));
        self.write_status(pass, new).await?;
        Ok(true)
    }

    /// Scales sets, and notes in all that have pods for which size of the deployment that was.
    pub(super) async fn scale(&self, pass: &mut Pass, steps: &[Scale]) -> Result<(), Error> {
        let deployment = Arc::clone(&pass.deployment);
        let annotations = revision::size_annotations(&observe(&deployment, &pass.sets));
        for set in pass.sets.new.iter_mut().chain(&mut pass.sets.old) {
            let step = steps.iter().find(|step| set.metadata.name.as_ref() == Some(&step.name));
            let size = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            if step.is_none() && (size == 0 || has_annotations(set, &annotations)) {
                continue;
            }
            let to = step.map_or(size, |step| on_wire(step.to));
            let patch = json!({
                "metadata": {"resourceVersion": set.metadata.resource_version, "annotations": annotations},
                "spec": {"replicas": to},
            });
            *set = self.patch_set(&deployment, set, &patch).await?;
            if let Some(step) = step {
                self.record_scale(&deployment, step);
            }
        }
        Ok(())
    }

    fn record_scale(&self, deployment: &Deployment, step: &Scale) {
        let direction = if step.to > step.from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {} to {}", step.name, step.from, step.to);
        self.recorder.record(&object_reference(deployment), EventType::Normal, "ScalingReplicaSet", message);
    }

    async fn patch_set(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        patch: &serde_json::Value,
    ) -> Result<Arc<ReplicaSet>, Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let api = self.set_api(deployment);
        let patched = api.patch(name, &write::patch_params(), &Patch::Merge(patch)).await;
        patched.map(Arc::new).map_err(failed("updating a replica set"))
    }

    /// Deletes old sets beyond the history limit.
    pub(super) async fn clean_up(&self, pass: &Pass) -> Result<(), Error> {
        let api = self.set_api(&pass.deployment);
        for set in revision::superfluous(&pass.deployment, &pass.sets.old) {
            let this_one = Preconditions { uid: set.metadata.uid.clone(), resource_version: None };
            let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
            match api.delete(set.metadata.name.as_deref().unwrap_or_default(), &parameters).await {
                Err(error) if !write::is_race(&error) => return Err(failed("deleting an old replica set")(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn has_annotations(set: &ReplicaSet, wanted: &BTreeMap<String, String>) -> bool {
    let annotations = set.metadata.annotations.as_ref();
    wanted.iter().all(|(key, value)| annotations.and_then(|annotations| annotations.get(key)) == Some(value))
}
