//! What containers ask for.

use std::collections::BTreeMap;

use crate::{
    core::ResourceRequirements,
    field::{FieldError, Path},
    quantity::{Quantity, Wire},
    validation::names,
};

const STANDARD: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

pub(crate) fn validate(path: &Path, resources: &ResourceRequirements) -> Vec<FieldError> {
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let mut errors = Vec::new();
    let limits = amounts(&limits_path, resources.limits.as_ref(), &mut errors);
    let requests = amounts(&requests_path, resources.requests.as_ref(), &mut errors);
    for (name, request) in requests {
        let limit = limits.get(name).copied();
        let cannot_overcommit = !is_overcommitable(name);
        match limit {
            Some(limit) if cannot_overcommit && request != limit => {
                let detail = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests_path, request.to_string(), detail));
            }
            Some(limit) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests_path, request.to_string(), detail));
            }
            None if cannot_overcommit => {
                errors.push(FieldError::required(&limits_path, "Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
    }
    errors
}

/// Extended resources and huge pages are handed out whole.
fn is_overcommitable(name: &str) -> bool {
    !name.starts_with("hugepages-") && (!name.contains('/') || name.contains("kubernetes.io/"))
}

fn amounts<'a>(
    path: &Path,
    list: Option<&'a BTreeMap<String, Wire>>,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<&'a str, Quantity> {
    let mut amounts = BTreeMap::new();
    for (name, wire) in list.into_iter().flatten() {
        let path = path.key(name);
        errors.extend(resource_name(&path, name));
        match Quantity::try_from(wire) {
            Err(error) => errors.push(FieldError::invalid(&path, wire.0.as_str(), error.to_string())),
            Ok(amount) => {
                errors.extend(amount_errors(&path, name, amount));
                amounts.insert(name.as_str(), amount);
            }
        }
    }
    amounts
}

fn amount_errors(path: &Path, name: &str, amount: Quantity) -> Option<FieldError> {
    let detail = if amount.is_negative() {
        "must be greater than or equal to 0"
    } else if !is_overcommitable(name) && !amount.is_whole() {
        "must be an integer"
    } else {
        return None;
    };
    Some(FieldError::invalid(path, amount.to_string(), detail))
}

fn resource_name(path: &Path, name: &str) -> Vec<FieldError> {
    let errors = names::check(names::qualified_name, path, name);
    if !errors.is_empty() || name.contains('/') || STANDARD.contains(&name) || name.starts_with("hugepages-") {
        return errors;
    }
    ["must be a standard resource type or fully qualified", "must be a standard resource for containers"]
        .iter()
        .map(|detail| FieldError::invalid(path, name, *detail))
        .collect()
}
