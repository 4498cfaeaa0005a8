//! When a job has failed, when it has succeeded, and when its pods are replaced.

use std::collections::BTreeSet;

use super::indexes;
use crate::{
    batch::{
        JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
        PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
    },
    field::{FieldError, Path},
    validation::{names, number},
};

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_PATTERNS: usize = 20;
const MAX_INDEXES: usize = 64 * 1024;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];
const REPLACEMENTS: &[&str] = &["Failed", "TerminatingOrFailed"];

/// One of a set; told as Go prints the set when it is missing.
fn one_of(path: &Path, own: &str, known: &[&str]) -> Option<FieldError> {
    if own.is_empty() {
        let all: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
        return Some(FieldError::required(path, format!("valid values: [{}]", all.join(" "))));
    }
    (!known.contains(&own)).then(|| FieldError::not_supported(path, own, known))
}

pub(super) fn failure(path: &Path, policy: &PodFailurePolicy, spec: &JobSpec) -> Vec<FieldError> {
    let path = path.child("rules");
    let mut errors = Vec::new();
    if policy.rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&path, policy.rules.len(), MAX_RULES));
    }
    let pods = spec.template.spec.iter();
    let names = pods.flat_map(|pod| pod.containers.iter().chain(pod.init_containers.iter().flatten()));
    let names: BTreeSet<&str> = names.map(|container| container.name.as_str()).collect();
    let rules = policy.rules.iter().enumerate();
    errors.extend(rules.flat_map(|(i, rule)| failure_rule(&path.index(i), rule, spec, &names)));
    errors
}

fn failure_rule(path: &Path, rule: &PodFailurePolicyRule, spec: &JobSpec, names: &BTreeSet<&str>) -> Vec<FieldError> {
    let action_path = path.child("action");
    let mut errors: Vec<FieldError> = one_of(&action_path, &rule.action, ACTIONS).into_iter().collect();
    if rule.action == "FailIndex" && spec.backoff_limit_per_index.is_none() {
        let detail = "requires the backoffLimitPerIndex to be set";
        errors.push(FieldError::invalid(&action_path, rule.action.as_str(), detail));
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    if let Some(own) = &rule.on_exit_codes {
        errors.extend(exit_codes(&path.child("onExitCodes"), own, names));
    }
    errors.extend(pod_conditions(&path.child("onPodConditions"), patterns));
    match (rule.on_exit_codes.is_some(), !patterns.is_empty()) {
        (true, true) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(FieldError::invalid_whole(path, detail));
        }
        (false, false) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(FieldError::invalid_whole(path, detail));
        }
        _ => {}
    }
    errors
}

fn pod_conditions(path: &Path, patterns: &[PodFailurePolicyOnPodConditionsPattern]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if patterns.len() > MAX_PATTERNS {
        errors.push(FieldError::too_many(path, patterns.len(), MAX_PATTERNS));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let path = path.index(i);
        errors.extend(names::check(names::qualified_name, &path.child("type"), &pattern.type_));
        let status = pattern.status.as_deref().unwrap_or_default();
        errors.extend(one_of(&path.child("status"), status, STATUSES));
    }
    errors
}

fn exit_codes(path: &Path, own: &PodFailurePolicyOnExitCodesRequirement, names: &BTreeSet<&str>) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = one_of(&path.child("operator"), &own.operator, OPERATORS).into_iter().collect();
    if let Some(name) = own.container_name.as_deref().filter(|name| !names.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(&path.child("containerName"), name, detail));
    }
    let (path, values) = (path.child("values"), own.values.as_slice());
    if values.is_empty() {
        errors.push(FieldError::invalid(&path, values.to_vec(), "at least one value is required"));
    } else if values.len() > MAX_EXIT_CODES {
        errors.push(FieldError::too_many(&path, values.len(), MAX_EXIT_CODES));
    }
    let mut taken = BTreeSet::new();
    for (i, value) in values.iter().enumerate() {
        if own.operator == "In" && *value == 0 {
            errors.push(FieldError::invalid(&path.index(i), 0, "must not be 0 for the In operator"));
        }
        if !taken.insert(value) {
            errors.push(FieldError::duplicate(&path.index(i), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(&path, values.to_vec(), "must be ordered"));
    }
    errors
}

pub(super) fn success(path: &Path, policy: &SuccessPolicy, completions: i32) -> Vec<FieldError> {
    let path = path.child("rules");
    let mut errors = Vec::new();
    if policy.rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, detail));
    }
    if policy.rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&path, policy.rules.len(), MAX_RULES));
    }
    let rules = policy.rules.iter().enumerate();
    errors.extend(rules.flat_map(|(i, rule)| success_rule(&path.index(i), rule, completions)));
    errors
}

fn success_rule(path: &Path, rule: &SuccessPolicyRule, completions: i32) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut total = 0;
    if let Some(own) = &rule.succeeded_indexes {
        let path = path.child("succeededIndexes");
        if own.len() > MAX_INDEXES {
            errors.push(FieldError::too_long(&path, MAX_INDEXES));
        }
        match indexes::count(own, completions) {
            Ok(count) => total = count,
            Err(why) => {
                let detail = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(&path, own.as_str(), detail));
            }
        }
    }
    let Some(count) = rule.succeeded_count else { return errors };
    let path = path.child("succeededCount");
    errors.extend(number::non_negative(&path, count));
    let mut limit = |most: i64, what: &str| {
        if i64::from(count) > most {
            let detail = format!("must be less than or equal to {most} (the number of {what})");
            errors.push(FieldError::invalid(&path, count, detail));
        }
    };
    limit(completions.into(), "specified completions");
    if rule.succeeded_indexes.is_some() {
        limit(total, "indexes in the specified succeededIndexes field");
    }
    errors
}

/// Where failures are judged, a pod is replaced when it has failed.
pub(super) fn replacement(path: &Path, spec: &JobSpec) -> Option<FieldError> {
    let own = spec.pod_replacement_policy.as_deref()?;
    let known = if spec.pod_failure_policy.is_some() { &REPLACEMENTS[..1] } else { REPLACEMENTS };
    (!known.contains(&own)).then(|| FieldError::not_supported(path, own, known))
}
