//! Carries out what becomes of a volume.

use std::sync::Arc;

use api_types::core::PersistentVolumeClaim;
use component::{
    informer::ObjectKey,
    queue::Outcome,
    volumes::{BOUND_BY_CONTROLLER, Volume, annotation, matching::Wanted},
};
use kube::api::Patch;
use serde_json::json;

use super::{
    Controller, WAITING,
    binding::volume_phase,
    claim_key,
    volume::{Verdict, judge},
};
use crate::{
    step::{Error, failed},
    write,
};

const FAILED: &str = "Failed";

impl Controller {
    pub(super) async fn reconcile_volume(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(volume) = self.volumes.store().get(key) else { return Ok(Outcome::Done) };
        let claim = self.claim_of(&volume).await?;
        match judge(&volume, claim.as_deref()) {
            Verdict::Phase(phase) => {
                self.write_phase(&volume, phase, "").await?;
                self.offer(&volume);
            }
            Verdict::Failed(note) => {
                if volume.status.phase != FAILED {
                    self.write_phase(&volume, FAILED, &note.message).await?;
                    self.tell(&*volume, &note);
                }
            }
            Verdict::Unbind => self.unbind(&volume).await?,
            Verdict::Mismatch(of_volume, of_claim) => {
                self.tell(&*volume, &of_volume);
                if let Some(claim) = claim {
                    self.tell(&*claim, &of_claim);
                }
            }
            Verdict::Await | Verdict::Leave => {}
        }
        Ok(Outcome::Done)
    }

    /// The claim that a volume is set aside for. That there is none is believed of the API server only, before a volume is
    /// given up.
    async fn claim_of(&self, volume: &Volume) -> Result<Option<Arc<PersistentVolumeClaim>>, Error> {
        let Some(reference) = volume.spec.claim_ref.as_deref() else { return Ok(None) };
        let key = claim_key(reference);
        let is_it = |claim: &Arc<PersistentVolumeClaim>| claim.metadata.uid == reference.uid;
        let shown = self.claims.store().get(&key).filter(is_it);
        if shown.is_some() || reference.uid.as_deref().unwrap_or_default().is_empty() {
            return Ok(shown);
        }
        if matches!(volume.status.phase.as_str(), "Released" | FAILED) {
            return Ok(None);
        }
        let claims = self.claims_api(&key.namespace);
        let live = claims.get_opt(&key.name).await.map_err(failed("looking for a volume's claim"))?;
        Ok(live.map(Arc::new).filter(is_it))
    }

    async fn write_phase(&self, volume: &Volume, phase: &str, message: &str) -> Result<(), Error> {
        if volume.status.phase == phase {
            return Ok(());
        }
        let patch = Patch::Merge(volume_phase(volume, phase, message));
        let written = self.volumes_api().patch_status(volume.name(), &write::patch_params(), &patch).await;
        written.map(drop).map_err(failed("writing a volume's phase"))
    }

    /// Queues the claims that a free volume would do for.
    fn offer(&self, volume: &Volume) {
        if volume.spec.claim_ref.is_some() {
            return;
        }
        for claim in self.claims.store().by_index(WAITING, volume.class()) {
            if Wanted::of(&claim).is_ok_and(|wanted| wanted.suits(volume)) {
                self.claim_keys.add(ObjectKey::of(&*claim));
            }
        }
    }

    /// Lets a volume go: whole, or only of this one claim if its name was written there by somebody else.
    async fn unbind(&self, volume: &Volume) -> Result<(), Error> {
        let patch = if annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() {
            json!({"spec": {"claimRef": null}, "metadata": {"annotations": {BOUND_BY_CONTROLLER: null}}})
        } else {
            json!({"spec": {"claimRef": {"uid": null}}})
        };
        let patch = Patch::Merge(write::as_read(&volume.metadata, patch));
        let written = self.volumes_api().patch(volume.name(), &write::patch_params(), &patch).await;
        // What follows from that follows from the change.
        written.map(drop).map_err(failed("letting a volume go"))
    }
}
