//! `v1.PersistentVolumeClaim`.

use serde_json::Value;

use crate::{
    core::{PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedLocalObjectReference, TypedObjectReference},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults::default_text, warnings},
    quantity::{self, Quantity, Wire},
    table,
    validation::{meta::immutable, names, quantity as amounts, selector, volume},
};

/// The storage class as it was said before there was a field.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const STORAGE: &str = "storage";
const UNSET: &str = "<unset>";
const RESIZE_STATES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizePending",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
];

impl Kind for PersistentVolumeClaim {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "phase represents the current phase of PersistentVolumeClaim."),
        Column::text("Volume", "volumeName is the binding reference to the PersistentVolume backing this claim."),
        Column::text("Capacity", "capacity represents the actual resources of the underlying volume."),
        Column::text("Access Modes", ACCESS_MODES),
        Column::text("StorageClass", "StorageClass of the pvc"),
        Column::text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
        Column::AGE,
        Column::text("VolumeMode", VOLUME_MODE).wide(),
    ];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::text("name").stored_at("metadata.name")];

    fn set_defaults(&mut self) {
        default_text(&mut self.status.get_or_insert_default().phase, "Pending");
        set_spec_defaults(self.spec.get_or_insert_default());
        let status = self.status.iter_mut().flat_map(|status| [&mut status.capacity, &mut status.allocated_resources]);
        status.flatten().for_each(quantity::round_to_milli);
    }

    fn validate(&self) -> Vec<FieldError> {
        validate_spec(&Path::new("spec"), &self.spec.clone().unwrap_or_default())
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let path = Path::new("spec");
        let mut errors: Vec<FieldError> = class_annotation(self, old).into_iter().collect();
        if !same_but_for_changes(self, old) {
            let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.push(FieldError::forbidden(&path, detail));
        }
        errors.extend(smaller(&path, self, old));
        let mode = |claim: &Self| claim.spec.as_ref().and_then(|spec| spec.volume_mode.clone());
        errors.extend(immutable(&Path::new("volumeMode"), &mode(self), &mode(old)));
        let class = |claim: &Self| claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
        if class(old).is_some_and(|class| !class.is_empty()) && class(self).is_none_or(|class| class.is_empty()) {
            let path = path.child("volumeAttributesClassName");
            errors.push(FieldError::forbidden(&path, "update from non-nil value to nil is forbidden"));
        }
        errors
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.spec.as_ref().and_then(|spec| spec.access_modes.as_ref()).is_none_or(Vec::is_empty) {
            errors.push(FieldError::required(&Path::new("Spec").child("accessModes"), ""));
        }
        let Some(status) = &self.status else { return errors };
        let path = Path::new("status");
        for (name, amount) in status.capacity.iter().flatten() {
            errors.extend(amounts::basic(&path.child("capacity").key(name), amount));
        }
        let path_of_states = path.child("allocatedResourceStatus");
        for (name, state) in status.allocated_resource_statuses.iter().flatten() {
            errors.extend(resource_key(&path_of_states.key(name), name));
            if !RESIZE_STATES.contains(&state.as_str()) {
                errors.push(FieldError::not_supported(&path_of_states, name.as_str(), RESIZE_STATES));
            }
        }
        for (name, amount) in status.allocated_resources.iter().flatten() {
            let path = path.child("allocatedResources").key(name);
            errors.extend(resource_key(&path, name));
            errors.extend(amounts::basic(&path, amount));
        }
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let class = warnings::of_annotation(&self.metadata, CLASS_ANNOTATION, warnings::CLASS_FIELD);
        let spec = self.spec.iter().flat_map(|spec| warnings::of_claim(&Path::new("spec"), spec));
        class.into_iter().chain(spec).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let phase =
            if self.metadata.deletion_timestamp.is_some() { Some("Terminating".to_owned()) } else { status.phase };
        let volume = spec.volume_name.unwrap_or_default();
        let (mut capacity, mut modes) = (String::new(), String::new());
        if !volume.is_empty() {
            capacity =
                status.capacity.and_then(|list| Some(list.get(STORAGE)?.0.clone())).unwrap_or_else(|| "0".into());
            modes = volume::short_access_modes(status.access_modes.as_ref());
        }
        let class = self.metadata.annotations.as_ref().and_then(|own| own.get(CLASS_ANNOTATION).cloned());
        vec![
            self.metadata.name.clone().into(),
            phase.unwrap_or_default().into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            class.or(spec.storage_class_name).unwrap_or_default().into(),
            spec.volume_attributes_class_name.unwrap_or_else(|| UNSET.to_owned()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            spec.volume_mode.unwrap_or_else(|| UNSET.to_owned()).into(),
        ]
    }
}

