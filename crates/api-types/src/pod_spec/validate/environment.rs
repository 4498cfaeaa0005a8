//! Environment variables and where they come from.

use crate::{
    core::{Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector},
    field::{FieldError, Path},
    quantity::{Quantity, Wire},
    validation::names,
};

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that only a volume can show.
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Where a reference to the pod's own fields stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Environment,
    Volume,
}

pub(super) fn validate(path: &Path, container: &Container) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, env) in container.env.iter().flatten().enumerate() {
        errors.extend(variable(&path.child("env").index(i), env));
    }
    for (i, source) in container.env_from.iter().flatten().enumerate() {
        errors.extend(env_from(&path.child("envFrom").index(i), source));
    }
    errors
}

fn variable(path: &Path, env: &EnvVar) -> Vec<FieldError> {
    if env.name.is_empty() {
        return vec![FieldError::required(&path.child("name"), "")];
    }
    let mut errors = names::check(names::env_var_name, &path.child("name"), &env.name);
    if let Some(source) = &env.value_from {
        let valued = env.value.as_ref().is_some_and(|value| !value.is_empty());
        errors.extend(value_from(&path.child("valueFrom"), source, valued.then_some("set")));
    }
    errors
}

fn value_from(path: &Path, source: &EnvVarSource, value: Option<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    if let Some(reference) = &source.field_ref {
        count += 1;
        errors.extend(field_ref(&path.child("fieldRef"), reference, Place::Environment));
    }
    if let Some(reference) = &source.resource_field_ref {
        count += 1;
        errors.extend(resource_field_ref(&path.child("resourceFieldRef"), reference));
    }
    let config_map = source.config_map_key_ref.as_ref().map(|r| ("configMapKeyRef", r.name.as_str(), r.key.as_str()));
    let secret = source.secret_key_ref.as_ref().map(|r| ("secretKeyRef", r.name.as_str(), r.key.as_str()));
    for (field, name, key) in config_map.into_iter().chain(secret) {
        count += 1;
        errors.extend(key_ref(&path.child(field), name, key));
    }
    count += usize::from(source.file_key_ref.is_some());
    let invalid = |detail: &str| FieldError::invalid(path, "", detail);
    match (count, value) {
        (0, _) => errors.push(invalid(
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        )),
        (_, Some(_)) => errors.push(invalid("may not be specified when `value` is not empty")),
        (2.., None) => errors.push(invalid("may not have more than one field specified at a time")),
        (1, None) => {}
    }
    errors
}

fn key_ref(path: &Path, name: &str, key: &str) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::required(&path.child("name"), name).into_iter().collect();
    match key {
        "" => errors.push(FieldError::required(&path.child("key"), "")),
        key => errors.extend(names::check(names::config_key, &path.child("key"), key)),
    }
    errors
}

fn env_from(path: &Path, source: &EnvFromSource) -> Vec<FieldError> {
    let prefix = source.prefix.as_deref();
    let mut errors = names::check_optional(names::env_var_name, &path.child("prefix"), prefix);
    let config_map = source.config_map_ref.as_ref().map(|reference| ("configMapRef", reference.name.as_str()));
    let secret = source.secret_ref.as_ref().map(|reference| ("secretRef", reference.name.as_str()));
    let sources: Vec<_> = config_map.into_iter().chain(secret).collect();
    for (field, name) in &sources {
        errors.extend(names::required(&path.child(field).child("name"), name));
    }
    match sources.len() {
        0 => errors.push(FieldError::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")),
        1 => {}
        _ => errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time")),
    }
    errors
}

/// A reference to one of the pod's own fields.
pub(super) fn field_ref(path: &Path, reference: &ObjectFieldSelector, place: Place) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(names::required(&path.child("apiVersion"), reference.api_version.as_deref().unwrap_or_default()));
    let field_path = path.child("fieldPath");
    let field = reference.field_path.as_str();
    if field.is_empty() {
        errors.push(FieldError::required(&field_path, ""));
        return errors;
    }
    if let Some(version) = reference.api_version.as_deref().filter(|version| !matches!(*version, "" | "v1")) {
        let detail = format!("error converting fieldPath: unsupported pod version: {version}");
        errors.push(FieldError::invalid(&field_path, field, detail));
        return errors;
    }
    let key = ["metadata.labels", "metadata.annotations"]
        .iter()
        .find_map(|map| field.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']"));
    let allowed: &[&str] = if place == Place::Environment { &FIELDS } else { &VOLUME_FIELDS };
    match key {
        Some(key) => errors.extend(names::check(names::qualified_name, &field_path, key)),
        None if allowed.contains(&field) => {}
        None if FIELDS.contains(&field) || VOLUME_FIELDS.contains(&field) => {
            errors.push(FieldError::not_supported(&field_path, field, allowed));
        }
        None => {
            let detail = format!("error converting fieldPath: field label not supported: {field}");
            errors.push(FieldError::invalid(&field_path, field, detail));
        }
    }
    errors
}

/// A reference to what a container asks for.
pub(super) fn resource_field_ref(path: &Path, reference: &ResourceFieldSelector) -> Vec<FieldError> {
    let resource = reference.resource.as_str();
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    let mut errors = Vec::new();
    if !huge {
        errors.extend(names::one_of(&path.child("resource"), Some(resource), &RESOURCES));
    }
    if let Some(divisor) = &reference.divisor {
        errors.extend(divisor_of(&path.child("divisor"), resource, divisor));
    }
    errors
}

const UNITS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// By what amounts of a resource are divided where they are shown.
fn divisor_of(path: &Path, resource: &str, wire: &Wire) -> Option<FieldError> {
    let divisor = match Quantity::try_from(wire) {
        Ok(divisor) => divisor,
        Err(error) => return Some(FieldError::invalid(path, wire.0.as_str(), error.to_string())),
    };
    if divisor.is_zero() {
        return None;
    }
    let (words, units): (&str, &[&str]) = match resource.split_once('.')?.1 {
        "cpu" => ("cpu", &["1m", "1"]),
        "memory" => ("memory", &UNITS),
        "ephemeral-storage" => ("local ephemeral storage", &UNITS),
        name if name.starts_with("hugepages-") => ("hugepages", &UNITS),
        _ => return None,
    };
    if units.contains(&divisor.to_string().as_str()) {
        return None;
    }
    let units = if words == "cpu" { "1m and 1".to_owned() } else { units.join(", ") };
    let detail = format!("only divisor's values {units} are supported with the {words} resource");
    Some(FieldError::invalid(path, resource, detail))
}
