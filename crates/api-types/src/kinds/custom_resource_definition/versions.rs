//! The versions of a custom resource, and what all of them have in common.

use std::collections::BTreeSet;

use super::{joined, schema};
use crate::{
    apiextensions::{
        CustomResourceColumnDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
        CustomResourceSubresources, CustomResourceValidation, SelectableField,
    },
    field::{FieldError, Path},
    validation::names,
};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// The most fields that a version may let selectors name.
const MAX_SELECTABLE: usize = 8;
/// So many versions nobody has; who serves them compares each with each.
const MAX_VERSIONS: usize = 500;
/// The longest warning about a deprecated version, in bytes.
const MAX_WARNING: usize = 256;

/// What all versions have, if they have all the same of it.
fn common<'a, T: PartialEq>(
    spec: &'a CustomResourceDefinitionSpec,
    part: impl Fn(&'a CustomResourceDefinitionVersion) -> Option<&'a T>,
) -> Option<&'a T> {
    let first = part(spec.versions.first()?)?;
    spec.versions.iter().all(|version| part(version) == Some(first)).then_some(first)
}

fn validation(spec: &CustomResourceDefinitionSpec) -> Option<&CustomResourceValidation> {
    common(spec, |version| version.schema.as_ref())
}

fn subresources(spec: &CustomResourceDefinitionSpec) -> Option<&CustomResourceSubresources> {
    common(spec, |version| version.subresources.as_ref())
}

fn columns(spec: &CustomResourceDefinitionSpec) -> Option<&Vec<CustomResourceColumnDefinition>> {
    common(spec, |version| version.additional_printer_columns.as_ref().filter(|columns| !columns.is_empty()))
}

fn selectable(spec: &CustomResourceDefinitionSpec) -> Option<&Vec<SelectableField>> {
    common(spec, |version| version.selectable_fields.as_ref().filter(|fields| !fields.is_empty()))
}

fn has_status(subresources: Option<&CustomResourceSubresources>) -> bool {
    subresources.is_some_and(|own| own.status.is_some())
}

/// What is wrong with the versions, apart from what they have in common.
pub(super) fn all(path: &Path, spec: &CustomResourceDefinitionSpec) -> Vec<FieldError> {
    let list = path.child("versions");
    if spec.versions.len() > MAX_VERSIONS {
        return vec![FieldError::too_many(&list, spec.versions.len(), MAX_VERSIONS)];
    }
    let mut errors = Vec::new();
    for (i, version) in spec.versions.iter().enumerate() {
        if version.schema.as_ref().is_none_or(|schema| schema.open_api_v3_schema.is_none()) {
            errors.push(FieldError::required(&list.index(i).child("schema").child("openAPIV3Schema"), ""));
        }
    }
    for (i, version) in spec.versions.iter().enumerate() {
        let path = list.index(i);
        errors.extend(joined(names::dns1035_label, &path.child("name"), &version.name, &version.name, ""));
        errors.extend(one(&path, spec, version));
    }
    let value = || serde_json::to_value(&spec.versions).unwrap_or_default();
    let unique: BTreeSet<&str> = spec.versions.iter().map(|version| version.name.as_str()).collect();
    if unique.len() < spec.versions.len() {
        errors.push(FieldError::invalid(&list, value(), "must contain unique version names"));
    }
    if spec.versions.iter().filter(|version| version.storage).count() != 1 {
        errors.push(FieldError::invalid(&list, value(), "must have exactly one version marked as storage version"));
    }
    let first = spec.versions.first().map(|version| version.name.as_str()).filter(|name| !name.is_empty());
    errors.extend(first.and_then(|name| joined(names::dns1035_label, &path.child("version"), name, name, "")));
    errors
}

fn one(path: &Path, spec: &CustomResourceDefinitionSpec, version: &CustomResourceDefinitionVersion) -> Vec<FieldError> {
    let mut errors = warning(&path.child("deprecationWarning"), version);
    let schema = version.schema.as_ref();
    if validation(spec).is_none() {
        let status = has_status(version.subresources.as_ref());
        errors.extend(schema.iter().flat_map(|own| schema::validate(&path.child("schema"), own, status)));
    }
    if subresources(spec).is_none() {
        errors.extend(version.subresources.iter().flat_map(|own| scale(&path.child("subresources"), own)));
    }
    if columns(spec).is_none() {
        let own = version.additional_printer_columns.as_deref().unwrap_or_default();
        errors.extend(all_columns(&path.child("additionalPrinterColumns"), own));
    }
    if selectable(spec).is_none() {
        let own = version.selectable_fields.as_deref().unwrap_or_default();
        errors.extend(fields(&path.child("selectableFields"), own, schema));
    }
    errors
}

