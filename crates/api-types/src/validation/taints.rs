//! Rules for taints.

use std::collections::BTreeSet;

use super::names;
use crate::{
    core::Taint,
    field::{FieldError, Path},
};

/// What a taint can do.
pub(crate) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(crate) fn validate(path: &Path, taints: &[Taint]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        let key = taint.key.as_str();
        errors.extend(names::qualified_name(key).into_iter().map(|e| FieldError::invalid(&path.child("key"), key, e)));
        let value = taint.value.as_deref().unwrap_or_default();
        errors
            .extend(names::label_value(value).into_iter().map(|e| FieldError::invalid(&path.child("value"), value, e)));
        match taint.effect.as_str() {
            "" => errors.push(FieldError::required(&path.child("effect"), "")),
            effect if !EFFECTS.contains(&effect) => {
                errors.push(FieldError::not_supported(&path.child("effect"), effect, &EFFECTS));
            }
            _ => {}
        }
        if !seen.insert((key, taint.effect.as_str())) {
            let value = serde_json::to_value(taint).unwrap_or_default();
            let mut error = FieldError::duplicate(&path, value);
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
    }
    errors
}
