//! `flowcontrol.apiserver.k8s.io/v1`: which requests wait behind which others.

pub(crate) mod bootstrap;
mod flow_schema;
mod priority_level;

use std::collections::BTreeSet;

use crate::field::{FieldError, Path};

/// A name that one object has, and requests that wait for nobody.
const EXEMPT: &str = "exempt";

/// Rules for the types of conditions, of either kind.
fn condition_types<'a>(types: impl Iterator<Item = Option<&'a str>>) -> Vec<FieldError> {
    let list = Path::new("status").child("conditions");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, kind) in types.map(Option::unwrap_or_default).enumerate() {
        let path = list.index(i).child("type");
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(&path, "must not be empty"));
        }
    }
    errors
}

/// An error when the spec of an object that every cluster has is another than it is to be.
fn fixed<T: serde::Serialize + PartialEq>(spec: &T, expected: &T, detail: String) -> Option<FieldError> {
    let value = || serde_json::to_value(spec).unwrap_or_default();
    (spec != expected).then(|| FieldError::invalid(&Path::new("spec"), value(), detail))
}
