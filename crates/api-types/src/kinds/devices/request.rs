//! What a claim asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    MAX_CONFIGURATIONS, MAX_REQUESTS, configuration, each, each_once, fully_qualified, selectors, tolerations,
};
use crate::{
    devices::{DeviceClaim, DeviceConstraint, DeviceRequest, DeviceToleration},
    field::{FieldError, Path},
    validation::names,
};

const MAX_CONSTRAINTS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
const ONE_FORM: &str = "exactly one of `exactly` or `firstAvailable` is required";
const NO_CONSTRAINT: &str =
    r#"exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#;

/// One of a device, unless something else is said.
pub fn set_defaults(claim: &mut DeviceClaim) {
    for request in claim.requests.iter_mut().flatten() {
        if let Some(exactly) = &mut request.exactly {
            set_amount(&mut exactly.allocation_mode, &mut exactly.count);
            set_operators(exactly.tolerations.as_mut());
        }
        for alternative in request.first_available.iter_mut().flatten() {
            set_amount(&mut alternative.allocation_mode, &mut alternative.count);
            set_operators(alternative.tolerations.as_mut());
        }
    }
}

fn set_amount(mode: &mut Option<String>, count: &mut Option<i64>) {
    let mode = mode.get_or_insert_default();
    if mode.is_empty() {
        "ExactCount".clone_into(mode);
    }
    if mode == "ExactCount" && count.unwrap_or_default() == 0 {
        *count = Some(1);
    }
}

fn set_operators(tolerations: Option<&mut Vec<DeviceToleration>>) {
    for toleration in tolerations.into_iter().flatten() {
        let operator = toleration.operator.get_or_insert_default();
        if operator.is_empty() {
            "Equal".clone_into(operator);
        }
    }
}

/// The names of requests, with those of their alternatives.
pub struct RequestNames<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> RequestNames<'a> {
    pub fn of(claim: Option<&'a DeviceClaim>) -> Self {
        let requests = claim.into_iter().flat_map(|claim| claim.requests.iter().flatten());
        Self(requests.map(|request| (request.name.as_str(), alternatives(request))).collect())
    }

    /// A name that has to be one of them.
    pub fn check(&self, path: &Path, name: &str) -> Vec<FieldError> {
        let unknown = || FieldError::invalid(path, name, NO_REQUEST);
        let steps: Vec<&str> = name.split('/').collect();
        if steps.len() > 2 {
            return vec![unknown()];
        }
        let mut errors: Vec<FieldError> =
            steps.iter().flat_map(|step| names::check(names::dns1123_label, path, step)).collect();
        let request = self.0.get(steps[0]);
        let known = request.is_some_and(|own| steps.get(1).is_none_or(|alternative| own.contains(alternative)));
        if !known {
            errors.push(unknown());
        }
        errors
    }

    /// Names of which each is one of them.
    pub fn check_each(&self, path: &Path, requests: Option<&Vec<String>>) -> Vec<FieldError> {
        let check = |path: &Path, name: &String| self.check(path, name);
        each_once(&path.child("requests"), requests, MAX_REQUESTS, String::clone, check)
    }
}

fn alternatives(request: &DeviceRequest) -> BTreeSet<&str> {
    request.first_available.iter().flatten().map(|alternative| alternative.name.as_str()).collect()
}

pub fn validate(path: &Path, claim: Option<&DeviceClaim>) -> Vec<FieldError> {
    let Some(claim) = claim else { return Vec::new() };
    let known = RequestNames::of(Some(claim));
    let name = |request: &DeviceRequest| request.name.clone();
    let mut errors = each_once(&path.child("requests"), claim.requests.as_ref(), MAX_REQUESTS, name, request);
    errors.extend(each(&path.child("constraints"), claim.constraints.as_ref(), MAX_CONSTRAINTS, |path, own| {
        constraint(path, own, &known)
    }));
    errors.extend(each(&path.child("config"), claim.config.as_ref(), MAX_CONFIGURATIONS, |path, own| {
        let mut errors = known.check_each(path, own.requests.as_ref());
        errors.extend(configuration(path, own.opaque.as_ref()));
        errors
    }));
    errors
}

fn request(path: &Path, own: &DeviceRequest) -> Vec<FieldError> {
    let mut errors = names::check(names::dns1123_label, &path.child("name"), &own.name);
    let several = own.first_available.as_ref().filter(|alternatives| !alternatives.is_empty());
    match (&own.exactly, several) {
        (None, None) => errors.push(FieldError::required(path, ONE_FORM)),
        (Some(_), Some(_)) => {
            let detail = format!("{ONE_FORM}, but multiple fields are set");
            errors.push(FieldError::invalid(path, serde_json::Value::Null, detail));
        }
        (None, several) => {
            let path = path.child("firstAvailable");
            let name = |own: &crate::devices::DeviceSubRequest| own.name.clone();
            errors.extend(each_once(&path, several, MAX_ALTERNATIVES, name, |path, own| {
                let mut errors = names::check(names::dns1123_label, &path.child("name"), &own.name);
                errors.extend(class(path, &own.device_class_name));
                errors.extend(selectors(&path.child("selectors"), own.selectors.as_ref()));
                errors.extend(amount(path, own.allocation_mode.as_deref(), own.count));
                errors.extend(tolerations(&path.child("tolerations"), own.tolerations.as_ref()));
                errors
            }));
        }
        (Some(own), None) => {
            let path = path.child("exactly");
            errors.extend(class(&path, &own.device_class_name));
            errors.extend(selectors(&path.child("selectors"), own.selectors.as_ref()));
            errors.extend(amount(&path, own.allocation_mode.as_deref(), own.count));
            errors.extend(tolerations(&path.child("tolerations"), own.tolerations.as_ref()));
        }
    }
    errors
}

fn class(path: &Path, name: &str) -> Vec<FieldError> {
    names::required_name(names::dns1123_subdomain, &path.child("deviceClassName"), name)
}

fn amount(path: &Path, mode: Option<&str>, count: Option<i64>) -> Option<FieldError> {
    let (count_path, count) = (path.child("count"), count.unwrap_or_default());
    match mode.unwrap_or_default() {
        "All" => (count != 0)
            .then(|| FieldError::invalid(&count_path, count, "must not be specified when allocationMode is 'All'")),
        "ExactCount" => (count <= 0).then(|| FieldError::invalid(&count_path, count, "must be greater than zero")),
        mode => Some(FieldError::not_supported(&path.child("allocationMode"), mode, &["All", "ExactCount"])),
    }
}

fn constraint(path: &Path, own: &DeviceConstraint, known: &RequestNames<'_>) -> Vec<FieldError> {
    let mut errors = known.check_each(path, own.requests.as_ref());
    match (&own.match_attribute, &own.distinct_attribute) {
        (Some(name), _) => errors.extend(fully_qualified(&path.child("matchAttribute"), name)),
        (None, Some(name)) => errors.extend(fully_qualified(&path.child("distinctAttribute"), name)),
        (None, None) => errors.push(FieldError::required(path, NO_CONSTRAINT)),
    }
    errors
}
