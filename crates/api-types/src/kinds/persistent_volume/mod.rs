//! `v1.PersistentVolume`.

mod sources;

use serde_json::Value;

use super::persistent_volume_claim::CLASS_ANNOTATION;
use crate::{
    core::{PersistentVolume, PersistentVolumeSpec, VolumeNodeAffinity},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults::default_text, validate::node_selector, warnings},
    quantity, table,
    validation::{
        meta::immutable,
        names::{self, none_or_one_of},
        quantity as amounts, volume,
    },
};

const STORAGE: &str = "storage";
const UNSET: &str = "<unset>";
const RECLAIM_POLICIES: &[&str] = &["Delete", "Recycle", "Retain"];

impl Kind for PersistentVolume {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Capacity", CAPACITY),
        Column::text("Access Modes", ACCESS_MODES),
        Column::text("Reclaim Policy", RECLAIM_POLICY),
        Column::text("Status", PHASE),
        Column::text("Claim", CLAIM_REF),
        Column::text("StorageClass", "StorageClass of the pv"),
        Column::text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
        Column::text("Reason", REASON),
        Column::AGE,
        Column::text("VolumeMode", VOLUME_MODE).wide(),
    ];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::text("name").stored_at("metadata.name")];

    fn set_defaults(&mut self) {
        default_text(&mut self.status.get_or_insert_default().phase, "Pending");
        let spec = self.spec.get_or_insert_default();
        default_text(&mut spec.persistent_volume_reclaim_policy, "Retain");
        spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        spec.capacity.iter_mut().for_each(quantity::round_to_milli);
        sources::set_defaults(spec);
    }

    fn validate(&self) -> Vec<FieldError> {
        validate_spec(&Path::new("spec"), &self.spec.clone().unwrap_or_default())
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let (new, old) = (self.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
        let path = Path::new("spec");
        let mut errors = Vec::new();
        if sources::only(&new, &old) != sources::only(&old, &old) {
            let detail = "spec.persistentvolumesource is immutable after creation";
            errors.push(FieldError::forbidden(&path.child("persistentvolumesource"), detail));
        }
        errors.extend(immutable(&Path::new("volumeMode"), &new.volume_mode, &old.volume_mode));
        if old.node_affinity.is_some() {
            errors.extend(immutable(&Path::new("nodeAffinity"), &new.node_affinity, &old.node_affinity));
        }
        if old.volume_attributes_class_name.is_some() && new.volume_attributes_class_name.is_none() {
            let path = path.child("volumeAttributesClassName");
            errors.push(FieldError::forbidden(&path, "update from non-nil value to nil is forbidden"));
        }
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(warnings::of_annotation(&self.metadata, CLASS_ANNOTATION, warnings::CLASS_FIELD));
        let options = r#"deprecated since v1.31; use "mountOptions" attribute instead"#;
        warnings.extend(warnings::of_annotation(&self.metadata, "volume.beta.kubernetes.io/mount-options", options));
        let Some(spec) = &self.spec else { return warnings };
        let path = Path::new("spec");
        if spec.persistent_volume_reclaim_policy.as_deref() == Some("Recycle") {
            let path = path.child("persistentVolumeReclaimPolicy");
            warnings.push(format!("{path}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."));
        }
        let terms = path.child("nodeAffinity").child("required").child("nodeSelectorTerms");
        let required = spec.node_affinity.iter().flat_map(|own| own.required.iter());
        for (i, term) in required.flat_map(|own| own.node_selector_terms.iter().enumerate()) {
            warnings.extend(warnings::of_node_term(&terms.index(i), term));
        }
        let old = [
            ("cephfs", spec.cephfs.is_some(), "v1.28, non-functional in v1.31+"),
            ("photonPersistentDisk", spec.photon_persistent_disk.is_some(), "v1.11, non-functional in v1.16+"),
            ("rbd", spec.rbd.is_some(), "v1.28, non-functional in v1.31+"),
            ("scaleIO", spec.scale_io.is_some(), "v1.16, non-functional in v1.22+"),
            ("storageOS", spec.storageos.is_some(), "v1.22, non-functional in v1.25+"),
            ("glusterfs", spec.glusterfs.is_some(), "v1.25, non-functional in v1.26+"),
        ];
        let used = old.into_iter().filter(|(_, used, _)| *used);
        warnings.extend(used.map(|(field, _, since)| format!("{}: deprecated in {since}", path.child(field))));
        warnings
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let claim = spec
            .claim_ref
            .map(|claim| format!("{}/{}", claim.namespace.unwrap_or_default(), claim.name.unwrap_or_default()));
        let phase =
            if self.metadata.deletion_timestamp.is_some() { Some("Terminating".to_owned()) } else { status.phase };
        let class = self.metadata.annotations.as_ref().and_then(|own| own.get(CLASS_ANNOTATION).cloned());
        vec![
            self.metadata.name.clone().into(),
            spec.capacity.and_then(|list| Some(list.get(STORAGE)?.0.clone())).unwrap_or_else(|| "0".into()).into(),
            volume::short_access_modes(spec.access_modes.as_ref()).into(),
            spec.persistent_volume_reclaim_policy.unwrap_or_default().into(),
            phase.unwrap_or_default().into(),
            claim.unwrap_or_default().into(),
            class.or(spec.storage_class_name).unwrap_or_default().into(),
            spec.volume_attributes_class_name.unwrap_or_else(|| UNSET.to_owned()).into(),
            status.reason.unwrap_or_default().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            spec.volume_mode.unwrap_or_else(|| UNSET.to_owned()).into(),
        ]
    }
}

