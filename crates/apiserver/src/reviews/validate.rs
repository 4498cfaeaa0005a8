//! Which questions about rights make sense.

use api_types::{
    GroupResource, StatusError,
    authorization::{NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReviewSpec, SubjectAccessReviewSpec},
    field::{FieldError, Path},
    meta::ObjectMeta,
    validation::names,
};
use serde_json::Value;

pub(super) fn subject(metadata: &ObjectMeta, spec: &SubjectAccessReviewSpec) -> Result<(), StatusError> {
    let mut errors = spec_errors(spec);
    errors.extend(metadata_errors(metadata, "must be empty"));
    checked("SubjectAccessReview", &errors)
}

pub(super) fn local_subject(metadata: &ObjectMeta, spec: &SubjectAccessReviewSpec) -> Result<(), StatusError> {
    let mut errors = spec_errors(spec);
    let others = ObjectMeta { namespace: None, ..metadata.clone() };
    errors.extend(metadata_errors(&others, "must be empty except for namespace"));
    let path = Path::new("spec");
    let asked = spec.resource_attributes.as_ref().map(|asked| asked.namespace.as_deref().unwrap_or_default());
    if let Some(asked) = asked.filter(|asked| *asked != metadata.namespace.as_deref().unwrap_or_default()) {
        let path = path.child("resourceAttributes").child("namespace");
        errors.push(FieldError::invalid(&path, asked, "must match metadata.namespace"));
    }
    if let Some(asked) = &spec.non_resource_attributes {
        let path = path.child("nonResourceAttributes");
        errors.push(FieldError::invalid(&path, value(asked), "disallowed on this kind of request"));
    }
    checked("LocalSubjectAccessReview", &errors)
}

pub(super) fn own(metadata: &ObjectMeta, spec: &SelfSubjectAccessReviewSpec) -> Result<(), StatusError> {
    let mut errors = target_errors(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref());
    errors.extend(metadata_errors(metadata, "must be empty"));
    checked("SelfSubjectAccessReview", &errors)
}

fn checked(kind: &str, errors: &[FieldError]) -> Result<(), StatusError> {
    match errors {
        [] => Ok(()),
        errors => Err(StatusError::invalid(GroupResource::new("authorization.k8s.io", kind), "", errors)),
    }
}

fn value(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn metadata_errors(metadata: &ObjectMeta, detail: &str) -> Option<FieldError> {
    let others = ObjectMeta { managed_fields: None, ..metadata.clone() };
    (others != ObjectMeta::default()).then(|| FieldError::invalid(&Path::new("metadata"), value(&others), detail))
}

fn spec_errors(spec: &SubjectAccessReviewSpec) -> Vec<FieldError> {
    let mut errors = target_errors(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref());
    let nobody = spec.user.as_ref().is_none_or(String::is_empty) && spec.groups.as_ref().is_none_or(Vec::is_empty);
    if nobody {
        let path = Path::new("spec").child("user");
        errors.push(FieldError::invalid(&path, "", "at least one of user or group must be specified"));
    }
    errors
}

fn target_errors(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    match (resource, path) {
        (Some(_), Some(path)) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(&spec.child("nonResourceAttributes"), value(path), detail));
        }
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid(&spec.child("resourceAttributes"), "null", detail));
        }
        _ => {}
    }
    if let Some(resource) = resource {
        errors.extend(selector_errors(resource, &spec.child("resourceAttributes")));
    }
    errors
}

/// One requirement of a selector, of fields or of labels.
struct Requirement<'a> {
    key: &'a str,
    operator: &'a str,
    values: &'a [String],
}

fn selector_errors(resource: &ResourceAttributes, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(selector) = &resource.field_selector {
        let requirements = selector.requirements.iter().flatten().map(|requirement| Requirement {
            key: &requirement.key,
            operator: &requirement.operator,
            values: requirement.values.as_deref().unwrap_or_default(),
        });
        let named = |key: &str| if key.is_empty() { vec!["must be specified".to_owned()] } else { Vec::new() };
        let raw = selector.raw_selector.as_deref();
        errors.extend(requirement_errors(raw, requirements.collect(), named, &path.child("fieldSelector")));
    }
    if let Some(selector) = &resource.label_selector {
        let requirements = selector.requirements.iter().flatten().map(|requirement| Requirement {
            key: &requirement.key,
            operator: &requirement.operator,
            values: requirement.values.as_deref().unwrap_or_default(),
        });
        let raw = selector.raw_selector.as_deref();
        let path = path.child("labelSelector");
        errors.extend(requirement_errors(raw, requirements.collect(), names::qualified_name, &path));
    }
    errors
}

fn requirement_errors(
    raw: Option<&str>,
    requirements: Vec<Requirement<'_>>,
    key_errors: impl Fn(&str) -> Vec<String>,
    path: &Path,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (raw.filter(|raw| !raw.is_empty()), requirements.is_empty()) {
        (Some(raw), false) => {
            let detail = "may not specified at the same time as requirements";
            errors.push(FieldError::invalid(&path.child("rawSelector"), raw, detail));
        }
        (None, true) => {
            let detail = format!("when {path} is specified, requirements or rawSelector is required");
            errors.push(FieldError::required(&path.child("requirements"), detail));
        }
        _ => {}
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let path = path.child("requirements").index(index);
        let key = path.child("key");
        errors.extend(key_errors(requirement.key).into_iter().map(|wrong| match requirement.key {
            "" => FieldError::required(&key, wrong),
            named => FieldError::invalid(&key, named, wrong),
        }));
        // Operators that are not known are left to the authorizers.
        let values = path.child("values");
        match (requirement.operator, requirement.values.is_empty()) {
            ("In" | "NotIn", true) => {
                errors.push(FieldError::required(&values, "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            ("Exists" | "DoesNotExist", false) => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&values, detail));
            }
            _ => {}
        }
    }
    errors
}