/// The defaults of a claim, also where it is a template.
pub(crate) fn set_spec_defaults(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
    let resources = spec.resources.get_or_insert_default();
    [&mut resources.limits, &mut resources.requests].into_iter().flatten().for_each(quantity::round_to_milli);
}

/// A well-formed claim, also where it is a template.
pub(crate) fn validate_spec(path: &Path, spec: &PersistentVolumeClaimSpec) -> Vec<FieldError> {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    if let Some(own) = &spec.selector {
        errors.extend(selector::validate(&path.child("selector"), own));
    }
    errors.extend(volume::access_modes(&path.child("accessModes"), modes));
    let size_path = path.child("resources").key(STORAGE);
    match requested(spec) {
        None => errors.push(FieldError::required(&size_path, "")),
        Some(size) => errors.extend(amounts::positive(&size_path, size)),
    }
    errors.extend(volume::class_name(&path.child("storageClassName"), spec.storage_class_name.as_ref()));
    errors.extend(volume::volume_mode(&path.child("volumeMode"), spec.volume_mode.as_ref()));
    errors.extend(data_sources(path, spec));
    let class = spec.volume_attributes_class_name.as_ref();
    errors.extend(volume::class_name(&path.child("volumeAttributesClassName"), class));
    errors
}

fn requested(spec: &PersistentVolumeClaimSpec) -> Option<&Wire> {
    spec.resources.as_ref()?.requests.as_ref()?.get(STORAGE)
}

fn data_sources(path: &Path, spec: &PersistentVolumeClaimSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let source_path = path.child("dataSource");
    if let Some(TypedLocalObjectReference { api_group, kind, name }) = &spec.data_source {
        errors.extend(reference(&source_path, api_group.as_deref(), kind, name));
    }
    let Some(TypedObjectReference { api_group, kind, name, namespace }) = &spec.data_source_ref else { return errors };
    let path_of_ref = path.child("dataSourceRef");
    errors.extend(reference(&path_of_ref, api_group.as_deref(), kind, name));
    errors.extend(names::check_optional(names::dns1123_label, &path_of_ref.child("namespace"), namespace.as_deref()));
    let Some(source) = &spec.data_source else { return errors };
    let detail = if namespace.as_ref().is_some_and(|namespace| !namespace.is_empty()) {
        "may not be specified when dataSourceRef.namespace is specified"
    } else if (&source.api_group, &source.kind, &source.name) != (api_group, kind, name) {
        "must match dataSourceRef"
    } else {
        return errors;
    };
    errors.push(FieldError::invalid(path, source_path.to_string(), detail));
    errors
}

fn reference(path: &Path, group: Option<&str>, kind: &str, name: &str) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::required(&path.child("name"), name).into_iter().collect();
    errors.extend(names::required(&path.child("kind"), kind));
    if group.is_none_or(str::is_empty) && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path, kind, detail));
    }
    errors.extend(names::check_optional(names::dns1123_subdomain, &path.child("apiGroup"), group));
    errors
}

/// A name of what is resized: storage, or one of a domain's own.
fn resource_key(path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors = names::check(names::qualified_name, path, name);
    if errors.is_empty() && name != STORAGE && (!name.contains('/') || name.contains("kubernetes.io/")) {
        errors.push(FieldError::not_supported(path, name, &[STORAGE]));
    }
    errors
}

fn annotation(claim: &PersistentVolumeClaim) -> Option<&String> {
    claim.metadata.annotations.as_ref()?.get(CLASS_ANNOTATION)
}

fn class(claim: &PersistentVolumeClaim) -> Option<&String> {
    claim.spec.as_ref()?.storage_class_name.as_ref()
}

