//! What becomes of a claim. Pure.

use std::sync::Arc;

use api_types::core::PersistentVolumeClaim;
use component::volumes::{
    BOUND_BY_CONTROLLER, Class, NO_PROVISIONER, SELECTED_NODE, Volume, annotation, class_of, is_for, is_fully_bound,
    matching::{Wanted, mismatch},
    named_class, volume_name,
};

use super::Note;

/// Provisioners of this domain were built in; only those that another driver stands for are left.
const BUILT_IN: &str = "kubernetes.io/";

/// What is known besides the claim.
pub(super) trait World {
    /// A volume by name.
    fn volume(&self, name: &str) -> Option<Arc<Volume>>;
    /// The volumes that are set aside for the claim, by name at least.
    fn set_aside(&self, claim: &PersistentVolumeClaim) -> Vec<Arc<Volume>>;
    /// Volumes of a class that nobody has.
    fn free(&self, class: &str, claim: &PersistentVolumeClaim) -> Vec<Arc<Volume>>;
    /// A class by name.
    fn class(&self, name: &str) -> Option<Arc<Class>>;
    /// The class of claims that name none.
    fn default_class(&self) -> Option<Arc<Class>>;
    /// The pods that use the claim and have no node yet.
    fn waiting_pods(&self, claim: &PersistentVolumeClaim) -> Vec<String>;
    /// Whether volumes are made for claims at all.
    fn provisions(&self) -> bool;
}

/// What becomes of a claim.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It and this volume are bound to each other, or are to be.
    Bind(Arc<Volume>),
    /// It waits, and somebody should know why.
    Wait(Option<Note>),
    /// It gets this class.
    TakeClass(String),
    /// This provisioner is to make a volume.
    Provision(String),
    /// What it was bound to is not to be had any more.
    Lost(Note),
    /// Nothing that could be put right here.
    Leave,
}

/// Decides.
pub(super) fn judge(claim: &PersistentVolumeClaim, world: &impl World) -> Verdict {
    if annotation(&claim.metadata, component::volumes::BIND_COMPLETED).is_some() {
        return bound(claim, world);
    }
    match volume_name(claim) {
        // It is not worth a volume any more.
        _ if claim.metadata.deletion_timestamp.is_some() => Verdict::Leave,
        "" => unbound(claim, world),
        name => wants(claim, name, world),
    }
}

/// The claim was bound once.
fn bound(claim: &PersistentVolumeClaim, world: &impl World) -> Verdict {
    if !is_fully_bound(claim) {
        let message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return Verdict::Lost(Note::warning("ClaimLost", message));
    }
    let Some(volume) = world.volume(volume_name(claim)) else {
        let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
        return Verdict::Lost(Note::warning("ClaimLost", message));
    };
    let owner = volume.spec.claim_ref.as_ref().map(|own| own.uid.as_deref());
    match owner {
        None => Verdict::Bind(volume),
        Some(uid) if uid == claim.metadata.uid.as_deref() => Verdict::Bind(volume),
        Some(None | Some("")) if is_for(&volume, claim) => Verdict::Bind(volume),
        Some(_) => {
            let message = "Two claims are bound to the same volume, this one is bound incorrectly";
            Verdict::Lost(Note::warning("ClaimMisbound", message))
        }
    }
}

/// The claim names a volume that it is not bound to yet.
fn wants(claim: &PersistentVolumeClaim, name: &str, world: &impl World) -> Verdict {
    let Some(volume) = world.volume(name) else { return Verdict::Wait(None) };
    if is_for(&volume, claim) {
        return Verdict::Bind(volume);
    }
    if volume.spec.claim_ref.is_none() {
        if volume.metadata.deletion_timestamp.is_some() {
            // What it stands for may be going already.
            return Verdict::Wait(None);
        }
        return match mismatch(&volume, claim) {
            None => Verdict::Bind(volume),
            Some(why) => {
                let message = format!("Cannot bind to requested volume {name:?}: {why}");
                Verdict::Wait(Some(Note::warning("VolumeMismatch", message)))
            }
        };
    }
    if annotation(&claim.metadata, BOUND_BY_CONTROLLER).is_some() {
        // Somebody took away what says that it was bound: there is no telling whose data that are.
        return Verdict::Leave;
    }
    let message = format!("volume {name:?} already bound to a different claim.");
    Verdict::Wait(Some(Note::warning("FailedBinding", message)))
}

/// The claim takes whatever suits.
fn unbound(claim: &PersistentVolumeClaim, world: &impl World) -> Verdict {
    let wanted = match Wanted::of(claim) {
        Ok(wanted) => wanted,
        Err(error) => {
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let message = format!("error creating internal label selector for claim: {name}: {error}");
            return Verdict::Wait(Some(Note::warning("FailedBinding", message)));
        }
    };
    let set_aside = world.set_aside(claim);
    if let Some(volume) = set_aside.into_iter().filter(|own| is_for(own, claim)).find(|own| wanted.may_keep(own)) {
        return Verdict::Bind(volume);
    }
    let name = class_of(claim);
    let class = world.class(name).filter(|_| !name.is_empty());
    let waits = class.as_ref().is_some_and(|class| class.waits());
    if !waits && let Some(volume) = smallest(&wanted, world.free(name, claim)) {
        return Verdict::Bind(volume);
    }
    if named_class(claim).is_none()
        && let Some(class) = world.default_class()
    {
        return Verdict::TakeClass(class.name().to_owned());
    }
    if waits && annotation(&claim.metadata, SELECTED_NODE).is_none() {
        return Verdict::Wait(Some(first_consumer(&world.waiting_pods(claim))));
    }
    if name.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return Verdict::Wait(Some(Note::normal("FailedBinding", message)));
    }
    if !world.provisions() {
        return Verdict::Wait(None);
    }
    provision(name, class.as_deref())
}

/// The best of the free volumes: with no more access modes than needed, and no larger.
fn smallest(wanted: &Wanted<'_>, free: Vec<Arc<Volume>>) -> Option<Arc<Volume>> {
    let suiting = free.into_iter().filter(|volume| wanted.suits(volume));
    suiting.min_by_key(|volume| (volume.spec.access_modes.len(), volume.size()))
}

fn first_consumer(pods: &[String]) -> Note {
    match pods {
        [] => Note::normal("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        [pod] => Note::normal("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
        pods => Note::normal("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
    }
}

fn provision(name: &str, class: Option<&Class>) -> Verdict {
    let failed = |message: String| Verdict::Wait(Some(Note::warning("ProvisioningFailed", message)));
    match class {
        None => failed(format!("storageclass.storage.k8s.io {name:?} not found")),
        Some(class) if class.provisioner == NO_PROVISIONER || class.provisioner.starts_with(BUILT_IN) => {
            failed(format!("no volume plugin matched name: {}", class.provisioner))
        }
        Some(class) => Verdict::Provision(class.provisioner.clone()),
    }
}
