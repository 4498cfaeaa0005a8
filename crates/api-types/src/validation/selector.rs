//! Rules for label selectors within specs.

use super::names;
use crate::{
    field::{FieldError, Path},
    meta::{LabelSelector, LabelSelectorRequirement},
};

/// Whether a selector says nothing. One that is absent cannot be told from it where the field has to be there.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// A well-formed `LabelSelector`.
pub(crate) fn validate(path: &Path, selector: &LabelSelector) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(labels) = &selector.match_labels {
        errors.extend(super::meta::labels(&path.child("matchLabels"), labels));
    }
    for (i, expression) in selector.match_expressions.iter().flatten().enumerate() {
        errors.extend(requirement(&path.child("matchExpressions").index(i), expression));
    }
    errors
}

fn requirement(path: &Path, requirement: &LabelSelectorRequirement) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    let key_path = path.child("key");
    let key = requirement.key.as_str();
    errors.extend(names::qualified_name(key).into_iter().map(|e| FieldError::invalid(&key_path, key, e)));
    for (i, value) in values.iter().enumerate() {
        let value_path = path.child("values").index(i);
        errors
            .extend(names::label_value(value).into_iter().map(|e| FieldError::invalid(&value_path, value.as_str(), e)));
    }
    errors
}
