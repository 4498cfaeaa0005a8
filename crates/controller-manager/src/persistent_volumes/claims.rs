//! Carries out what becomes of a claim.

use std::sync::Arc;

use api_types::core::PersistentVolumeClaim;
use component::{
    informer::ObjectKey,
    queue::Outcome,
    volumes::{BETA_PROVISIONER, Class, PROVISIONER, Volume, annotation, default_class, phase},
};
use kube::api::Patch;
use serde_json::json;

use super::{
    BY_CLAIM, Controller, FREE, Note,
    binding::{self, Step, unbound_status},
    claim::{Verdict, World, judge},
};
use crate::{
    slim::Pod,
    step::{Error, failed},
    write,
};

/// More writes than this no binding needs; whoever needs more is written to by somebody else, too.
const MOST_STEPS: usize = 8;
const PENDING: &str = "Pending";
const LOST: &str = "Lost";

impl Controller {
    pub(super) async fn reconcile_claim(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(claim) = self.claims.store().get(key) else { return Ok(Outcome::Done) };
        match judge(&claim, self) {
            Verdict::Leave => {}
            Verdict::Bind(volume) => return self.bind(&volume, &claim).await,
            Verdict::Wait(note) => {
                if let Some(note) = note {
                    self.tell(&*claim, &note);
                }
                self.be_unbound(&claim, PENDING).await?;
            }
            Verdict::Lost(note) => {
                if phase(&claim) != LOST {
                    self.be_unbound(&claim, LOST).await?;
                    self.tell(&*claim, &note);
                }
            }
            Verdict::TakeClass(name) => {
                self.patch_claim(&claim, json!({"spec": {"storageClassName": name}})).await?;
            }
            Verdict::Provision(provisioner) => {
                self.ask(&claim, &provisioner).await?;
                self.be_unbound(&claim, PENDING).await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Writes what is missing of a binding, one after the other.
    async fn bind(&self, volume: &Arc<Volume>, claim: &Arc<PersistentVolumeClaim>) -> Result<Outcome, Error> {
        let (mut volume, mut claim) = (Arc::clone(volume), Arc::clone(claim));
        let uid = claim.metadata.uid.clone().unwrap_or_default();
        if !self.taken.take(volume.name(), &uid) {
            // Another claim's, which the informer will show.
            return Ok(Outcome::RequeueAfter(write::AFTER_RACE));
        }
        for _ in 0..MOST_STEPS {
            let Some(step) = binding::next(&volume, &claim) else { break };
            let done = self.take_step(step, &mut volume, &mut claim).await;
            if done.is_err() {
                self.taken.give_back(volume.name());
            }
            done?;
        }
        self.taken.written(&volume, || self.volumes.store().get(&ObjectKey::of(&*volume)));
        Ok(Outcome::Done)
    }

    async fn take_step(
        &self,
        step: Step,
        volume: &mut Arc<Volume>,
        claim: &mut Arc<PersistentVolumeClaim>,
    ) -> Result<(), Error> {
        let parameters = write::patch_params();
        let volumes = self.volumes_api();
        let claims = self.claims_api(claim.metadata.namespace.as_deref().unwrap_or_default());
        let claim_name = claim.metadata.name.clone().unwrap_or_default();
        match step {
            Step::Volume(patch) => {
                let written = volumes.patch(volume.name(), &parameters, &Patch::Merge(patch)).await;
                *volume = Arc::new(written.map_err(failed("setting a volume aside for a claim"))?);
            }
            Step::VolumeStatus(patch) => {
                let written = volumes.patch_status(volume.name(), &parameters, &Patch::Merge(patch)).await;
                *volume = Arc::new(written.map_err(failed("writing a volume's phase"))?);
            }
            Step::Claim(patch) => {
                let written = claims.patch(&claim_name, &parameters, &Patch::Merge(patch)).await;
                *claim = Arc::new(written.map_err(failed("naming a claim's volume"))?);
            }
            Step::ClaimStatus(patch) => {
                let written = claims.patch_status(&claim_name, &parameters, &Patch::Merge(patch)).await;
                *claim = Arc::new(written.map_err(failed("writing a claim's status"))?);
            }
        }
        Ok(())
    }

    async fn be_unbound(&self, claim: &PersistentVolumeClaim, phase: &str) -> Result<(), Error> {
        let Some(patch) = unbound_status(claim, phase) else { return Ok(()) };
        let claims = self.claims_api(claim.metadata.namespace.as_deref().unwrap_or_default());
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let written = claims.patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(drop).map_err(failed("writing a claim's status"))
    }

    async fn patch_claim(&self, claim: &PersistentVolumeClaim, patch: serde_json::Value) -> Result<(), Error> {
        let claims = self.claims_api(claim.metadata.namespace.as_deref().unwrap_or_default());
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let patch = Patch::Merge(write::as_read(&claim.metadata, patch));
        claims.patch(name, &write::patch_params(), &patch).await.map(drop).map_err(failed("changing a claim"))
    }

    /// Asks a provisioner for a volume, by annotations.
    async fn ask(&self, claim: &PersistentVolumeClaim, provisioner: &str) -> Result<(), Error> {
        let asked = |key| annotation(&claim.metadata, key) == Some(provisioner);
        if !asked(PROVISIONER) || !asked(BETA_PROVISIONER) {
            let annotations = json!({PROVISIONER: provisioner, BETA_PROVISIONER: provisioner});
            // The change brings the claim here once more.
            return self.patch_claim(claim, json!({"metadata": {"annotations": annotations}})).await;
        }
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        self.tell(claim, &Note::normal("ExternalProvisioning", message));
        Ok(())
    }
}

impl World for Controller {
    fn volume(&self, name: &str) -> Option<Arc<Volume>> {
        self.volumes.store().get(&ObjectKey::new("", name))
    }

    fn set_aside(&self, claim: &PersistentVolumeClaim) -> Vec<Arc<Volume>> {
        self.volumes.store().by_index(BY_CLAIM, &ObjectKey::of(claim).to_string())
    }

    fn free(&self, class: &str, claim: &PersistentVolumeClaim) -> Vec<Arc<Volume>> {
        let uid = claim.metadata.uid.as_deref().unwrap_or_default();
        let mut free = self.volumes.store().by_index(FREE, class);
        free.retain(|volume| !self.taken.is_others(volume.name(), uid));
        free
    }

    fn class(&self, name: &str) -> Option<Arc<Class>> {
        self.classes.store().get(&ObjectKey::new("", name))
    }

    fn default_class(&self) -> Option<Arc<Class>> {
        default_class(self.classes.store().list())
    }

    fn waiting_pods(&self, claim: &PersistentVolumeClaim) -> Vec<String> {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let pods = self.pods.store().list_namespace(claim.metadata.namespace.as_deref().unwrap_or_default());
        let waits = |pod: &Arc<Pod>| pod.node_name().is_empty() && pod.wanted_claims().any(|own| own == name);
        pods.into_iter().filter(waits).map(|pod| pod.key().name).collect()
    }

    fn provisions(&self) -> bool {
        self.provisions
    }
}