/// What no volume has that an attachment brings along, and what it has to have.
const INLINE: &str = "may not be specified in the context of inline volumes";

/// A volume that only an attachment knows: one of a CSI driver, without what concerns claims.
pub(super) fn validate_inline(path: &Path, spec: &PersistentVolumeSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut forbid = |field: &str, present: bool| {
        if present {
            errors.push(FieldError::forbidden(&path.child(field), INLINE));
        }
    };
    forbid("claimRef", spec.claim_ref.is_some());
    forbid("capacity", spec.capacity.as_ref().is_some_and(|own| !own.is_empty()));
    if spec.csi.is_none() {
        errors.push(FieldError::required(&path.child("csi"), "has to be specified in the context of inline volumes"));
    }
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    errors.extend(volume::access_modes(&path.child("accessModes"), modes));
    let mut forbid = |field: &str, text: Option<&String>| {
        if text.is_some_and(|text| !text.is_empty()) {
            errors.push(FieldError::forbidden(&path.child(field), INLINE));
        }
    };
    forbid("persistentVolumeReclaimPolicy", spec.persistent_volume_reclaim_policy.as_ref());
    forbid("storageClassName", spec.storage_class_name.as_ref());
    forbid("volumeMode", spec.volume_mode.as_ref());
    forbid("volumeAttributesClassName", spec.volume_attributes_class_name.as_ref());
    if spec.node_affinity.is_some() {
        errors.push(FieldError::forbidden(&path.child("nodeAffinity"), INLINE));
    }
    errors.extend(sources::validate(path, spec));
    errors
}

fn validate_spec(path: &Path, spec: &PersistentVolumeSpec) -> Vec<FieldError> {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    errors.extend(volume::access_modes(&path.child("accessModes"), modes));
    errors.extend(capacity(&path.child("capacity"), spec));
    let policy = spec.persistent_volume_reclaim_policy.as_deref();
    let policy_path = path.child("persistentVolumeReclaimPolicy");
    errors.extend(none_or_one_of(&policy_path, policy, RECLAIM_POLICIES));
    if let Some(affinity) = &spec.node_affinity {
        errors.extend(node_affinity(&path.child("nodeAffinity"), affinity));
    }
    errors.extend(sources::validate(path, spec));
    let root = spec.host_path.as_ref().is_some_and(|host_path| is_root(&host_path.path));
    if root && policy == Some("Recycle") {
        errors.push(FieldError::forbidden(&policy_path, "may not be 'recycle' for a hostPath mount of '/'"));
    }
    errors.extend(volume::class_name(&path.child("storageClassName"), spec.storage_class_name.as_ref()));
    errors.extend(volume::volume_mode(&path.child("volumeMode"), spec.volume_mode.as_ref()));
    if let Some(class) = &spec.volume_attributes_class_name {
        let path_of_class = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(FieldError::required(&path_of_class, "an empty string is disallowed"));
        } else {
            errors.extend(names::check(names::dns1123_subdomain, &path_of_class, class));
        }
        if spec.csi.is_none() {
            let detail = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(&path.child("csi"), detail));
        }
    }
    errors
}

fn capacity(path: &Path, spec: &PersistentVolumeSpec) -> Vec<FieldError> {
    let own = spec.capacity.clone().unwrap_or_default();
    let mut errors = Vec::new();
    if own.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if !own.contains_key(STORAGE) || own.len() > 1 {
        let value = serde_json::to_value(&own).unwrap_or_default();
        errors.push(FieldError::not_supported(path, value, &[STORAGE]));
    }
    for (name, amount) in &own {
        errors.extend(amounts::basic(&path.key(name), amount));
        errors.extend(amounts::positive(&path.key(name), amount));
    }
    errors
}

/// Whether a path leads to `/`, whatever detours it takes.
fn is_root(path: &str) -> bool {
    let mut depth: usize = 0;
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

fn node_affinity(path: &Path, affinity: &VolumeNodeAffinity) -> Vec<FieldError> {
    let path = path.child("required");
    match &affinity.required {
        Some(required) => node_selector(&path, required),
        None => vec![FieldError::required(&path, "must specify required node constraints")],
    }
}

const CAPACITY: &str = "capacity is the description of the persistent volume's resources and capacity. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#capacity";
const ACCESS_MODES: &str = "accessModes contains all ways the volume can be mounted. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes";
const RECLAIM_POLICY: &str = "persistentVolumeReclaimPolicy defines what happens to a persistent volume when released from its claim. Valid options are Retain (default for manually created PersistentVolumes), Delete (default for dynamically provisioned PersistentVolumes), and Recycle (deprecated). Recycle must be supported by the volume plugin underlying this PersistentVolume. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#reclaiming";
const PHASE: &str = "phase indicates if a volume is available, bound to a claim, or released by a claim. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#phase";
const CLAIM_REF: &str = "claimRef is part of a bi-directional binding between PersistentVolume and PersistentVolumeClaim. Expected to be non-nil when bound. claim.VolumeName is the authoritative bind between PV and PVC. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#binding";
const REASON: &str = "reason is a brief CamelCase string that describes any failure and is meant for machine parsing and tidy display in the CLI.";
const VOLUME_MODE: &str = "volumeMode defines if a volume is intended to be used with a formatted filesystem or to remain in raw block state. Value of Filesystem is implied when not included in spec.";

#[cfg(test)]
mod tests;