/// What is wrong with what all versions have in common.
pub(super) fn shared(path: &Path, spec: &CustomResourceDefinitionSpec) -> Vec<FieldError> {
    let schema = validation(spec);
    let status = spec.versions.iter().any(|version| has_status(version.subresources.as_ref()));
    let mut errors = Vec::new();
    errors.extend(schema.iter().flat_map(|own| schema::validate(&path.child("validation"), own, status)));
    errors.extend(subresources(spec).iter().flat_map(|own| scale(&path.child("subresources"), own)));
    errors.extend(columns(spec).iter().flat_map(|own| all_columns(&path.child("additionalPrinterColumns"), own)));
    errors.extend(selectable(spec).iter().flat_map(|own| fields(&path.child("selectableFields"), own, schema)));
    errors
}

fn warning(path: &Path, version: &CustomResourceDefinitionVersion) -> Vec<FieldError> {
    let Some(text) = version.deprecation_warning.as_deref() else { return Vec::new() };
    let wrong = |detail: String| FieldError::invalid(path, text, detail);
    if version.deprecated != Some(true) {
        return vec![wrong("can only be set for deprecated versions".into())];
    }
    let mut errors = Vec::new();
    if text.len() > MAX_WARNING {
        errors.push(wrong(format!("must be <= {MAX_WARNING} characters long")));
    }
    if text.is_empty() {
        errors.push(wrong("must not be an empty string".into()));
    }
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        let detail =
            format!("must only contain printable UTF-8 characters; non-printable character found at index {at}");
        errors.push(wrong(detail));
    }
    errors
}

fn all_columns(path: &Path, columns: &[CustomResourceColumnDefinition]) -> Vec<FieldError> {
    columns.iter().enumerate().flat_map(|(i, own)| column(&path.index(i), own)).collect()
}

fn column(path: &Path, column: &CustomResourceColumnDefinition) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::required(&path.child("name"), &column.name).into_iter().collect();
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match column.type_.as_str() {
        "" => errors.push(FieldError::required(&path.child("type"), types)),
        other if !COLUMN_TYPES.contains(&other) => {
            errors.push(FieldError::invalid(&path.child("type"), other, types));
        }
        _ => {}
    }
    let format = column.format.as_deref().unwrap_or_default();
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, detail));
    }
    errors.extend(json_path(&path.child("JSONPath"), &column.json_path, None));
    errors
}

/// A simple path that must be there, and under `root` if one is named.
fn json_path(path: &Path, value: &str, root: Option<&str>) -> Option<FieldError> {
    match (value, root) {
        ("", _) => Some(FieldError::required(path, "")),
        (value, _) if !value.starts_with('.') => {
            Some(FieldError::invalid(path, value, "must be a simple json path starting with ."))
        }
        (value, Some(root)) if !value.starts_with(&format!("{root}.")) => {
            Some(FieldError::invalid(path, value, format!("should be a json path under {root}")))
        }
        _ => None,
    }
}

fn scale(path: &Path, subresources: &CustomResourceSubresources) -> Vec<FieldError> {
    let Some(scale) = &subresources.scale else { return Vec::new() };
    let path = path.child("scale");
    let mut errors = Vec::new();
    errors.extend(json_path(&path.child("specReplicasPath"), &scale.spec_replicas_path, Some(".spec")));
    errors.extend(json_path(&path.child("statusReplicasPath"), &scale.status_replicas_path, Some(".status")));
    if let Some(selector) = scale.label_selector_path.as_deref().filter(|selector| !selector.is_empty()) {
        let path = path.child("labelSelectorPath");
        let inside = selector.starts_with(".spec.") || selector.starts_with(".status.");
        let malformed = json_path(&path, selector, None);
        let detail = "should be a json path under either .spec or .status";
        errors.extend(malformed.or_else(|| (!inside).then(|| FieldError::invalid(&path, selector, detail))));
    }
    errors
}

fn fields(path: &Path, fields: &[SelectableField], schema: Option<&CustomResourceValidation>) -> Vec<FieldError> {
    if fields.is_empty() {
        return Vec::new();
    }
    let Some(root) = schema.and_then(|schema| schema.open_api_v3_schema.as_ref()) else {
        let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
        return vec![FieldError::invalid(path, "", detail)];
    };
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let (path, value) = (path.index(i).child("jsonPath"), field.json_path.as_str());
        let wrong = |detail: &str| FieldError::invalid(&path, value, detail);
        if value.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let Some(found) = schema::at(root, value) else {
            errors.push(wrong("is an invalid path: does not refer to a valid field"));
            continue;
        };
        if value.starts_with(".metadata") {
            errors.push(wrong("must not point to fields in metadata"));
        }
        if !matches!(found.type_.as_deref(), Some("string" | "boolean" | "integer")) {
            errors.push(wrong(
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ));
        }
        if !seen.insert(value) {
            errors.push(FieldError::duplicate(&path, value));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(path, seen.len(), MAX_SELECTABLE));
    }
    errors
}
