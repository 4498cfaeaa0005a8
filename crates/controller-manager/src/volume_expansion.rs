//! Claims that ask for more than their volume has. A local volume has no size but the number that is written of it, so that
//! it grows by being written; for others whoever made them is waited for.

use std::sync::Arc;

use api_types::{
    core::{PersistentVolumeClaim, PersistentVolumeClaimStatus},
    quantity::Quantity,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
    volumes::{PROVISIONED_BY, STORAGE, Volume, annotation, local, matching::requested, phase, volume_name},
};
use kube::{Client, api::Patch};
use serde_json::json;

use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    step::{Error, failed},
    write,
};

/// The controller of claims that grow.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        claims: context.informer(),
        volumes: context.informer(),
        recorder: context.recorder("volume_expand"),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.claims.on_event(move |event| {
        let claim = event.object();
        // It is told once, when it is asked for.
        let asked_before =
            matches!(event, Event::Updated { old, .. } if grows(old) && requested(old) == requested(claim));
        if !matches!(event, Event::Deleted(_)) && grows(claim) && !asked_before {
            keys.add(ObjectKey::of(&**claim));
        }
    });
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "volume_expand", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// Whether a claim has a volume and asks for more. Who may ask is the affair of admission.
fn grows(claim: &PersistentVolumeClaim) -> bool {
    let has = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get(STORAGE));
    let has = has.and_then(|wire| Quantity::try_from(wire).ok());
    phase(claim) == "Bound"
        && claim.metadata.deletion_timestamp.is_none()
        && has.is_some_and(|has| has < requested(claim))
}

struct Controller {
    client: Client,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<Volume>,
    recorder: Recorder,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(claim) = self.claims.store().get(key).filter(|claim| grows(claim)) else { return Ok(Outcome::Done) };
        let Some(volume) = self.volumes.store().get(&ObjectKey::new("", volume_name(&claim))) else {
            return Ok(Outcome::Done);
        };
        let owner = volume.spec.claim_ref.as_ref().and_then(|own| own.uid.as_deref());
        if owner != claim.metadata.uid.as_deref() {
            return Ok(Outcome::Done);
        }
        if annotation(&volume.metadata, PROVISIONED_BY) != Some(local::PROVISIONER) {
            let message = "waiting for an external controller to expand this PVC";
            self.recorder.record(&object_reference(&*claim), EventType::Normal, "ExternalExpanding", message);
            return Ok(Outcome::Done);
        }
        self.grow(&volume, &claim).await?;
        self.recorder.record(
            &object_reference(&*claim),
            EventType::Normal,
            "VolumeResizeSuccessful",
            "Resize volume succeeded",
        );
        Ok(Outcome::Done)
    }

    /// The volume first: the claim says what it has.
    async fn grow(&self, volume: &Volume, claim: &PersistentVolumeClaim) -> Result<(), Error> {
        let size = requested(claim);
        if volume.size() < size {
            let patch = write::as_read(&volume.metadata, json!({"spec": {"capacity": {STORAGE: size.to_wire()}}}));
            let volumes: Api<Volume> = Api::all(self.client.clone());
            let written = volumes.patch(volume.name(), &write::patch_params(), &Patch::Merge(patch)).await;
            written.map_err(failed("writing a volume's size"))?;
        }
        let patch = write::as_read(&claim.metadata, json!({"status": grown(claim.status.as_ref(), size)}));
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let written = claims.patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(drop).map_err(failed("writing a claim's size"))
    }
}

/// The status of a claim that has what it asks for: nothing of it is under way any more.
fn grown(before: Option<&PersistentVolumeClaimStatus>, size: Quantity) -> serde_json::Value {
    let conditions = before.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let others: Vec<_> = conditions.iter().filter(|own| !RESIZING.contains(&own.type_.as_str())).collect();
    let size = json!({STORAGE: size.to_wire()});
    let mut status =
        json!({"capacity": size, "allocatedResources": size, "allocatedResourceStatuses": {STORAGE: null}});
    if others.len() < conditions.len() {
        status["conditions"] = if others.is_empty() { json!(null) } else { json!(others) };
    }
    status
}

/// Conditions of a claim that grows.
const RESIZING: [&str; 4] = ["Resizing", "FileSystemResizePending", "ControllerResizeError", "NodeResizeError"];
