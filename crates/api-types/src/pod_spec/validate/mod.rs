//! What a pod spec may be.

mod containers;
mod environment;
mod ephemeral;
mod probes;
mod resources;
mod scheduling;
mod security;
mod volumes;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use containers::image;
pub(crate) use resources::validate as resources;
pub use scheduling::node_affinity;
pub(crate) use scheduling::{node_selector, tolerations};
pub(crate) use volumes::validate_host_path as host_path;

use crate::{
    core::{PodDNSConfig, PodSpec, PodTemplateSpec},
    field::{FieldError, Path},
    validation::{meta, names},
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
    errors.extend(security::host_users(path, spec));
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
    errors.extend(windows::for_os(path, spec));
    errors.extend(windows::host_process(path, spec));
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
    if let Some(config) = &spec.dns_config {
        errors.extend(dns_config(&config_path, config));
    }
    errors
}

/// What a resolver takes: servers, domains to search, and their length together, in bytes.
const DNS_LIMITS: (usize, usize, usize) = (3, 32, 2048);

fn dns_config(path: &Path, config: &PodDNSConfig) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let servers = config.nameservers.as_deref().unwrap_or_default();
    let servers_path = path.child("nameservers");
    if servers.len() > DNS_LIMITS.0 {
        let detail = format!("must not have more than {} nameservers", DNS_LIMITS.0);
        errors.push(FieldError::invalid(&servers_path, servers.to_vec(), detail));
    }
    for (i, server) in servers.iter().enumerate() {
        errors.extend(names::check(names::ip, &servers_path.index(i), server));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    let searches_path = path.child("searches");
    if searches.len() > DNS_LIMITS.1 {
        let detail = format!("must not have more than {} search paths", DNS_LIMITS.1);
        errors.push(FieldError::invalid(&searches_path, searches.to_vec(), detail));
    }
    let length = searches.iter().map(String::len).sum::<usize>() + searches.len().saturating_sub(1);
    if length > DNS_LIMITS.2 {
        let detail =
            format!("must not have more than {} characters (including spaces) in the search list", DNS_LIMITS.2);
        errors.push(FieldError::invalid(&searches_path, searches.to_vec(), detail));
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        // A final dot says that it is complete, and underscores are in use.
        let plain = search.strip_suffix('.').unwrap_or(search).replace('_', "a");
        let path = searches_path.index(i);
        let wrong = names::dns1123_subdomain(&plain).into_iter();
        errors.extend(wrong.map(|error| FieldError::invalid(&path, search.as_str(), error)));
    }
    for (i, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().is_none_or(str::is_empty) {
            errors.push(FieldError::required(&path.child("options").index(i), "must not be empty"));
        }
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
