//! Rules that workloads share.

use crate::{
    IntOrString,
    core::{PodSpec, PodTemplateSpec},
    field::{FieldError, Path},
    meta::LabelSelector,
    pod_spec::validate::validate_template,
    selector::label::Selector,
    validation::{names, number, selector},
};

const ONLY_ALWAYS: &[&str] = &["Always"];

/// The meaning of a workload's selector, which must be well-formed and not empty. An empty one
/// cannot be told from an absent one here; it selects nothing, as an absent one does.
pub(crate) fn required_selector(path: &Path, own: &LabelSelector, errors: &mut Vec<FieldError>) -> Selector {
    if selector::is_empty(own) {
        errors.push(FieldError::required(path, ""));
        return Selector::nothing();
    }
    errors.extend(selector::validate(path, own));
    Selector::from_label_selector(Some(own)).unwrap_or_else(|_| {
        let value = serde_json::to_value(own).unwrap_or_default();
        errors.push(FieldError::invalid(path, value, "invalid label selector"));
        Selector::nothing()
    })
}

/// A template whose pods `selector` selects and that always restarts its containers.
pub(crate) fn validate(path: &Path, template: &PodTemplateSpec, selector: &Selector) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = selected(path, template, selector).into_iter().collect();
    errors.extend(validate_template(path, template));
    let default = PodSpec::default();
    let policy = template.spec.as_ref().unwrap_or(&default).restart_policy.as_deref().unwrap_or_default();
    if matches!(policy, "Never" | "OnFailure") {
        errors.push(FieldError::not_supported(&path.child("spec").child("restartPolicy"), policy, ONLY_ALWAYS));
    }
    errors.extend(without_deadline(path, template, "ReplicaSet"));
    errors
}

/// A template whose pods `selector` selects.
pub(crate) fn selected(path: &Path, template: &PodTemplateSpec, selector: &Selector) -> Option<FieldError> {
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    if selector.is_everything() || selector.matches(&labels) {
        return None;
    }
    let value = serde_json::to_value(&labels).unwrap_or_default();
    let path = path.child("metadata").child("labels");
    Some(FieldError::invalid(&path, value, "`selector` does not match template `labels`"))
}

/// A template of pods that are restarted for ever; `kind` is whose template it is.
pub(crate) fn always_restarted(path: &Path, template: &PodTemplateSpec, kind: &str) -> Vec<FieldError> {
    let policy = template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or_default();
    let mut errors = Vec::new();
    if policy != "Always" {
        errors.push(FieldError::not_supported(&path.child("spec").child("restartPolicy"), policy, ONLY_ALWAYS));
    }
    errors.extend(without_deadline(path, template, kind));
    errors
}

fn without_deadline(path: &Path, template: &PodTemplateSpec, kind: &str) -> Option<FieldError> {
    template.spec.as_ref()?.active_deadline_seconds?;
    let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
    Some(FieldError::forbidden(&path.child("spec").child("activeDeadlineSeconds"), detail))
}

/// Counts that are not negative.
pub(crate) fn non_negative(path: &Path, fields: &[(&str, Option<i32>)]) -> Vec<FieldError> {
    let check =
        |(field, value): &(&str, Option<i32>)| number::non_negative(&path.child(field), value.unwrap_or_default());
    fields.iter().filter_map(check).collect()
}

/// A count or a percentage, not negative.
pub(crate) fn count_or_percent(path: &Path, value: &IntOrString) -> Vec<FieldError> {
    match value {
        IntOrString::Int(count) => number::non_negative(path, *count).into_iter().collect(),
        IntOrString::String(text) => {
            let error = |e| FieldError::invalid(path, text.as_str(), e);
            names::percent(text).into_iter().map(error).collect()
        }
    }
}

/// Not a percentage of more than everything.
pub(crate) fn at_most_all(path: &Path, value: &IntOrString) -> Option<FieldError> {
    let own = serde_json::to_value(value).unwrap_or_default();
    (percent(value)? > 100).then(|| FieldError::invalid(path, own, "must not be greater than 100%"))
}

/// Whether a count or a percentage is nothing.
pub(crate) fn is_zero(value: &IntOrString) -> bool {
    *value == IntOrString::Int(0) || percent(value) == Some(0)
}

fn percent(value: &IntOrString) -> Option<u64> {
    match value {
        IntOrString::Int(_) => None,
        IntOrString::String(text) => text.strip_suffix('%')?.parse().ok(),
    }
}

/// A counter that has not gone back.
pub(crate) fn not_fewer(path: &Path, now: Option<i32>, before: Option<i32>) -> Option<FieldError> {
    let (now, before) = (now.unwrap_or_default(), before.unwrap_or_default());
    (now < before).then(|| FieldError::invalid(path, now, "cannot be decremented"))
}

/// Parts of the pods that there are cannot be more than these.
pub(crate) fn not_above(path: &Path, replicas: i32, counts: &[(&str, Option<i32>)]) -> Vec<FieldError> {
    let above = counts.iter().filter_map(|(field, count)| Some((field, count.filter(|count| *count > replicas)?)));
    let detail = "cannot be greater than status.replicas";
    above.map(|(field, count)| FieldError::invalid(&path.child(field), count, detail)).collect()
}

/// Who is available has been ready for a while.
pub(crate) fn available_are_ready(path: &Path, available: Option<i32>, ready: Option<i32>) -> Option<FieldError> {
    let available = available.filter(|available| *available > ready.unwrap_or_default())?;
    Some(FieldError::invalid(&path.child("availableReplicas"), available, "cannot be greater than readyReplicas"))
}
