//! Security contexts.

use std::collections::BTreeSet;

use super::windows;
use crate::{
    core::{AppArmorProfile, PodSpec, SecurityContext, Sysctl},
    field::{FieldError, Path},
    validation::names,
};

/// Largest user or group id.
const MAX_ID: i64 = i32::MAX as i64;

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
    let supplemental = context.supplemental_groups_policy.as_deref();
    let path_of = |field: &str| path.child(field);
    errors.extend(names::none_or_one_of(&path_of("supplementalGroupsPolicy"), supplemental, &["Merge", "Strict"]));
    let change = context.se_linux_change_policy.as_deref();
    errors.extend(names::none_or_one_of(&path_of("seLinuxChangePolicy"), change, &["MountOption", "Recursive"]));
    errors.extend(sysctls(&path.child("sysctls"), context.sysctls.as_deref().unwrap_or_default(), spec));
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(seccomp(&path.child("seccompProfile"), &profile.type_, profile.localhost_profile.as_deref()));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(app_armor(&path.child("appArmorProfile"), profile));
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::options(&path.child("windowsOptions"), options));
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors
}

pub(super) fn validate_container(path: &Path, context: &SecurityContext, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(id(&path.child("runAsUser"), context.run_as_user));
    errors.extend(id(&path.child("runAsGroup"), context.run_as_group));
    if let Some(kind) = context.proc_mount.as_deref() {
        errors.extend(proc_mount(&path.child("procMount"), kind, spec));
    }
    if let Some(profile) = &context.seccomp_profile {
        errors.extend(seccomp(&path.child("seccompProfile"), &profile.type_, profile.localhost_profile.as_deref()));
    }
    if let Some(profile) = &context.app_armor_profile {
        errors.extend(app_armor(&path.child("appArmorProfile"), profile));
    }
    if let Some(options) = &context.windows_options {
        errors.extend(windows::options(&path.child("windowsOptions"), options));
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

fn proc_mount(path: &Path, kind: &str, spec: &PodSpec) -> Option<FieldError> {
    match kind {
        "Default" => None,
        "Unmasked" if spec.host_users != Some(false) => {
            Some(FieldError::invalid(path, kind, "`hostUsers` must be false to use `Unmasked`"))
        }
        "Unmasked" => None,
        other => Some(FieldError::not_supported(path, other, &["Default", "Unmasked"])),
    }
}

fn app_armor(path: &Path, profile: &AppArmorProfile) -> Vec<FieldError> {
    let (kind, kind_path, local_path) = (profile.type_.as_str(), path.child("type"), path.child("localhostProfile"));
    let local = profile.localhost_profile.as_deref();
    match (kind, local) {
        ("Localhost", None) => {
            vec![FieldError::required(&local_path, "must be set when AppArmor type is Localhost")]
        }
        ("Localhost", Some(name)) => {
            let name = name.trim();
            let empty = name
                .is_empty()
                .then(|| FieldError::required(&local_path, "must be set when AppArmor type is Localhost"));
            empty.into_iter().collect()
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            vec![FieldError::invalid(&local_path, name, "can only be set when AppArmor type is Localhost")]
        }
        ("RuntimeDefault" | "Unconfined", None) => Vec::new(),
        ("", _) => vec![FieldError::required(&kind_path, "type is required when appArmorProfile is set")],
        (other, _) => {
            vec![FieldError::not_supported(&kind_path, other, &["Localhost", "RuntimeDefault", "Unconfined"])]
        }
    }
}

/// Longest name of a kernel parameter, in bytes.
const SYSCTL_MAX: usize = 253;
const SYSCTL_FORMAT: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn sysctls(path: &Path, sysctls: &[Sysctl], spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, sysctl) in sysctls.iter().enumerate() {
        let (name, path) = (sysctl.name.as_str(), path.index(i).child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !is_sysctl_name(name) {
            let detail = format!("must have at most {SYSCTL_MAX} characters and match regex {SYSCTL_FORMAT}");
            errors.push(FieldError::invalid(&path, name, detail));
        } else if !taken.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        errors.extend(host_sysctl(&path, name, spec));
    }
    errors
}

fn is_sysctl_name(name: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let segment = |segment: &str| {
        let bytes = segment.as_bytes();
        alphanumeric(bytes.first()) && alphanumeric(bytes.last()) && bytes.iter().all(inner)
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(segment)
}

/// What belongs to a namespace that the pod shares with its node is the node's.
fn host_sysctl(path: &Path, name: &str, spec: &PodSpec) -> Option<FieldError> {
    const IPC: [&str; 4] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];
    let dotted = name.replace('/', ".");
    if dotted.starts_with("net.") && spec.host_network == Some(true) {
        return Some(FieldError::invalid(path, name, "may not be specified when 'hostNetwork' is true"));
    }
    let ipc = IPC.iter().any(|prefix| dotted.starts_with(prefix)) && spec.host_ipc == Some(true);
    ipc.then(|| FieldError::invalid(path, name, "may not be specified when 'hostIPC' is true"))
}

/// What a pod with users of its own cannot have.
pub(super) fn host_users(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    if spec.host_users != Some(false) {
        return Vec::new();
    }
    let shared = [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)];
    let shared = shared.iter().filter(|(_, shared)| *shared == Some(true));
    let detail = "when `pod.Spec.HostUsers` is false";
    shared.map(|(field, _)| FieldError::forbidden(&path.child(field), detail)).collect()
}
