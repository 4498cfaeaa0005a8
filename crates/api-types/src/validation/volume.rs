//! Rules that persistent volumes, claims and storage classes share.

use std::collections::BTreeMap;

use super::names;
use crate::field::{FieldError, Path};

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const EXCLUSIVE: &str = "ReadWriteOncePod";
const DRIVER_NAME_MAX: usize = 63;
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETERS_SIZE: usize = 256 * 1024;

/// Known access modes, of which one excludes the others.
pub(crate) fn access_modes(path: &Path, modes: &[String]) -> Vec<FieldError> {
    let unknown = modes.iter().filter(|mode| !ACCESS_MODES.contains(&mode.as_str()));
    let mut errors: Vec<FieldError> =
        unknown.map(|mode| FieldError::not_supported(path, mode.as_str(), ACCESS_MODES)).collect();
    let other = |mode: &String| mode != EXCLUSIVE && ACCESS_MODES.contains(&mode.as_str());
    if modes.iter().any(|mode| mode == EXCLUSIVE) && modes.iter().any(other) {
        errors.push(FieldError::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

/// A known volume mode, or none.
pub(crate) fn volume_mode(path: &Path, mode: Option<&String>) -> Option<FieldError> {
    let unknown = mode.filter(|mode| !VOLUME_MODES.contains(&mode.as_str()))?;
    Some(FieldError::not_supported(path, unknown.as_str(), VOLUME_MODES))
}

/// The name of a class, or none.
pub(crate) fn class_name(path: &Path, name: Option<&String>) -> Vec<FieldError> {
    names::check_optional(names::dns1123_subdomain, path, name.map(String::as_str))
}

/// The name of a CSI driver.
pub(crate) fn driver_name(path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::required(path, name).into_iter().collect();
    if name.len() > DRIVER_NAME_MAX {
        errors.push(FieldError::too_long(path, DRIVER_NAME_MAX));
    }
    let wrong = names::dns1123_subdomain(&name.to_lowercase());
    errors.extend(wrong.into_iter().map(|error| FieldError::invalid(path, name, error)));
    errors
}

/// The name of a provisioner.
pub(crate) fn provisioner(path: &Path, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let lower = name.to_lowercase();
    names::check(names::qualified_name, path, &lower)
}

/// Parameters of a driver: not too many, not too long, none without a name.
pub(crate) fn parameters(path: &Path, parameters: Option<&BTreeMap<String, String>>) -> Vec<FieldError> {
    let Some(parameters) = parameters else { return Vec::new() };
    if parameters.len() > MAX_PARAMETERS {
        return vec![FieldError::too_long(path, MAX_PARAMETERS)];
    }
    let nameless = parameters.keys().filter(|key| key.is_empty());
    let mut errors: Vec<FieldError> =
        nameless.map(|key| FieldError::invalid(path, key.as_str(), "field can not be empty")).collect();
    let size: usize = parameters.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_PARAMETERS_SIZE {
        errors.push(FieldError::too_long(path, MAX_PARAMETERS_SIZE));
    }
    errors
}

/// Access modes as `kubectl get` shows them: `RWO,ROX`.
pub(crate) fn short_access_modes(modes: Option<&Vec<String>>) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), (EXCLUSIVE, "RWOP")];
    let has = |mode: &str| modes.into_iter().flatten().any(|own| own == mode);
    let shown: Vec<&str> = SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    shown.join(",")
}
