//! Containers, their ports and mounts.

use std::collections::BTreeSet;

use super::{environment, ephemeral, probes, resources, security};
use crate::{
    core::{Container, ContainerPort, PodSpec, VolumeDevice, VolumeMount},
    field::{FieldError, Path},
    validation::{endpoint, names, number},
};

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["FallbackToLogsOnError", "File"];
const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];

/// Names within a pod, of which there may be as many as a client likes.
struct Names<'a> {
    /// Of the containers that have been looked at.
    taken: BTreeSet<&'a str>,
    volumes: BTreeSet<&'a str>,
}

pub(super) fn validate(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let containers_path = path.child("containers");
    if spec.containers.is_empty() {
        errors.push(FieldError::required(&containers_path, ""));
    }
    let debugging: Vec<Container> = spec.ephemeral_containers.iter().flatten().map(ephemeral::as_container).collect();
    let volumes = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let mut names = Names { taken: BTreeSet::new(), volumes };
    for (i, container) in spec.containers.iter().enumerate() {
        let path = containers_path.index(i);
        errors.extend(validate_container(&path, container, spec, &mut names));
        errors.extend(probes::validate_all(&path, container, spec));
        errors.extend(restart_policy(&path, container, &["Always", "Never", "OnFailure"]));
    }
    for (i, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = path.child("initContainers").index(i);
        errors.extend(validate_container(&path, container, spec, &mut names));
        errors.extend(restart_policy(&path, container, &["Always", "Never", "OnFailure"]));
        if container.restart_policy.as_deref() == Some("Always") {
            errors.extend(probes::validate_all(&path, container, spec));
        } else {
            errors.extend(only_for_sidecars(&path, container));
        }
    }
    // Only these can be looked at, not each other.
    let targets = names.taken.clone();
    for (i, own) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = path.child("ephemeralContainers").index(i);
        errors.extend(validate_container(&path, &debugging[i], spec, &mut names));
        errors.extend(ephemeral::validate(&path, own, &targets));
    }
    errors.extend(host_ports(&containers_path, spec));
    errors
}

fn restart_policy(path: &Path, container: &Container, allowed: &[&str]) -> Option<FieldError> {
    let rules = container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty());
    if rules && container.restart_policy.is_none() {
        let detail = "must specify restartPolicy when restart rules are used";
        return Some(FieldError::required(&path.child("restartPolicy"), detail));
    }
    names::none_or_one_of(&path.child("restartPolicy"), container.restart_policy.as_deref(), allowed)
}

fn only_for_sidecars(path: &Path, container: &Container) -> Vec<FieldError> {
    let fields = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    let detail = "may not be set for init containers without restartPolicy=Always";
    fields.iter().filter(|(_, set)| *set).map(|(field, _)| FieldError::forbidden(&path.child(field), detail)).collect()
}

fn name<'a>(path: &Path, name: &'a str, taken: &mut BTreeSet<&'a str>) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = names::check(names::dns1123_label, path, name);
    if !taken.insert(name) {
        errors.push(FieldError::duplicate(path, name));
    }
    errors
}

/// An image is there, without spaces around it.
pub(crate) fn image(path: &Path, image: Option<&str>) -> Option<FieldError> {
    let image = image.unwrap_or_default();
    if image.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    let spaced = image.trim().len() != image.len();
    spaced.then(|| FieldError::invalid(path, image, "must not have leading or trailing whitespace"))
}

fn validate_container<'a>(
    path: &Path,
    container: &'a Container,
    spec: &PodSpec,
    names: &mut Names<'a>,
) -> Vec<FieldError> {
    let mut errors = name(&path.child("name"), &container.name, &mut names.taken);
    errors.extend(image(&path.child("image"), container.image.as_deref()));
    let policy = container.termination_message_policy.as_deref();
    errors.extend(names::one_of(&path.child("terminationMessagePolicy"), policy, &MESSAGE_POLICIES));
    errors.extend(ports(&path.child("ports"), container.ports.as_deref().unwrap_or_default()));
    errors.extend(environment::validate(path, container));
    errors.extend(mounts(path, container, &names.volumes));
    errors.extend(names::one_of(
        &path.child("imagePullPolicy"),
        container.image_pull_policy.as_deref(),
        &PULL_POLICIES,
    ));
    if let Some(own) = &container.resources {
        errors.extend(resources::validate_container(&path.child("resources"), own, spec));
    }
    if let Some(context) = &container.security_context {
        errors.extend(security::validate_container(&path.child("securityContext"), context, spec));
    }
    let policies = container.resize_policy.as_deref().unwrap_or_default();
    errors.extend(resources::resize_policies(&path.child("resizePolicy"), policies, spec.restart_policy.as_deref()));
    errors
}

