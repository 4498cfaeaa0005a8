//! Security contexts.

use crate::{
    core::{PodSpec, SecurityContext},
    field::{FieldError, Path},
    validation::names,
};

/// Largest user or group id: 32 bits without a sign.
const MAX_ID: i64 = 0xffff_ffff;

fn id(path: &Path, id: Option<i64>) -> Option<FieldError> {
    let id = id.filter(|id| !(0..=MAX_ID).contains(id))?;
    Some(FieldError::invalid(path, id, names::between(0, MAX_ID)))
}

pub(super) fn validate_pod(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let Some(context) = &spec.security_context else { return Vec::new() };
    let mut errors = Vec::new();
    for (field, own) in
        [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group), ("fsGroup", context.fs_group)]
    {
        errors.extend(id(&path.child(field), own));
    }
    for (i, group) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.extend(id(&path.child("supplementalGroups").index(i), Some(*group)));
    }
    let policy = context.fs_group_change_policy.as_deref();
    errors.extend(names::none_or_one_of(&path.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]));
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(seccomp(&path.child("seccompProfile"), &profile.type_, profile.localhost_profile.as_deref()));
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors
}

pub(super) fn validate_container(path: &Path, context: &SecurityContext) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(id(&path.child("runAsUser"), context.run_as_user));
    errors.extend(id(&path.child("runAsGroup"), context.run_as_group));
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(seccomp(&path.child("seccompProfile"), &profile.type_, profile.localhost_profile.as_deref()));
    }
    if context.allow_privilege_escalation == Some(false) {
        let value = || serde_json::to_value(context).unwrap_or_default();
        if context.privileged == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, value(), detail));
        }
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        if added.into_iter().any(|name| name == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, value(), detail));
        }
    }
    errors
}

fn seccomp(path: &Path, kind: &str, localhost: Option<&str>) -> Option<FieldError> {
    let local_path = path.child("localhostProfile");
    match (kind, localhost.unwrap_or_default()) {
        ("Localhost", "") => Some(FieldError::required(&local_path, "must be set when seccomp type is Localhost")),
        ("Localhost", _) => None,
        (_, file) if !file.is_empty() => {
            Some(FieldError::invalid(&local_path, file, "can only be set when seccomp type is Localhost"))
        }
        (kind, _) => names::one_of(&path.child("type"), Some(kind), &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}
