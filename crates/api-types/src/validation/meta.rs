//! Rules for `metadata`, which every kind's registry applies.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::names::{self, Rule};
use crate::{
    field::{FieldError, Path},
    meta::{ObjectMeta, OwnerReference},
    resource::Scope,
};

/// The most that keys and values of annotations may have together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What is wrong with the metadata of a new object whose name has been generated where asked.
#[must_use]
pub fn validate_object_meta(meta: &ObjectMeta, scope: Scope, name_rule: Rule) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    if let Some(prefix) = meta.generate_name.as_deref().filter(|prefix| !prefix.is_empty()) {
        let generate_path = path.child("generateName");
        let wrong = names::as_prefix(name_rule, prefix);
        errors.extend(wrong.into_iter().map(|error| FieldError::invalid(&generate_path, prefix, error)));
    }
    let name_path = path.child("name");
    match meta.name.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&name_path, "name or generateName is required")),
        name => errors.extend(name_rule(name).into_iter().map(|error| FieldError::invalid(&name_path, name, error))),
    }
    errors.extend(namespace(&path.child("namespace"), meta.namespace.as_deref().unwrap_or_default(), scope));
    errors.extend(super::number::non_negative(&path.child("generation"), meta.generation.unwrap_or_default()));
    errors.extend(common(&path, meta));
    errors.extend(finalizers(&path.child("finalizers"), meta.finalizers.as_deref().unwrap_or_default()));
    errors
}

/// What is wrong with changing the metadata `old` into `meta`.
#[must_use]
pub fn validate_object_meta_update(meta: &ObjectMeta, old: &ObjectMeta) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors: Vec<FieldError> = new_finalizers(&path.child("finalizers"), meta, old).into_iter().collect();
    if meta.resource_version.as_ref().is_none_or(String::is_empty) {
        errors.push(FieldError::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    let (generation, old_generation) = (meta.generation.unwrap_or_default(), old.generation.unwrap_or_default());
    if generation < old_generation {
        errors.push(FieldError::invalid(&path.child("generation"), generation, "must not be decremented"));
    }
    errors.extend(immutable(&path.child("name"), &meta.name, &old.name));
    errors.extend(immutable(&path.child("namespace"), &meta.namespace, &old.namespace));
    errors.extend(immutable(&path.child("uid"), &meta.uid, &old.uid));
    errors.extend(immutable(&path.child("creationTimestamp"), &meta.creation_timestamp, &old.creation_timestamp));
    errors.extend(immutable(&path.child("deletionTimestamp"), &meta.deletion_timestamp, &old.deletion_timestamp));
    let grace = "deletionGracePeriodSeconds";
    errors.extend(immutable(
        &path.child(grace),
        &meta.deletion_grace_period_seconds,
        &old.deletion_grace_period_seconds,
    ));
    errors.extend(common(&path, meta));
    errors
}

/// An error when a field that may not change has changed.
pub(crate) fn immutable<T: PartialEq + Serialize>(path: &Path, new: &T, old: &T) -> Option<FieldError> {
    let value = || serde_json::to_value(new).unwrap_or(Value::Null);
    (new != old).then(|| FieldError::invalid(path, value(), "field is immutable"))
}

fn namespace(path: &Path, namespace: &str, scope: Scope) -> Vec<FieldError> {
    match (scope, namespace) {
        (Scope::Cluster, "") => Vec::new(),
        (Scope::Cluster, _) => vec![FieldError::forbidden(path, "not allowed on this type")],
        (Scope::Namespaced, "") => vec![FieldError::required(path, "")],
        (Scope::Namespaced, name) => {
            names::dns1123_label(name).into_iter().map(|error| FieldError::invalid(path, name, error)).collect()
        }
    }
}

/// Checked on creation and on update.
fn common(path: &Path, meta: &ObjectMeta) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(own) = &meta.labels {
        errors.extend(labels(&path.child("labels"), own));
    }
    if let Some(own) = &meta.annotations {
        errors.extend(annotations(&path.child("annotations"), own));
    }
    if let Some(own) = &meta.owner_references {
        errors.extend(owner_references(&path.child("ownerReferences"), own));
    }
    errors
}

/// Well-formed labels.
pub(crate) fn labels(path: &Path, labels: &BTreeMap<String, String>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(names::qualified_name(key).into_iter().map(|e| FieldError::invalid(path, key.as_str(), e)));
        let wrong = names::label_value(value).into_iter();
        errors.extend(wrong.map(|e| FieldError::invalid(path, value.as_str(), e)));
    }
    errors
}

/// Well-formed annotations.
pub(crate) fn annotations(path: &Path, annotations: &BTreeMap<String, String>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in annotations.keys() {
        // Case does not matter in a domain.
        let wrong = names::qualified_name(&key.to_lowercase());
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(path, key.as_str(), e)));
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(path, MAX_ANNOTATIONS));
    }
    errors
}

fn owner_references(path: &Path, owners: &[OwnerReference]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<&OwnerReference> = None;
    for owner in owners {
        errors.extend(owner_reference(path, owner));
        if owner.controller != Some(true) {
            continue;
        }
        let Some(first) = controller else {
            controller = Some(owner);
            continue;
        };
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
            first.kind, first.name, owner.kind, owner.name
        );
        errors.push(FieldError::invalid(path, serde_json::to_value(owners).unwrap_or(Value::Null), detail));
    }
    errors
}

