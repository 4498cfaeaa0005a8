//! Ephemeral containers: they look at a pod and are no part of what it does.

use std::collections::BTreeSet;

use crate::{
    core::{Container, EphemeralContainer, ResourceRequirements},
    field::{FieldError, Path},
};

const NOT_HERE: &str = "cannot be set for an Ephemeral Container";

/// What it has in common with other containers and may have, so that it is checked as one.
pub(super) fn as_container(own: &EphemeralContainer) -> Container {
    Container {
        name: own.name.clone(),
        image: own.image.clone(),
        image_pull_policy: own.image_pull_policy.clone(),
        termination_message_policy: own.termination_message_policy.clone(),
        env: own.env.clone(),
        env_from: own.env_from.clone(),
        volume_mounts: own.volume_mounts.clone(),
        volume_devices: own.volume_devices.clone(),
        security_context: own.security_context.clone(),
        ..Container::default()
    }
}

/// What only ephemeral containers have, and what they may not have; `targets` names the containers of other kinds.
pub(super) fn validate(path: &Path, own: &EphemeralContainer, targets: &BTreeSet<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let target = own.target_container_name.as_deref().unwrap_or_default();
    if !target.is_empty() && !targets.contains(target) {
        errors.push(FieldError::not_found(&path.child("targetContainerName"), target));
    }
    let empty = ResourceRequirements::default();
    let fields = [
        ("ports", own.ports.as_ref().is_some_and(|ports| !ports.is_empty())),
        ("resources", own.resources.as_ref().is_some_and(|resources| *resources != empty)),
        ("resizePolicy", own.resize_policy.as_ref().is_some_and(|policies| !policies.is_empty())),
        ("restartPolicy", own.restart_policy.is_some()),
        ("livenessProbe", own.liveness_probe.is_some()),
        ("readinessProbe", own.readiness_probe.is_some()),
        ("startupProbe", own.startup_probe.is_some()),
        ("lifecycle", own.lifecycle.is_some()),
    ];
    let set = fields.into_iter().filter(|(_, set)| *set);
    errors.extend(set.map(|(field, _)| FieldError::forbidden(&path.child(field), NOT_HERE)));
    for (i, mount) in own.volume_mounts.iter().flatten().enumerate() {
        let path = path.child("volumeMounts").index(i);
        for (field, value) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                errors.push(FieldError::forbidden(&path.child(field), NOT_HERE));
            }
        }
    }
    errors
}