fn ports(path: &Path, ports: &[ContainerPort]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let wrong = names::check(names::port_name, &path.child("name"), name);
            if wrong.is_empty() && !taken.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            errors.extend(wrong);
        }
        match port.container_port {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            own => errors.extend(number::port(&path.child("containerPort"), own)),
        }
        if let Some(own) = port.host_port.filter(|own| *own != 0) {
            errors.extend(number::port(&path.child("hostPort"), own));
        }
        errors.extend(endpoint::protocol(&path.child("protocol"), port.protocol.as_deref()));
    }
    errors
}

/// No two containers want the same port of the node; on the node's network ports are the node's.
fn host_ports(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, container) in spec.containers.iter().enumerate() {
        for (j, port) in container.ports.iter().flatten().enumerate() {
            let path = path.index(i).child("ports").index(j);
            let host_port = port.host_port.unwrap_or_default();
            if spec.host_network == Some(true) && host_port != port.container_port && host_port != 0 {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&path.child("hostPort"), host_port, detail));
            }
            let protocol = port.protocol.as_deref().unwrap_or_default();
            let key = format!("{protocol}/{}/{host_port}", port.host_ip.as_deref().unwrap_or_default());
            if host_port != 0 && !taken.insert(key.clone()) {
                errors.push(FieldError::duplicate(&path.child("hostPort"), key));
            }
        }
    }
    errors
}

fn mounts(path: &Path, container: &Container, volumes: &BTreeSet<&str>) -> Vec<FieldError> {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, mount) in mounts.iter().enumerate() {
        let path = path.child("volumeMounts").index(i);
        errors.extend(volume_name(&path.child("name"), &mount.name, volumes));
        errors.extend(mount_path(&path.child("mountPath"), &mount.mount_path, &mut taken));
        errors.extend(sub_path(&path, mount));
        errors.extend(propagation(&path.child("mountPropagation"), mount, privileged));
        errors.extend(recursive_read_only(&path.child("recursiveReadOnly"), mount));
    }
    for (i, VolumeDevice { device_path, name }) in devices.iter().enumerate() {
        let path = path.child("volumeDevices").index(i);
        errors.extend(volume_name(&path.child("name"), name, volumes));
        errors.extend(mount_path(&path.child("devicePath"), device_path, &mut taken));
    }
    errors
}

fn volume_name(path: &Path, name: &str, volumes: &BTreeSet<&str>) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::required(path, name).into_iter().collect();
    if !volumes.contains(name) {
        errors.push(FieldError::not_found(path, name));
    }
    errors
}

fn mount_path<'a>(path: &Path, value: &'a str, taken: &mut BTreeSet<&'a str>) -> Option<FieldError> {
    if value.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    (!taken.insert(value)).then(|| FieldError::invalid(path, value, "must be unique"))
}

fn sub_path(path: &Path, mount: &VolumeMount) -> Vec<FieldError> {
    let plain = mount.sub_path.as_deref().filter(|text| !text.is_empty());
    let expression = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty());
    let mut errors = Vec::new();
    if let (Some(_), Some(expression)) = (plain, expression) {
        let detail = "subPathExpr and subPath are mutually exclusive";
        errors.push(FieldError::invalid(&path.child("subPathExpr"), expression, detail));
    }
    for (field, value) in [("subPath", plain), ("subPathExpr", expression)] {
        if let Some(value) = value {
            errors.extend(descending_path(&path.child(field), value));
        }
    }
    errors
}

/// A relative path that does not climb.
pub(super) fn descending_path(path: &Path, value: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    if value.split('/').any(|segment| segment == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
    errors
}

fn propagation(path: &Path, mount: &VolumeMount, privileged: bool) -> Option<FieldError> {
    let mode = mount.mount_propagation.as_deref()?;
    if mode == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        return Some(FieldError::forbidden(path, detail));
    }
    names::none_or_one_of(path, Some(mode), &PROPAGATIONS)
}

fn recursive_read_only(path: &Path, mount: &VolumeMount) -> Vec<FieldError> {
    let Some(mode) = mount.recursive_read_only.as_deref() else { return Vec::new() };
    match mode {
        "Disabled" => Vec::new(),
        "Enabled" | "IfPossible" => {
            let mut errors = Vec::new();
            if mount.read_only != Some(true) {
                errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount.mount_propagation.as_deref().is_some_and(|mode| mode != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, detail));
            }
            errors
        }
        other => vec![FieldError::not_supported(path, other, &["Disabled", "Enabled", "IfPossible"])],
    }
}
