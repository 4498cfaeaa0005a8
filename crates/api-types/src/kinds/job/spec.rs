//! What a job may want.

use super::policies;
use crate::{
    batch::{JobSpec, JobTemplateSpec},
    field::{FieldError, Path},
    pod_spec::validate::validate_template,
    validation::{names, number},
};

const MOST_AT_ONCE: i32 = 100_000;
const MOST_FAILED: i32 = 100_000;
/// Beyond so many completions the other two limits hold, where failures are counted by index.
const MANY: i32 = 100_000;
const MOST_AT_ONCE_OF_MANY: i32 = 10_000;
const MOST_FAILED_OF_MANY: i32 = 10_000;
const MANAGER_MAX: usize = 63;
const MODES: &[&str] = &["NonIndexed", "Indexed"];

/// Whether each of a job's completions has its number.
pub fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// A well-formed job, but for its selector.
pub(super) fn validate(path: &Path, spec: &JobSpec) -> Vec<FieldError> {
    let mut errors = counts(path, spec);
    if let Some(manager) = &spec.managed_by {
        let path = path.child("managedBy");
        errors.extend(names::domain_prefixed_path(&path, manager));
        if manager.len() > MANAGER_MAX {
            errors.push(FieldError::too_long(&path, MANAGER_MAX));
        }
    }
    errors.extend(mode(path, spec));
    if let Some(policy) = &spec.pod_failure_policy {
        errors.extend(policies::failure(&path.child("podFailurePolicy"), policy, spec));
    }
    if let Some(policy) = &spec.success_policy {
        let path = path.child("successPolicy");
        if is_indexed(spec) {
            errors.extend(policies::success(&path, policy, spec.completions.unwrap_or_default()));
        } else {
            let value = serde_json::to_value(policy).unwrap_or_default();
            errors.push(FieldError::invalid(&path, value, NOT_INDEXED));
        }
    }
    errors.extend(policies::replacement(&path.child("podReplacementPolicy"), spec));
    errors.extend(validate_template(&path.child("template"), &spec.template));
    errors.extend(restart_policy(&path.child("template").child("spec").child("restartPolicy"), spec));
    errors
}

/// A job as a cron job makes it: its selector is yet to be made.
pub fn validate_template_spec(path: &Path, template: &JobTemplateSpec) -> Vec<FieldError> {
    let default = JobSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&default);
    let path = path.child("spec");
    let mut errors = validate(&path, spec);
    if let Some(selector) = &spec.selector {
        let value = serde_json::to_value(selector).unwrap_or_default();
        errors.push(FieldError::invalid(&path.child("selector"), value, "`selector` will be auto-generated"));
    }
    if spec.manual_selector == Some(true) {
        errors.push(FieldError::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
    errors
}

const NOT_INDEXED: &str = "requires indexed completion mode";

fn counts(path: &Path, spec: &JobSpec) -> Vec<FieldError> {
    let counts = [
        ("parallelism", spec.parallelism.map(i64::from)),
        ("completions", spec.completions.map(i64::from)),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit.map(i64::from)),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.map(i64::from)),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index.map(i64::from)),
        ("maxFailedIndexes", spec.max_failed_indexes.map(i64::from)),
    ];
    let negative = |(field, count): (&str, Option<i64>)| number::non_negative(&path.child(field), count?);
    let mut errors: Vec<FieldError> = counts.into_iter().filter_map(negative).collect();
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    errors
}

fn mode(path: &Path, spec: &JobSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(mode) = spec.completion_mode.as_deref().filter(|mode| !MODES.contains(mode)) {
        errors.push(FieldError::not_supported(&path.child("completionMode"), mode, MODES));
    }
    if is_indexed(spec) {
        errors.extend(indexed(path, spec));
        errors.extend(many(path, spec));
    }
    if spec.completion_mode.as_deref().is_none_or(|mode| mode == "NonIndexed") {
        let by_index =
            [("backoffLimitPerIndex", spec.backoff_limit_per_index), ("maxFailedIndexes", spec.max_failed_indexes)];
        let wrong =
            |(field, own): (&str, Option<i32>)| Some(FieldError::invalid(&path.child(field), own?, NOT_INDEXED));
        errors.extend(by_index.into_iter().filter_map(wrong));
    }
    errors
}

fn indexed(path: &Path, spec: &JobSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec.completions.is_none() {
        errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    if let Some(parallelism) = spec.parallelism.filter(|own| *own > MOST_AT_ONCE) {
        let detail = format!("must be less than or equal to {MOST_AT_ONCE} when completion mode is Indexed");
        errors.push(FieldError::invalid(&path.child("parallelism"), parallelism, detail));
    }
    let Some(failed) = spec.max_failed_indexes else { return errors };
    let path = path.child("maxFailedIndexes");
    if spec.completions.is_some_and(|completions| failed > completions) {
        errors.push(FieldError::invalid(&path, failed, "must be less than or equal to completions"));
    }
    if failed > MOST_FAILED {
        errors.push(FieldError::invalid(&path, failed, format!("must be less than or equal to {MOST_FAILED}")));
    }
    errors
}

fn many(path: &Path, spec: &JobSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec.completions.is_none_or(|own| own <= MANY) || spec.backoff_limit_per_index.is_none() {
        return errors;
    }
    if spec.max_failed_indexes.is_none() {
        let detail = format!("must be specified when completions is above {MANY}");
        errors.push(FieldError::required(&path.child("maxFailedIndexes"), detail));
    }
    let limits = [
        ("parallelism", spec.parallelism, MOST_AT_ONCE_OF_MANY),
        ("maxFailedIndexes", spec.max_failed_indexes, MOST_FAILED_OF_MANY),
    ];
    for (field, own, most) in limits {
        if let Some(own) = own.filter(|own| *own > most) {
            let detail = format!(
                "must be less than or equal to {most} when completions are above {MANY} and used with backoff limit per index"
            );
            errors.push(FieldError::invalid(&path.child(field), own, detail));
        }
    }
    errors
}

/// A pod that ends may not be started again by the kubelet for ever.
fn restart_policy(path: &Path, spec: &JobSpec) -> Option<FieldError> {
    let policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or_default();
    match policy {
        "" | "Always" => Some(FieldError::required(path, r#"valid values: "OnFailure", "Never""#)),
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            let detail = r#"only "Never" is supported when podFailurePolicy is specified"#;
            Some(FieldError::invalid(path, policy, detail))
        }
        "OnFailure" | "Never" => None,
        other => Some(FieldError::not_supported(path, other, &["OnFailure", "Never"])),
    }
}
