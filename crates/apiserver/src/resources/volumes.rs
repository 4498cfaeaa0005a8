//! Persistent volumes and claims, and what CSI drivers tell.

use api_types::{
    core::{
        PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedLocalObjectReference,
        TypedObjectReference,
    },
    meta::Time,
    storage::{CSIDriver, CSINode, VolumeAttachment},
};

use crate::registry::{
    Part, TypedStrategy,
    metadata::keep_all,
    shape::{Fresh, Plain, Revised},
    strategy::{BlindUpdate, DeleteAnswer, now},
};

const PENDING: &str = "Pending";

pub(super) struct Volumes;

impl TypedStrategy for Volumes {
    type Kind = PersistentVolume;
    type Shape = Fresh;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut PersistentVolume) {
        let status = new.status.get_or_insert_default();
        status.phase = Some(PENDING.into());
        status.last_phase_transition_time = Some(Time(now()));
    }

    fn prepare_for_part_update(&self, _part: Part, new: &mut PersistentVolume, old: &PersistentVolume) {
        let (Some(status), Some(before)) = (&mut new.status, &old.status) else { return };
        let time = &mut status.last_phase_transition_time;
        if status.phase != before.phase && (time.is_none() || *time == before.last_phase_transition_time) {
            *time = Some(Time(now()));
        }
    }
}

pub(super) struct Claims;

impl TypedStrategy for Claims {
    type Kind = PersistentVolumeClaim;
    type Shape = Fresh;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut PersistentVolumeClaim) {
        new.status.get_or_insert_default().phase = Some(PENDING.into());
        if let Some(spec) = &mut new.spec {
            both_sources(spec);
        }
    }
}

/// A source in the claim's own namespace is told both ways, the old and the new.
fn both_sources(spec: &mut PersistentVolumeClaimSpec) {
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(source), None) => {
            let TypedLocalObjectReference { api_group, kind, name } = source.clone();
            spec.data_source_ref = Some(TypedObjectReference { api_group, kind, name, namespace: None });
        }
        (None, Some(source)) if source.namespace.as_ref().is_none_or(String::is_empty) => {
            let TypedObjectReference { api_group, kind, name, .. } = source.clone();
            spec.data_source = Some(TypedLocalObjectReference { api_group, kind, name });
        }
        _ => {}
    }
}

pub(super) struct CsiDrivers;

impl TypedStrategy for CsiDrivers {
    type Kind = CSIDriver;
    type Shape = Revised;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;
}

pub(super) struct CsiNodes;

impl TypedStrategy for CsiNodes {
    type Kind = CSINode;
    type Shape = Plain;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;
}

pub(super) struct Attachments;

impl TypedStrategy for Attachments {
    type Kind = VolumeAttachment;
    type Shape = Fresh;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_part_update(&self, _part: Part, new: &mut VolumeAttachment, old: &VolumeAttachment) {
        keep_all(&mut new.metadata, &old.metadata);
    }
}