/// Whether the class moves from the annotation to the field.
fn moves_class(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> bool {
    let Some(before) = annotation(old) else { return false };
    class(old).is_none() && class(new) == Some(before) && annotation(new).is_none_or(|own| own == before)
}

fn class_annotation(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Option<FieldError> {
    let (now, before) = (annotation(new), annotation(old));
    if moves_class(new, old)
        || now.map(String::as_str).unwrap_or_default() == before.map(String::as_str).unwrap_or_default()
    {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
    Some(FieldError::invalid(&path, now.cloned().unwrap_or_default(), "field is immutable"))
}

/// Whether nothing has changed but what may: a volume is bound, a class is found, a bound claim grows.
fn same_but_for_changes(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> bool {
    let (mut now, mut before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    if before.volume_name.as_ref().is_none_or(String::is_empty) {
        before.volume_name.clone_from(&now.volume_name);
    }
    let finds_class = class(old).is_none() && annotation(old).is_none() && class(new).is_some();
    if moves_class(new, old) || finds_class {
        now.storage_class_name.clone_from(&before.storage_class_name);
    }
    let bound = new.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    if let (true, Some(requests)) = (bound, now.resources.as_mut().and_then(|resources| resources.requests.as_mut()))
        && let Some(size) = requested(&before)
    {
        requests.insert(STORAGE.to_owned(), size.clone());
    }
    now.volume_attributes_class_name.clone_from(&before.volume_attributes_class_name);
    now == before
}

/// A claim may shrink to what the volume does not have yet.
fn smaller(path: &Path, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Option<FieldError> {
    let size = |claim: &PersistentVolumeClaim| {
        let amount = claim.spec.as_ref().and_then(requested).map(Quantity::try_from);
        amount.and_then(Result::ok).unwrap_or(Quantity::ZERO)
    };
    let capacity = old.status.as_ref().and_then(|status| status.capacity.as_ref()?.get(STORAGE));
    let capacity = capacity.and_then(|wire| Quantity::try_from(wire).ok()).unwrap_or(Quantity::ZERO);
    let wrong = size(new) < size(old) && size(new) <= capacity;
    let path = path.child("resources").child("requests").child(STORAGE);
    wrong.then(|| FieldError::forbidden(&path, "field can not be less than status.capacity"))
}

const ACCESS_MODES: &str = "accessModes contains the actual access modes the volume backing the PVC has. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1";
const VOLUME_MODE: &str = "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied when not included in claim spec.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(spec: &Value, phase: &str) -> PersistentVolumeClaim {
        let mut claim: PersistentVolumeClaim = serde_json::from_value(
            json!({"metadata": {"name": "c"}, "spec": spec, "status": {"phase": phase, "capacity": {"storage": "1Gi"}}}),
        )
        .unwrap();
        claim.set_defaults();
        claim
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn mistakes_are_told() {
        let ok = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let cases = [
            (ok, vec![]),
            (
                json!({}),
                vec![
                    "spec.accessModes: Required value: at least 1 access mode is required",
                    "spec.resources[storage]: Required value",
                ],
            ),
            (
                json!({"accessModes": ["ReadWriteOncePod", "Any"], "resources": {"requests": {"storage": "0"}}}),
                vec![
                    r#"spec.accessModes: Unsupported value: "Any": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
                    r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#,
                ],
            ),
            (
                json!({
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}},
                    "dataSource": {"kind": "X", "name": "y"},
                }),
                vec![
                    r#"spec.dataSource: Invalid value: "X": must be 'PersistentVolumeClaim' when referencing the default apiGroup"#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&claim(&spec, "Pending").validate()), expected, "{spec}");
        }
    }

    #[test]
    fn a_bound_claim_may_grow() {
        let spec = |size: &str, volume: &str| {
            json!({
                "accessModes": ["ReadWriteOnce"], "volumeName": volume,
                "resources": {"requests": {"storage": size}},
            })
        };
        const FIXED: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        const SMALL: &str = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
        let cases = [
            (spec("2Gi", "v"), "Bound", vec![]),
            (spec("2Gi", "v"), "Pending", vec![FIXED]),
            (spec("1Gi", "w"), "Bound", vec![FIXED]),
            (spec("512Mi", "v"), "Bound", vec![SMALL]),
        ];
        for (new, phase, expected) in cases {
            let errors = claim(&new, phase).validate_update(&claim(&spec("1Gi", "v"), phase));
            assert_eq!(texts(&errors), expected, "{new} {phase}");
        }
        assert!(claim(&spec("1Gi", "v"), "Pending").validate_update(&claim(&spec("1Gi", ""), "Pending")).is_empty());
    }
}
