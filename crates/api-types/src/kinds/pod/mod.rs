//! `v1.Pod`.

mod columns;
mod ephemeral;
mod resize;
mod update;

use serde_json::Value;

use crate::{
    core::{Pod, PodSpec},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults, validate, warnings},
};

impl Kind for Pod {
    const COLUMNS: &'static [Column] = columns::COLUMNS;

    const SELECTABLE: &'static [SelectableField] = &[
        SelectableField::text("spec.nodeName"),
        SelectableField::text("spec.restartPolicy"),
        SelectableField::text("spec.schedulerName"),
        SelectableField::text("spec.serviceAccountName"),
        SelectableField::boolean("spec.hostNetwork"),
        SelectableField::text("status.phase"),
        SelectableField::text("status.podIP"),
        SelectableField::text("status.nominatedNodeName"),
    ];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        defaults::set_defaults(spec);
        defaults::set_pod_defaults(spec);
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = well_formed(self);
        let Some(spec) = &self.spec else { return errors };
        let path = Path::new("spec");
        if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
            errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
        }
        let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        if gated && spec.node_name.as_ref().is_some_and(|node| !node.is_empty()) {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
        }
        errors
    }

    fn revalidate(&self, _old: &Self) -> Vec<FieldError> {
        well_formed(self)
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        update::validate(self, old)
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        update::validate_status(self, old)
    }

    fn validate_part_update(&self, old: &Self, subresource: &str) -> Vec<FieldError> {
        match subresource {
            "ephemeralcontainers" => ephemeral::validate(self, old),
            "resize" => resize::validate(self, old),
            _ => self.validate_status_update(old),
        }
    }

    // Whoever changes a pod is hardly ever a human being.
    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some() { Vec::new() } else { warnings::of_pod(self) }
    }

    fn cells(&self) -> Vec<Value> {
        columns::cells(self)
    }
}

fn well_formed(pod: &Pod) -> Vec<FieldError> {
    let path = Path::new("spec");
    match &pod.spec {
        Some(spec) => validate::validate(&path, spec),
        None => validate::validate(&path, &PodSpec::default()),
    }
}

/// Set on what the kubelet made of a manifest of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The pod of a manifest can only be changed there.
fn is_static(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|own| own.contains_key(MIRROR))
}
