//! What a pod spec may be.

mod containers;
mod environment;
mod ephemeral;
mod probes;
mod resources;
mod scheduling;
mod security;
mod volumes;

#[cfg(test)]
mod tests;

pub(crate) use containers::image;
pub(crate) use resources::validate as resources;
pub use scheduling::node_affinity;
pub(crate) use scheduling::{node_selector, tolerations};
pub(crate) use volumes::validate_host_path as host_path;

use crate::{
    core::{PodSpec, PodTemplateSpec},
    field::{FieldError, Path},
    validation::{meta, names, number},
};

const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];

/// A well-formed template: its labels, annotations and spec. Upstream's paths leave `metadata` out.
pub(crate) fn validate_template(path: &Path, template: &PodTemplateSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(metadata) = &template.metadata {
        if let Some(labels) = &metadata.labels {
            errors.extend(meta::labels(&path.child("labels"), labels));
        }
        if let Some(annotations) = &metadata.annotations {
            errors.extend(meta::annotations(&path.child("annotations"), annotations));
        }
    }
    match &template.spec {
        Some(spec) => errors.extend(validate(&path.child("spec"), spec)),
        None => errors.extend(validate(&path.child("spec"), &PodSpec::default())),
    }
    let ephemeral = template.spec.as_ref().and_then(|spec| spec.ephemeral_containers.as_ref());
    if ephemeral.is_some_and(|containers| !containers.is_empty()) {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("spec").child("ephemeralContainers"), detail));
    }
    errors
}

/// A well-formed, defaulted pod spec.
pub(crate) fn validate(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = volumes::validate(&path.child("volumes"), spec.volumes.as_deref().unwrap_or_default());
    errors.extend(containers::validate(path, spec));
    errors.extend(names::one_of(&path.child("restartPolicy"), spec.restart_policy.as_deref(), &RESTART_POLICIES));
    errors.extend(dns(path, spec));
    errors.extend(numbers(path, spec));
    errors.extend(references(path, spec));
    errors.extend(host_aliases(path, spec));
    errors.extend(scheduling::validate(path, spec));
    errors.extend(security::validate_pod(&path.child("securityContext"), spec));
    if let Some(own) = &spec.resources {
        errors.extend(resources::validate(&path.child("resources"), own));
    }
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.child("readinessGates").index(i).child("conditionType");
        errors.extend(names::check(names::qualified_name, &path, &gate.condition_type));
    }
    if let Some(os) = &spec.os {
        errors.extend(names::one_of(&path.child("os").child("name"), Some(&os.name), &["linux", "windows"]));
    }
    errors
}

fn dns(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let policy = spec.dns_policy.as_deref();
    let mut errors: Vec<FieldError> =
        names::one_of(&path.child("dnsPolicy"), policy, &DNS_POLICIES).into_iter().collect();
    let config_path = path.child("dnsConfig");
    let servers = spec.dns_config.as_ref().and_then(|config| config.nameservers.as_deref()).unwrap_or_default();
    if policy == Some("None") {
        if spec.dns_config.is_none() {
            let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
            return vec![FieldError::required(&config_path, detail)];
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(&config_path.child("nameservers"), detail));
        }
    }
    for (i, server) in servers.iter().enumerate() {
        errors.extend(names::check(names::ip, &config_path.child("nameservers").index(i), server));
    }
    errors
}

fn numbers(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(seconds) = spec.active_deadline_seconds {
        let max = i64::from(i32::MAX);
        if !(1..=max).contains(&seconds) {
            let path = path.child("activeDeadlineSeconds");
            errors.push(FieldError::invalid(&path, seconds, names::between(1, max)));
        }
    }
    let grace = spec.termination_grace_period_seconds.unwrap_or_default();
    errors.extend(number::non_negative(&path.child("terminationGracePeriodSeconds"), grace));
    errors
}

/// Names of other objects, and the pod's own.
fn references(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let checks: [(&str, names::Rule, Option<&str>); 7] = [
        ("serviceAccountName", names::dns1123_subdomain, spec.service_account_name.as_deref()),
        ("nodeName", names::dns1123_subdomain, spec.node_name.as_deref()),
        ("hostname", names::dns1123_label, spec.hostname.as_deref()),
        ("subdomain", names::dns1123_label, spec.subdomain.as_deref()),
        ("priorityClassName", names::dns1123_subdomain, spec.priority_class_name.as_deref()),
        ("runtimeClassName", names::dns1123_subdomain, spec.runtime_class_name.as_deref()),
        ("schedulerName", names::path_segment, spec.scheduler_name.as_deref()),
    ];
    let found =
        checks.into_iter().flat_map(|(field, rule, value)| names::check_optional(rule, &path.child(field), value));
    let mut errors: Vec<FieldError> = found.collect();
    if let Some(selector) = &spec.node_selector {
        errors.extend(meta::labels(&path.child("nodeSelector"), selector));
    }
    errors
}

fn host_aliases(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = path.child("hostAliases").index(i);
        errors.extend(names::check(names::ip, &path.child("ip"), &alias.ip));
        for (j, hostname) in alias.hostnames.iter().flatten().enumerate() {
            let path = path.child("hostnames").index(j);
            errors.extend(names::check(names::dns1123_subdomain, &path, hostname));
        }
    }
    errors
}
