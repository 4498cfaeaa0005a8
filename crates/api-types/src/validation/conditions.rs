//! Rules for `conditions` of `meta/v1`.

use std::collections::BTreeSet;

use super::names;
use crate::{
    field::{FieldError, Path},
    meta::Condition,
};

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;

/// Well-formed conditions, each type once.
pub(crate) fn validate(path: &Path, conditions: &[Condition]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, own) in conditions.iter().enumerate() {
        let path = path.index(i);
        if !seen.insert(own.type_.as_str()) {
            errors.push(FieldError::duplicate(&path, own.type_.as_str()));
        }
        errors.extend(condition(&path, own));
    }
    errors
}

fn condition(path: &Path, own: &Condition) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (type_path, reason_path) = (path.child("type"), path.child("reason"));
    if own.type_.is_empty() {
        errors.push(FieldError::required(&type_path, "is required"));
    } else {
        errors.extend(names::check(names::qualified_name, &type_path, &own.type_));
    }
    errors.extend(names::one_of(&path.child("status"), Some(&own.status), &STATUSES));
    if let Some(generation) = own.observed_generation.filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), generation, detail));
    }
    errors.extend(names::required_name(names::condition_reason, &reason_path, &own.reason));
    if own.reason.len() > MAX_REASON {
        errors.push(FieldError::too_long(&reason_path, MAX_REASON));
    }
    if own.message.len() > MAX_MESSAGE {
        errors.push(FieldError::too_long(&path.child("message"), MAX_MESSAGE));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told() {
        let conditions: Vec<Condition> = serde_json::from_value(json!([
            {"type": "A", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "A", "status": "x", "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": -1},
        ]))
        .unwrap();
        let errors: Vec<String> = validate(&Path::new("c"), &conditions).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                r#"c[1]: Duplicate value: "A""#,
                r#"c[1].status: Unsupported value: "x": supported values: "False", "True", "Unknown""#,
                "c[1].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
                "c[1].reason: Required value",
            ]
        );
    }
}
