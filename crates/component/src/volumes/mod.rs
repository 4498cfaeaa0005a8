//! Persistent volumes, claims and storage classes: what is read of them by those who bring them together, the words that
//! they leave there for each other, and which volume a claim may have.

pub mod local;
pub mod matching;
mod model;

use std::{cmp::Reverse, sync::Arc};

use api_types::{
    core::{ObjectReference, PersistentVolumeClaim},
    meta::ObjectMeta,
};
use serde_json::{Value, json};

pub use model::{Class, Csi, Topology, TopologyTerm, Volume, VolumeSpec, VolumeStatus};

/// On a claim: both sides of its binding are written.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a volume or a claim: it was chosen by the controller, not by whoever made the object.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// What these annotations say.
pub const YES: &str = "yes";
/// On a volume: who made it for a claim, and takes it away.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a claim: who is to make a volume for it.
pub const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same, as older provisioners read it.
pub const BETA_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// On a claim: the node on which the scheduler wants its volume.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The class, before there was a field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// On a class: claims without a class get this one.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// A provisioner of this name never makes anything.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The name of what counts as a volume's size.
pub const STORAGE: &str = "storage";
/// The mode of volumes that do not say.
const FILESYSTEM: &str = "Filesystem";

/// The value of an annotation.
#[must_use]
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The name of the volume that a claim names; empty when it names none.
#[must_use]
pub fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

/// Whether both sides of a claim's binding are written.
#[must_use]
pub fn is_fully_bound(claim: &PersistentVolumeClaim) -> bool {
    !volume_name(claim).is_empty() && annotation(&claim.metadata, BIND_COMPLETED).is_some()
}

/// The phase of a claim; empty when it has none.
#[must_use]
pub fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The access modes that a claim asks for.
#[must_use]
pub fn access_modes(claim: &PersistentVolumeClaim) -> &[String] {
    claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

/// `Filesystem` or `Block`.
#[must_use]
pub fn volume_mode(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or(FILESYSTEM)
}

/// The class that a claim names; `None` when it leaves that to others, which is not the same as the empty name.
#[must_use]
pub fn named_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let field = || claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&claim.metadata, BETA_CLASS).or_else(field)
}

/// The class of a claim; empty when it has none.
#[must_use]
pub fn class_of(claim: &PersistentVolumeClaim) -> &str {
    named_class(claim).unwrap_or_default()
}

/// Whether a volume is set aside for a claim: by name, and by uid as soon as one stands there.
#[must_use]
pub fn is_for(volume: &Volume, claim: &PersistentVolumeClaim) -> bool {
    let Some(reference) = volume.spec.claim_ref.as_deref() else { return false };
    let uid = reference.uid.as_deref().unwrap_or_default();
    reference.name == claim.metadata.name
        && reference.namespace == claim.metadata.namespace
        && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

/// The reference that a volume has to its claim.
#[must_use]
pub fn claim_reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// The patch that sets a volume aside for a claim, and for no other of its name; `None` when it is so. It is refused when the
/// volume has changed since it was read, so that of two claims that want it one gets it.
#[must_use]
pub fn set_aside(volume: &Volume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let owner = volume.spec.claim_ref.as_deref();
    let has_uid = owner.is_some_and(|own| own.uid.as_deref().is_some_and(|uid| !uid.is_empty()));
    if is_for(volume, claim) && has_uid {
        return None;
    }
    let reference = claim_reference(claim);
    let reference = json!({
        "apiVersion": reference.api_version, "kind": reference.kind, "namespace": reference.namespace,
        "name": reference.name, "uid": reference.uid, "resourceVersion": reference.resource_version,
    });
    let metadata = json!({"uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version});
    let mut patch = json!({"metadata": metadata, "spec": {"claimRef": reference}});
    // Who set it aside by name wants it so when the claim has gone, too.
    if !is_for(volume, claim) && annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_none() {
        patch["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: YES});
    }
    Some(patch)
}

/// The name of the claim that a pod has for one of its own volumes.
#[must_use]
pub fn ephemeral_claim_name(pod: &str, volume: &str) -> String {
    format!("{pod}-{volume}")
}

/// Whether a claim was made for the pod of this uid.
#[must_use]
pub fn is_made_for(claim: &PersistentVolumeClaim, pod_uid: &str) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == pod_uid)
}

/// The class of claims that name none: of several the newest, of those the first by name.
#[must_use]
pub fn default_class(classes: impl IntoIterator<Item = Arc<Class>>) -> Option<Arc<Class>> {
    classes.into_iter().filter(|class| class.is_default()).min_by_key(|class| {
        let created = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (Reverse(created), class.metadata.name.clone())
    })
}
