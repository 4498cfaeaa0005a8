//! `resource.k8s.io/v1`: devices that are claimed. Expressions that select devices are not compiled.

mod allocation;
mod claim;
mod device_class;
mod request;
mod slice;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::{
    devices::{DeviceSelector, DeviceToleration, OpaqueDeviceConfiguration},
    expressions,
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::runtime::RawExtension,
    validation::{names, volume},
};

const MAX_REQUESTS: usize = 32;
const MAX_CONFIGURATIONS: usize = 32;
const MAX_SELECTORS: usize = 32;
const MAX_EXPRESSION: usize = 10 << 10;
const MAX_DATA: usize = 10 << 10;
const MAX_POOL_NAME: usize = 253;
const MAX_IDENTIFIER: usize = 32;
const MAX_TOLERATIONS: usize = 16;
const MAX_BINDING_CONDITIONS: usize = 4;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
const NO_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";

/// Each of not too many. Nothing else is said of too many.
fn each<T>(
    path: &Path,
    items: Option<&Vec<T>>,
    max: usize,
    check: impl Fn(&Path, &T) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let items = items.map(Vec::as_slice).unwrap_or_default();
    if items.len() > max {
        return vec![FieldError::too_many(path, items.len(), max)];
    }
    items.iter().enumerate().flat_map(|(i, item)| check(&path.index(i), item)).collect()
}

/// The same, and each once.
fn each_once<T>(
    path: &Path,
    items: Option<&Vec<T>>,
    max: usize,
    key: impl Fn(&T) -> String,
    check: impl Fn(&Path, &T) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let mut errors = each(path, items, max, check);
    if items.map_or(0, Vec::len) <= max {
        let mut seen = BTreeSet::new();
        let keys = items.into_iter().flatten().map(key).enumerate();
        let again = keys.filter(|(_, key)| !seen.insert(key.clone()));
        errors.extend(again.map(|(i, key)| FieldError::duplicate(&path.index(i), key)));
    }
    errors
}

/// The name of a pool: subdomains, separated by slashes.
fn pool_name(path: &Path, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let too_long = (name.len() > MAX_POOL_NAME).then(|| FieldError::too_long(path, MAX_POOL_NAME));
    let parts = name.split('/').flat_map(|part| names::check(names::dns1123_subdomain, path, part));
    too_long.into_iter().chain(parts).collect()
}

/// The name of an attribute or a capacity, with or without a domain.
fn qualified(path: &Path, name: &str) -> Vec<FieldError> {
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(path, id),
        [domain, id] => {
            let mut errors = match domain {
                "" => vec![FieldError::invalid(path, "", "the domain must not be empty")],
                domain => volume::driver_name(path, domain),
            };
            match id {
                "" => errors.push(FieldError::invalid(path, "", "the name must not be empty")),
                id => errors.extend(identifier(path, id)),
            }
            errors
        }
        _ => vec![FieldError::invalid(path, name, "must not contain more than one slash")],
    }
}

