//! Rules that deployments, replica sets and replication controllers share.

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
    let empty = own.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && own.match_expressions.as_ref().is_none_or(Vec::is_empty);
    if empty {
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
    let mut errors = Vec::new();
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    if !selector.is_everything() && !selector.matches(&labels) {
        let value = serde_json::to_value(&labels).unwrap_or_default();
        let path = path.child("metadata").child("labels");
        errors.push(FieldError::invalid(&path, value, "`selector` does not match template `labels`"));
    }
    errors.extend(validate_template(path, template));
    let default = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&default);
    let path = path.child("spec");
    let policy = spec.restart_policy.as_deref().unwrap_or_default();
    if matches!(policy, "Never" | "OnFailure") {
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), policy, ONLY_ALWAYS));
    }
    if spec.active_deadline_seconds.is_some() {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden(&path.child("activeDeadlineSeconds"), detail));
    }
    errors
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