fn owner_reference(path: &Path, owner: &OwnerReference) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // What is no group version has no version either.
    let mut parts = owner.api_version.rsplitn(3, '/');
    let version = parts.next().filter(|_| parts.nth(1).is_none()).unwrap_or_default();
    if version.is_empty() {
        let detail = "version must not be empty";
        errors.push(FieldError::invalid(&path.child("apiVersion"), owner.api_version.as_str(), detail));
    }
    for (field, value) in [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)] {
        if value.is_empty() {
            errors.push(FieldError::invalid(&path.child(field), "", "must not be empty"));
        }
    }
    if owner.api_version == "v1" && owner.kind == "Event" {
        let value = serde_json::to_value(owner).unwrap_or(Value::Null);
        errors.push(FieldError::invalid(path, value, "/v1, Kind=Event is disallowed from being an owner"));
    }
    errors
}

/// The finalizers of kinds that upstream has built in: those without a domain are upstream's own.
#[must_use]
pub fn validate_standard_finalizers(meta: &ObjectMeta) -> Vec<FieldError> {
    const STANDARD: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
    let path = Path::new("metadata").child("finalizers");
    let strange = meta.finalizers.iter().flatten().enumerate();
    let strange = strange.filter(|(_, name)| !name.contains('/') && !STANDARD.contains(&name.as_str()));
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    strange.map(|(i, name)| FieldError::invalid(&path.index(i), name.as_str(), detail)).collect()
}

fn finalizers(path: &Path, finalizers: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for finalizer in finalizers {
        let wrong = names::qualified_name(finalizer);
        errors.extend(wrong.into_iter().map(|error| FieldError::invalid(path, finalizer.as_str(), error)));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has(ORPHAN) && has(FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, finalizers.to_vec(), detail));
    }
    errors
}

fn new_finalizers(path: &Path, meta: &ObjectMeta, old: &ObjectMeta) -> Option<FieldError> {
    old.deletion_timestamp.as_ref()?;
    let before: BTreeSet<&String> = old.finalizers.iter().flatten().collect();
    let extra: BTreeSet<&String> = meta.finalizers.iter().flatten().filter(|f| !before.contains(f)).collect();
    let list: Vec<String> = extra.iter().map(|finalizer| format!("{finalizer:?}")).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    (!list.is_empty()).then(|| FieldError::forbidden(path, detail))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn new_metadata_is_checked() {
        let cases = [
            (json!({"name": "a", "namespace": "b"}), vec![]),
            (json!({"namespace": "b"}), vec!["metadata.name: Required value: name or generateName is required"]),
            (json!({"name": "a"}), vec!["metadata.namespace: Required value"]),
            (json!({"name": "a-x", "generateName": "a-", "namespace": "b"}), vec![]),
            (
                json!({"name": "a", "namespace": "b", "ownerReferences": [{"apiVersion": "v1", "kind": "", "name": "x", "uid": "y"}]}),
                vec![r#"metadata.ownerReferences.kind: Invalid value: "": must not be empty"#],
            ),
            (
                json!({"name": "a", "namespace": "b", "ownerReferences": [{"apiVersion": "a/b/c", "kind": "k", "name": "x", "uid": "y"}]}),
                vec![r#"metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty"#],
            ),
            (
                json!({"name": "a", "namespace": "b", "finalizers": ["orphan", "foregroundDeletion"]}),
                vec![
                    r#"metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set"#,
                ],
            ),
        ];
        for (value, expected) in cases {
            let errors = validate_object_meta(&meta(value), Scope::Namespaced, names::dns1123_subdomain);
            assert_eq!(texts(&errors), expected);
        }
        let errors =
            validate_object_meta(&meta(json!({"name": "a", "namespace": "b"})), Scope::Cluster, names::dns1123_label);
        assert_eq!(texts(&errors), ["metadata.namespace: Forbidden: not allowed on this type"]);
    }

    #[test]
    fn finalizers_without_a_domain_are_known() {
        let meta = meta(json!({"finalizers": ["orphan", "kubernetes", "a/b", "foo"]}));
        let text = "metadata.finalizers[3]: Invalid value: \"foo\": name is neither a standard finalizer name nor is it fully qualified";
        assert_eq!(texts(&validate_standard_finalizers(&meta)), [text]);
    }

    #[test]
    fn identity_stays() {
        let old =
            meta(json!({"name": "a", "uid": "1", "resourceVersion": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        let same =
            meta(json!({"name": "a", "uid": "1", "resourceVersion": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        assert_eq!(texts(&validate_object_meta_update(&same, &old)), Vec::<String>::new());
        let changed =
            meta(json!({"name": "b", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}));
        assert_eq!(
            texts(&validate_object_meta_update(&changed, &old)),
            [
                r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a/b"}"#,
                r#"metadata.resourceVersion: Invalid value: "": must be specified for an update"#,
                r#"metadata.name: Invalid value: "b": field is immutable"#,
            ]
        );
    }
}