/// The name of an attribute, with its domain.
fn fully_qualified(path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors = qualified(path, name);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

fn identifier(path: &Path, id: &str) -> Vec<FieldError> {
    let too_long = (id.len() > MAX_IDENTIFIER).then(|| FieldError::too_long(path, MAX_IDENTIFIER));
    let good = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && id.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    let wrong = (!good).then(|| FieldError::invalid(path, id, NO_IDENTIFIER));
    too_long.into_iter().chain(wrong).collect()
}

fn selectors(path: &Path, selectors: Option<&Vec<DeviceSelector>>) -> Vec<FieldError> {
    each(path, selectors, MAX_SELECTORS, |path, selector| match &selector.cel {
        None => vec![FieldError::required(&path.child("cel"), "")],
        Some(cel) if cel.expression.len() > MAX_EXPRESSION => {
            vec![FieldError::too_long(&path.child("cel").child("expression"), MAX_EXPRESSION)]
        }
        Some(cel) => {
            let path = path.child("cel").child("expression");
            match expressions::device(&cel.expression) {
                Err(why) => vec![FieldError::invalid(&path, cel.expression.as_str(), why)],
                Ok((_, cost)) if !expressions::is_affordable(cost) => {
                    vec![FieldError::forbidden(&path, "too complex, exceeds cost limit")]
                }
                Ok(_) => Vec::new(),
            }
        }
    })
}

/// What a driver is told.
fn configuration(path: &Path, opaque: Option<&OpaqueDeviceConfiguration>) -> Vec<FieldError> {
    let path = path.child("opaque");
    let Some(opaque) = opaque else { return vec![FieldError::required(&path, "")] };
    let mut errors = volume::driver_name(&path.child("driver"), &opaque.driver);
    errors.extend(data(&path.child("parameters"), &opaque.parameters));
    errors
}

/// An object of any kind, not too long.
fn data(path: &Path, data: &RawExtension) -> Option<FieldError> {
    if data.0.is_null() {
        return Some(FieldError::required(path, ""));
    }
    if data.0.to_string().len() > MAX_DATA {
        return Some(FieldError::too_long(path, MAX_DATA));
    }
    (!data.0.is_object()).then(|| FieldError::invalid(path, "<value omitted>", "must be a valid JSON object"))
}

fn tolerations(path: &Path, tolerations: Option<&Vec<DeviceToleration>>) -> Vec<FieldError> {
    each(path, tolerations, MAX_TOLERATIONS, |path, own| {
        let key = own.key.as_deref();
        let mut errors = names::check_optional(names::qualified_name, &path.child("key"), key);
        let (value, value_path) = (own.value.as_deref().unwrap_or_default(), path.child("value"));
        match own.operator.as_deref().unwrap_or_default() {
            "Exists" if !value.is_empty() => {
                errors.push(FieldError::invalid(&value_path, value, "must be empty for operator `Exists`"));
            }
            "Exists" => {}
            "Equal" => errors.extend(names::check(names::label_value, &value_path, value)),
            operator => errors.extend(names::one_of(&path.child("operator"), Some(operator), &["Equal", "Exists"])),
        }
        errors.extend(names::none_or_one_of(&path.child("effect"), own.effect.as_deref(), &EFFECTS));
        errors
    })
}

/// Conditions that devices wait for before pods are bound, and those that keep them from it.
fn binding(path: &Path, wanted: Option<&Vec<String>>, failed: Option<&Vec<String>>) -> Vec<FieldError> {
    let (wanted_path, failed_path) = (path.child("bindingConditions"), path.child("bindingFailureConditions"));
    let name = |path: &Path, name: &String| names::check(names::qualified_name, path, name);
    let mut errors = each(&wanted_path, wanted, MAX_BINDING_CONDITIONS, name);
    errors.extend(each(&failed_path, failed, MAX_BINDING_CONDITIONS, name));
    let (wanted, failed) =
        (wanted.map(Vec::as_slice).unwrap_or_default(), failed.map(Vec::as_slice).unwrap_or_default());
    let (mut seen_wanted, mut seen_failed) = (BTreeSet::new(), BTreeSet::new());
    for (i, condition) in wanted.iter().enumerate() {
        if !seen_wanted.insert(condition) {
            errors.push(FieldError::duplicate(&wanted_path.index(i), condition.as_str()));
        }
    }
    for (i, condition) in failed.iter().enumerate() {
        if !seen_failed.insert(condition) {
            errors.push(FieldError::duplicate(&failed_path.index(i), condition.as_str()));
        }
        if seen_wanted.contains(condition) {
            let detail = "bindingFailureConditions must not overlap with bindingConditions";
            errors.push(FieldError::invalid(&failed_path.index(i), condition.as_str(), detail));
        }
    }
    if wanted.is_empty() && !failed.is_empty() {
        let detail = "bindingConditions are required to use bindingFailureConditions";
        errors.push(FieldError::invalid(&wanted_path, wanted.to_vec(), detail));
    }
    if failed.is_empty() && !wanted.is_empty() {
        let detail = "bindingFailureConditions are required to use bindingConditions";
        errors.push(FieldError::invalid(&failed_path, failed.to_vec(), detail));
    }
    errors
}
