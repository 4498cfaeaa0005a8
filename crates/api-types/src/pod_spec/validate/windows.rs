//! What pods for Windows have, and what they cannot have.

use crate::{
    core::{Container, PodSpec, WindowsSecurityContextOptions},
    field::{FieldError, Path},
};

/// Longest credential spec, in bytes.
const MAX_SPEC: usize = 64 * 1024;
/// Longest name of a user: a domain and a user.
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;

/// Options of a pod or of a container.
pub(super) fn options(path: &Path, options: &WindowsSecurityContextOptions) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(spec) = options.gmsa_credential_spec.as_deref() {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(FieldError::invalid(&path, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > MAX_SPEC {
            let detail = format!("gmsaCredentialSpec size must be under {} KiB", MAX_SPEC / 1024);
            errors.push(FieldError::invalid(&path, spec, detail));
        }
    }
    if let Some(user) = options.run_as_user_name.as_deref() {
        errors.extend(user_name(&path.child("runAsUserName"), user));
    }
    errors
}

fn user_name(path: &Path, name: &str) -> Vec<FieldError> {
    let invalid = |detail: String| vec![FieldError::invalid(path, name, detail)];
    if name.is_empty() {
        return invalid("runAsUserName cannot be an empty string".to_owned());
    }
    if name.chars().any(char::is_control) {
        return invalid("runAsUserName cannot contain control characters".to_owned());
    }
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return invalid("runAsUserName cannot contain more than one backslash".to_owned()),
    };
    let mut errors = Vec::new();
    if domain.is_some_and(|domain| domain.is_empty() || domain.len() >= MAX_DOMAIN) {
        let detail = format!("runAsUserName's Domain length must be under {MAX_DOMAIN} characters");
        errors.extend(invalid(detail));
    }
    if user.is_empty() {
        errors.extend(invalid("runAsUserName's User cannot be empty".to_owned()));
    } else if user.len() > MAX_USER {
        errors.extend(invalid(format!("runAsUserName's User length must not be longer than {MAX_USER} characters")));
    }
    errors
}

/// What the operating system that a pod names rules out.
pub(super) fn for_os(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    match spec.os.as_ref().map(|os| os.name.as_str()) {
        Some("linux") => linux(path, spec),
        Some("windows") => windows(path, spec),
        _ => Vec::new(),
    }
}

/// All containers, with their paths.
fn containers<'a>(path: &Path, spec: &'a PodSpec) -> Vec<(Path, &'a Container)> {
    let lists = [("containers", Some(&spec.containers)), ("initContainers", spec.init_containers.as_ref())];
    let indexed = lists.into_iter().flat_map(|(field, list)| {
        let path = path.child(field);
        list.into_iter().flatten().enumerate().map(move |(i, container)| (path.index(i), container))
    });
    indexed.collect()
}

fn linux(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let detail = "windows options cannot be set for a linux pod";
    let mut errors = Vec::new();
    let mut forbid = |path: &Path, set: bool| {
        if set {
            let path = path.child("securityContext").child("windowsOptions");
            errors.push(FieldError::forbidden(&path, detail));
        }
    };
    forbid(path, spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()));
    for (path, container) in containers(path, spec) {
        forbid(&path, container.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()));
    }
    errors
}

fn windows(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let set = |flag: Option<bool>| flag == Some(true);
    let mut found: Vec<(Path, bool)> = vec![
        (path.child("hostPID"), set(spec.host_pid)),
        (path.child("hostIPC"), set(spec.host_ipc)),
        (path.child("hostUsers"), spec.host_users.is_some()),
    ];
    let own = path.child("securityContext");
    if let Some(context) = &spec.security_context {
        found.extend([
            (own.child("appArmorProfile"), context.app_armor_profile.is_some()),
            (own.child("seLinuxOptions"), context.se_linux_options.is_some()),
            (own.child("seccompProfile"), context.seccomp_profile.is_some()),
            (own.child("fsGroup"), context.fs_group.is_some()),
            (own.child("fsGroupChangePolicy"), context.fs_group_change_policy.is_some()),
            (own.child("sysctls"), context.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty())),
            (own.child("shareProcessNamespace"), set(spec.share_process_namespace)),
            (own.child("runAsUser"), context.run_as_user.is_some()),
            (own.child("runAsGroup"), context.run_as_group.is_some()),
            (own.child("supplementalGroups"), context.supplemental_groups.is_some()),
            (own.child("supplementalGroupsPolicy"), context.supplemental_groups_policy.is_some()),
        ]);
    }
    for (path, container) in containers(path, spec) {
        let Some(context) = &container.security_context else { continue };
        let own = path.child("securityContext");
        found.extend([
            (own.child("appArmorProfile"), context.app_armor_profile.is_some()),
            (own.child("seLinuxOptions"), context.se_linux_options.is_some()),
            (own.child("seccompProfile"), context.seccomp_profile.is_some()),
            (own.child("capabilities"), context.capabilities.is_some()),
            (own.child("readOnlyRootFilesystem"), context.read_only_root_filesystem.is_some()),
            (own.child("privileged"), context.privileged.is_some()),
            (own.child("allowPrivilegeEscalation"), context.allow_privilege_escalation.is_some()),
            (own.child("procMount"), context.proc_mount.is_some()),
            (own.child("runAsUser"), context.run_as_user.is_some()),
            (own.child("runAsGroup"), context.run_as_group.is_some()),
        ]);
    }
    let forbidden = found.iter().filter(|(_, set)| *set);
    forbidden.map(|(path, _)| FieldError::forbidden(path, "cannot be set for a windows pod")).collect()
}

/// Containers that run on the node itself have the node's network, all of them.
pub(super) fn host_process(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let whole = spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
    let whole = whole.and_then(|options| options.host_process);
    let own = |container: &Container| {
        let options = container.security_context.as_ref().and_then(|context| context.windows_options.as_ref());
        options.and_then(|options| options.host_process).or(whole).unwrap_or(false)
    };
    let containers = containers(path, spec);
    let count = containers.iter().filter(|(_, container)| own(container)).count();
    if count == 0 {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if count < containers.len() {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess";
        errors.push(FieldError::invalid(path, "", detail));
    }
    if spec.host_network != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.child("hostNetwork"), spec.host_network.unwrap_or(false), detail));
    }
    errors
}
