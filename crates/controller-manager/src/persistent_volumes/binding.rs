//! The steps that bind a volume and a claim to each other. Each follows from what is written already, so that it does not
//! matter who wrote it, and when.

use api_types::{core::PersistentVolumeClaim, quantity::Quantity};
use component::volumes::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, STORAGE, Volume, YES, annotation, phase, set_aside, volume_name,
};
use serde_json::{Value, json};

use crate::write::as_read;

/// The phase of both.
const BOUND: &str = "Bound";
/// On a volume that has grown before its file system has: what there was before.
const SIZE_BEFORE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

/// A write. Patches carry uid and version of what they change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Of the volume.
    Volume(Value),
    /// Of the volume's status.
    VolumeStatus(Value),
    /// Of the claim.
    Claim(Value),
    /// Of the claim's status.
    ClaimStatus(Value),
}

/// What comes next; `None` when the two are bound.
pub(super) fn next(volume: &Volume, claim: &PersistentVolumeClaim) -> Option<Step> {
    if let Some(patch) = set_aside(volume, claim) {
        return Some(Step::Volume(patch));
    }
    if volume.status.phase != BOUND {
        return Some(Step::VolumeStatus(volume_phase(volume, BOUND, "")));
    }
    if let Some(patch) = name(volume, claim) {
        return Some(Step::Claim(patch));
    }
    bound_status(volume, claim).map(Step::ClaimStatus)
}

/// The claim names the volume.
fn name(volume: &Volume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let mut patch = json!({});
    if volume_name(claim) != volume.name() {
        patch["spec"]["volumeName"] = volume.name().into();
        if annotation(&claim.metadata, BOUND_BY_CONTROLLER).is_none() {
            patch["metadata"]["annotations"][BOUND_BY_CONTROLLER] = YES.into();
        }
    }
    if annotation(&claim.metadata, BIND_COMPLETED).is_none() {
        patch["metadata"]["annotations"][BIND_COMPLETED] = YES.into();
    }
    let changes = patch.as_object().is_some_and(|patch| !patch.is_empty());
    changes.then(|| as_read(&claim.metadata, patch))
}

/// The claim's status says what it has. What is said of a size while it is bound is the affair of who makes volumes grow.
fn bound_status(volume: &Volume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let status = claim.status.clone().unwrap_or_default();
    let mut patch = json!({});
    if status.access_modes.as_deref().unwrap_or_default() != volume.spec.access_modes {
        patch["accessModes"] = json!(volume.spec.access_modes);
    }
    if phase(claim) != BOUND {
        patch["phase"] = BOUND.into();
        let before = annotation(&volume.metadata, SIZE_BEFORE).and_then(|size| size.parse::<Quantity>().ok());
        match before {
            Some(before) => patch["capacity"] = json!({STORAGE: before.to_wire()}),
            None => patch["capacity"] = json!(volume.spec.capacity),
        }
    }
    let changes = patch.as_object().is_some_and(|patch| !patch.is_empty());
    changes.then(|| as_read(&claim.metadata, json!({"status": patch})))
}

/// A patch of a volume's phase.
pub(super) fn volume_phase(volume: &Volume, phase: &str, message: &str) -> Value {
    let message = Some(message).filter(|message| !message.is_empty());
    as_read(&volume.metadata, json!({"status": {"phase": phase, "message": message}}))
}

/// A patch of the status of a claim that has no volume, if it says something else.
pub(super) fn unbound_status(claim: &PersistentVolumeClaim, wanted: &str) -> Option<Value> {
    let status = claim.status.clone().unwrap_or_default();
    let says_more = status.access_modes.is_some() || status.capacity.is_some();
    if phase(claim) == wanted && !says_more {
        return None;
    }
    let patch = json!({"status": {"phase": wanted, "accessModes": null, "capacity": null}});
    Some(as_read(&claim.metadata, patch))
}
