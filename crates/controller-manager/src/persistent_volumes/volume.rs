//! What becomes of a volume. Pure.

use api_types::core::PersistentVolumeClaim;
use component::volumes::{PROVISIONED_BY, Volume, annotation, volume_mode, volume_name};

use super::Note;

const RELEASED: &str = "Released";
const FAILED: &str = "Failed";

/// What becomes of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in this phase.
    Phase(&'static str),
    /// It cannot be had again by itself, for this reason.
    Failed(Note),
    /// It is let go by a claim that has another.
    Unbind,
    /// Its claim is to take it; claims look at volumes when these change.
    Await,
    /// Both cannot come together: what to tell of the volume, and of the claim.
    Mismatch(Note, Note),
    /// It stays as it is.
    Leave,
}

/// Decides about a volume and the claim that it is set aside for, which is `None` when there is none of that uid any more.
pub(super) fn judge(volume: &Volume, claim: Option<&PersistentVolumeClaim>) -> Verdict {
    let Some(reference) = volume.spec.claim_ref.as_deref() else { return Verdict::Phase("Available") };
    if reference.uid.as_deref().unwrap_or_default().is_empty() {
        return Verdict::Phase("Available");
    }
    let Some(claim) = claim else { return released(volume) };
    if volume_name(claim) == volume.name() {
        return Verdict::Phase("Bound");
    }
    if !volume_name(claim).is_empty() {
        let is_made = annotation(&volume.metadata, PROVISIONED_BY).is_some();
        let goes = volume.spec.persistent_volume_reclaim_policy == "Delete";
        return if is_made && goes { released(volume) } else { Verdict::Unbind };
    }
    if volume.mode() != volume_mode(claim) {
        return mismatch(volume, claim);
    }
    Verdict::Await
}

/// Nobody has it any more.
fn released(volume: &Volume) -> Verdict {
    if !matches!(volume.status.phase.as_str(), RELEASED | FAILED) {
        return Verdict::Phase(RELEASED);
    }
    let name = volume.name();
    match volume.spec.persistent_volume_reclaim_policy.as_str() {
        // Who made it takes it away.
        "Delete" if annotation(&volume.metadata, PROVISIONED_BY).is_some() => Verdict::Leave,
        "Delete" => {
            let why = "no deletable volume plugin matched";
            let message = format!("error getting deleter volume plugin for volume {name:?}: {why}");
            Verdict::Failed(Note::warning("VolumeFailedDelete", message))
        }
        "Recycle" => Verdict::Failed(Note::warning("VolumeFailedRecycle", "No recycler plugin found for the volume!")),
        _ => Verdict::Leave,
    }
}

fn mismatch(volume: &Volume, claim: &PersistentVolumeClaim) -> Verdict {
    let (name, claim) = (volume.name(), claim.metadata.name.as_deref().unwrap_or_default());
    let of_volume = format!(
        "Cannot bind PersistentVolume to requested PersistentVolumeClaim {claim:?} due to incompatible volumeMode."
    );
    let of_claim = format!(
        "Cannot bind PersistentVolume {name:?} to requested PersistentVolumeClaim {claim:?} due to incompatible volumeMode."
    );
    Verdict::Mismatch(Note::warning("VolumeMismatch", of_volume), Note::warning("VolumeMismatch", of_claim))
}
