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
            usable_sources(spec);
            both_sources(spec);
        }
    }
}

/// Where volumes are filled from otherwise than from claims and snapshots, the new field says so; what the old one says is
/// left out, as ever. Sources in other namespaces are not served.
fn usable_sources(spec: &mut PersistentVolumeClaimSpec) {
    let elsewhere = |own: &mut TypedObjectReference| own.namespace.as_ref().is_some_and(|own| !own.is_empty());
    spec.data_source_ref.take_if(elsewhere);
    if spec.data_source_ref.is_none() {
        let unknown = |own: &mut TypedLocalObjectReference| {
            let source = (own.api_group.as_deref().unwrap_or_default(), own.kind.as_str());
            !matches!(source, ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot"))
        };
        spec.data_source.take_if(unknown);
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_claim_names_what_can_fill_it() {
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "a"});
        let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "a"});
        let other = json!({"apiGroup": "example.com", "kind": "Backup", "name": "a"});
        let cases = [
            (json!({"dataSource": claim}), (&claim, &claim)),
            (json!({"dataSourceRef": snapshot}), (&snapshot, &snapshot)),
            (json!({"dataSource": other}), (&Value::Null, &Value::Null)),
            (json!({"dataSourceRef": other}), (&other, &other)),
            (
                json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "a", "namespace": "b"}}),
                (&Value::Null, &Value::Null),
            ),
        ];
        for (spec, expected) in cases {
            let mut new: PersistentVolumeClaim = serde_json::from_value(json!({"spec": spec})).unwrap();
            Claims.prepare_for_create(&mut new);
            let spec = serde_json::to_value(new.spec).unwrap();
            assert_eq!((&spec["dataSource"], &spec["dataSourceRef"]), expected);
        }
    }
}
