//! What containers ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    core::{ContainerResizePolicy, PodSpec, ResourceRequirements},
    field::{FieldError, Path},
    quantity::{Quantity, Wire},
    validation::names,
};

/// What a container wants, of which claims have to be the pod's.
pub(super) fn validate_container(path: &Path, resources: &ResourceRequirements, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = validate(path, resources);
    let known: BTreeSet<&str> = spec.resource_claims.iter().flatten().map(|claim| claim.name.as_str()).collect();
    let mut taken = BTreeSet::new();
    for (i, claim) in resources.claims.iter().flatten().enumerate() {
        let (name, path) = (claim.name.as_str(), path.child("claims").index(i));
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let request = claim.request.as_deref().filter(|request| !request.is_empty());
        if let Some(request) = request {
            errors.extend(names::check(names::dns1123_label, &path.child("request"), request));
        }
        if !taken.insert((name, request)) {
            errors.push(FieldError::duplicate(&path, name));
        }
        if !known.contains(name) {
            let mut error = FieldError::not_found(&path, name);
            error.detail = match known.is_empty() {
                true => "must be one of the names in pod.spec.resourceClaims which is empty".to_owned(),
                false => {
                    let known: Vec<&str> = known.iter().copied().collect();
                    format!("must be one of the names in pod.spec.resourceClaims: {}", known.join(", "))
                }
            };
            errors.push(error);
        }
    }
    errors
}

/// How containers take other resources while they run.
pub(super) fn resize_policies(
    path: &Path,
    policies: &[ContainerResizePolicy],
    restart_policy: Option<&str>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, policy) in policies.iter().enumerate() {
        if !taken.insert(&policy.resource_name) {
            errors.push(FieldError::duplicate(&path.index(i), policy.resource_name.as_str()));
        }
        errors.extend(names::one_of(path, Some(&policy.resource_name), &["cpu", "memory"]));
        errors.extend(names::one_of(path, Some(&policy.restart_policy), &["NotRequired", "RestartContainer"]));
        if restart_policy == Some("Never") && policy.restart_policy != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, policy.restart_policy.as_str(), detail));
        }
    }
    errors
}

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
    let named = |wanted: fn(&str) -> bool| {
        let lists = [resources.limits.as_ref(), resources.requests.as_ref()];
        lists.into_iter().flatten().flat_map(BTreeMap::keys).any(|name| wanted(name))
    };
    if named(|name| name.starts_with(HUGE_PAGES)) && !named(|name| matches!(name, "cpu" | "memory")) {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    errors
}

const HUGE_PAGES: &str = "hugepages-";

/// Huge pages are whole pages.
fn is_divisible(name: &str, amount: Quantity) -> bool {
    let size = name.strip_prefix(HUGE_PAGES).and_then(|size| size.parse::<Quantity>().ok());
    let size = size.filter(|size| size.is_whole() && !size.is_zero() && !size.is_negative());
    size.is_some_and(|size| amount.value() % size.value() == 0)
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
                errors.extend(huge_pages(&path, name, amount));
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

fn huge_pages(path: &Path, name: &str, amount: Quantity) -> Option<FieldError> {
    if !name.starts_with(HUGE_PAGES) || is_divisible(name, amount) {
        return None;
    }
    let detail = format!("{amount} is not positive integer multiple of {name}");
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
