//! The schema of a custom resource: a *structural* one, whose types all stand outside of `allOf`, `anyOf`, `oneOf` and
//! `not`, so that what is not in it can be told and dropped.
//!
//! Rules and the values of defaults are looked into where they are evaluated ([`check`]).

use std::collections::BTreeSet;

use crate::{
    apiextensions::{
        CustomResourceValidation, JSONSchemaProps as Schema, JSONSchemaPropsOrArray as Items,
        JSONSchemaPropsOrBool as OrBool, ValidationRule,
    },
    custom::rules::check,
    field::{FieldError, Path},
};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];
const MAP_TYPES: [&str; 2] = ["atomic", "granular"];
const LIST_TYPES: [&str; 3] = ["atomic", "map", "set"];
const RULE_REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// What the root may say where the status has a door of its own, in upstream's words.
const AT_ROOT_BESIDE_STATUS: &str = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled";

/// What is wrong with a schema.
pub(super) fn validate(path: &Path, own: &CustomResourceValidation, status: bool) -> Vec<FieldError> {
    let Some(root) = &own.open_api_v3_schema else { return Vec::new() };
    let path = path.child("openAPIV3Schema");
    let mut errors = Vec::new();
    if status {
        errors.extend(beside_status(&path, root));
    }
    if root.nullable == Some(true) {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let mut structure = structural(&path, root, Level::Root);
    structure.extend(complete(root, root, &path, &path));
    structure.sort_by_key(ToString::to_string);
    errors.extend(structure);
    errors.extend(plain(&path, root, Place { root: true, metadata: false }));
    // Of a schema that is wrong rules could only be told what is wrong with it.
    if errors.is_empty() {
        errors.extend(check(&path, root));
    }
    errors
}

/// The schema of the field at a simple path, such as `.spec.size`.
pub(super) fn at<'a>(root: &'a Schema, path: &str) -> Option<&'a Schema> {
    let mut schema = root;
    for name in path.strip_prefix('.')?.split('.') {
        schema = schema.properties.as_ref()?.get(name)?;
    }
    Some(schema)
}

fn beside_status(path: &Path, root: &Schema) -> Option<FieldError> {
    let kind = text(&root.type_);
    if !kind.is_empty() && kind != "object" {
        let detail =
            r#"only "object" is allowed as the type at the root of the schema if the status subresource is enabled"#;
        return Some(FieldError::invalid(&path.child("type"), kind, detail));
    }
    let allowed = Schema {
        description: root.description.clone(),
        type_: root.type_.clone(),
        format: root.format.clone(),
        title: root.title.clone(),
        maximum: root.maximum,
        exclusive_maximum: root.exclusive_maximum,
        minimum: root.minimum,
        exclusive_minimum: root.exclusive_minimum,
        max_length: root.max_length,
        min_length: root.min_length,
        pattern: root.pattern.clone(),
        max_items: root.max_items,
        min_items: root.min_items,
        unique_items: root.unique_items,
        multiple_of: root.multiple_of,
        required: root.required.clone(),
        items: root.items.clone(),
        properties: root.properties.clone(),
        external_docs: root.external_docs.clone(),
        example: root.example.clone(),
        x_kubernetes_preserve_unknown_fields: root.x_kubernetes_preserve_unknown_fields,
        x_kubernetes_validations: root.x_kubernetes_validations.clone(),
        ..Schema::default()
    };
    let value = || serde_json::to_value(root).unwrap_or_default();
    (*root != allowed).then(|| FieldError::invalid(path, value(), AT_ROOT_BESIDE_STATUS))
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

fn is(flag: Option<bool>) -> bool {
    flag == Some(true)
}

fn property(path: &Path, name: &str) -> Path {
    path.child("properties").key(name)
}

/// The one schema of all elements.
fn element(schema: &Schema) -> Option<&Schema> {
    match schema.items.as_ref()? {
        Items::Schema(element) => Some(element),
        Items::Schemas(_) => None,
    }
}

/// The schema of the values of a map.
fn values(schema: &Schema) -> Option<&Schema> {
    match schema.additional_properties.as_ref()? {
        OrBool::Schema(values) => Some(values),
        OrBool::Bool(_) => None,
    }
}

fn properties(schema: &Schema) -> impl Iterator<Item = (&String, &Schema)> {
    schema.properties.iter().flatten()
}

/// Where in a structure a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

fn structural(path: &Path, schema: &Schema, level: Level) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text(&schema.type_) == "array" && schema.items.is_none() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    errors.extend(element(schema).map(|own| structural(&path.child("items"), own, Level::Item)).unwrap_or_default());
    for (name, own) in properties(schema) {
        errors.extend(structural(&property(path, name), own, Level::Field));
    }
    let values_path = path.child("additionalProperties");
    if schema.additional_properties.is_some() && level == Level::Root {
        errors.push(FieldError::forbidden(&values_path, "must not be used at the root"));
    }
    errors.extend(values(schema).map(|own| structural(&values_path, own, Level::Field)).unwrap_or_default());
    errors.extend(extensions(path, schema));
    errors.extend(junctors(path, schema, Exempt::of(schema)));
    errors.extend(own_type(path, schema, level));
    errors.extend(metadata(path, schema, level));
    errors
}

fn extensions(path: &Path, schema: &Schema) -> Vec<FieldError> {
    let flags = [
        ("x-kubernetes-preserve-unknown-fields", schema.x_kubernetes_preserve_unknown_fields),
        ("x-kubernetes-embedded-resource", schema.x_kubernetes_embedded_resource),
    ];
    let set = flags.into_iter().filter(|(_, flag)| is(schema.x_kubernetes_int_or_string) && is(*flag));
    let detail = "must be false if x-kubernetes-int-or-string is true";
    set.map(|(name, _)| FieldError::invalid(&path.child(name), true, detail)).collect()
}

fn own_type(path: &Path, schema: &Schema, level: Level) -> Vec<FieldError> {
    let (kind, type_path) = (text(&schema.type_), path.child("type"));
    let embedded = is(schema.x_kubernetes_embedded_resource);
    let preserved = is(schema.x_kubernetes_preserve_unknown_fields);
    let untyped = !is(schema.x_kubernetes_int_or_string) && !preserved;
    let mut errors = Vec::new();
    match (kind, level) {
        ("", _) if embedded => {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            errors.push(FieldError::required(&type_path, detail));
        }
        (other, _) if embedded && other != "object" => {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            errors.push(FieldError::invalid(&type_path, other, detail));
        }
        ("", Level::Root) if untyped => errors.push(FieldError::required(&type_path, "must not be empty at the root")),
        ("", Level::Item) if untyped => {
            errors.push(FieldError::required(&type_path, "must not be empty for specified array items"));
        }
        ("", Level::Field) if untyped => {
            errors.push(FieldError::required(&type_path, "must not be empty for specified object fields"));
        }
        _ => {}
    }
    if embedded && schema.additional_properties.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&type_path, kind, "must be object at the root"));
    }
    if embedded && !preserved && properties(schema).next().is_none() {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
    errors
}

/// What every object has is known; a schema may restrict its name, and nothing else.
fn metadata(path: &Path, schema: &Schema, level: Level) -> Vec<FieldError> {
    let checked = level == Level::Root || is(schema.x_kubernetes_embedded_resource);
    let mut errors = Vec::new();
    for (name, own) in properties(schema).filter(|(name, _)| checked && META_FIELDS.contains(&name.as_str())) {
        let expected = if name == "metadata" { "object" } else { "string" };
        let kind = text(&own.type_);
        if kind != expected {
            let path = property(path, name).child("type");
            errors.push(FieldError::invalid(&path, kind, format!("must be {expected}")));
        }
        let names = |name: &String| matches!(name.as_str(), "name" | "generateName");
        let rest = Schema { properties: None, type_: None, default: None, ..own.clone() };
        let only_names = own.properties.iter().flatten().all(|(name, _)| names(name)) && rest == Schema::default();
        if name == "metadata" && level == Level::Root && !only_names {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&property(path, name), detail));
        }
    }
    errors
}

/// What may say its type inside of a junctor: that a value is an integer or a string.
#[derive(Clone, Copy, Default)]
struct Exempt {
    any_of: bool,
    first_all_of: bool,
}

impl Exempt {
    fn of(schema: &Schema) -> Self {
        let first = schema.all_of.as_ref().and_then(|all| all.first());
        Self { any_of: is_int_or_string(schema), first_all_of: first.is_some_and(is_int_or_string) }
    }
}

fn is_int_or_string(schema: &Schema) -> bool {
    let of = |kind: &str| Schema { type_: Some(kind.to_owned()), ..Schema::default() };
    schema.any_of.as_deref() == Some(&[of("integer"), of("string")])
}

type Junctor<'a> = (&'static str, &'a [Schema]);

fn lists(schema: &Schema) -> [Junctor<'_>; 3] {
    [
        ("anyOf", schema.any_of.as_deref().unwrap_or_default()),
        ("allOf", schema.all_of.as_deref().unwrap_or_default()),
        ("oneOf", schema.one_of.as_deref().unwrap_or_default()),
    ]
}

/// Every schema directly inside of a junctor, with its path.
fn inside<'a>(path: &Path, schema: &'a Schema) -> Vec<(Path, &'a Schema)> {
    let listed = lists(schema).into_iter().flat_map(|(name, all)| {
        let path = path.child(name);
        all.iter().enumerate().map(move |(i, own)| (path.index(i), own))
    });
    let not = schema.not.as_deref().map(|own| (path.child("not"), own));
    listed.chain(not).collect()
}

fn junctors(path: &Path, schema: &Schema, exempt: Exempt) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, all) in lists(schema).into_iter().filter(|(name, _)| !(*name == "anyOf" && exempt.any_of)) {
        for (i, own) in all.iter().enumerate() {
            let any_of = name == "allOf" && i == 0 && exempt.first_all_of;
            errors.extend(nested(&path.child(name).index(i), own, Exempt { any_of, first_all_of: false }));
        }
    }
    let not = schema.not.as_deref();
    errors.extend(not.map(|own| nested(&path.child("not"), own, Exempt::default())).unwrap_or_default());
    errors
}

/// Rules for what stands inside of a junctor.
fn nested(path: &Path, schema: &Schema, exempt: Exempt) -> Vec<FieldError> {
    let mut errors = junctors(path, schema, exempt);
    let none = Exempt::default();
    errors.extend(element(schema).map(|own| nested(&path.child("items"), own, none)).unwrap_or_default());
    for (name, own) in properties(schema) {
        errors.extend(nested(&property(path, name), own, none));
    }
    let keys = schema.x_kubernetes_list_map_keys.as_ref().is_some_and(|keys| !keys.is_empty());
    let rules = schema.x_kubernetes_validations.as_ref().is_some_and(|rules| !rules.is_empty());
    let forbidden = [
        ("type", !text(&schema.type_).is_empty(), "must be empty to be structural"),
        ("additionalProperties", schema.additional_properties.is_some(), "must be undefined to be structural"),
        ("default", schema.default.is_some(), "must be undefined to be structural"),
        ("title", !text(&schema.title).is_empty(), "must be empty to be structural"),
        ("description", !text(&schema.description).is_empty(), "must be empty to be structural"),
        ("nullable", is(schema.nullable), "must be false to be structural"),
        (
            "x-kubernetes-preserve-unknown-fields",
            is(schema.x_kubernetes_preserve_unknown_fields),
            "must be false to be structural",
        ),
        ("x-kubernetes-embedded-resource", is(schema.x_kubernetes_embedded_resource), "must be false to be structural"),
        ("x-kubernetes-int-or-string", is(schema.x_kubernetes_int_or_string), "must be false to be structural"),
        ("x-kubernetes-list-map-keys", keys, "must be empty to be structural"),
        ("x-kubernetes-list-type", schema.x_kubernetes_list_type.is_some(), "must be undefined to be structural"),
        ("x-kubernetes-map-type", schema.x_kubernetes_map_type.is_some(), "must be undefined to be structural"),
        ("x-kubernetes-validations", rules, "must be empty to be structural"),
    ];
    let present = forbidden.into_iter().filter(|(_, present, _)| *present);
    errors.extend(present.map(|(name, _, detail)| FieldError::forbidden(&path.child(name), detail)));
    if properties(schema).any(|(name, _)| name == "metadata") {
        let detail = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(&property(path, "metadata"), detail));
    }
    errors
}

/// What stands inside of junctors has its counterpart outside.
fn complete(inner: &Schema, outer: &Schema, outer_path: &Path, inner_path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (path, own) in inside(inner_path, inner) {
        errors.extend(complete_nested(own, outer, outer_path, &path));
    }
    errors
}

fn complete_nested(inner: &Schema, outer: &Schema, outer_path: &Path, inner_path: &Path) -> Vec<FieldError> {
    let mut errors = complete(inner, outer, outer_path, inner_path);
    let absent =
        |path: &Path, defined: &Path| FieldError::required(path, format!("because it is defined in {defined}"));
    if let Some(own) = element(inner) {
        let (outer_path, inner_path) = (outer_path.child("items"), inner_path.child("items"));
        match element(outer) {
            Some(outer) => errors.extend(complete_nested(own, outer, &outer_path, &inner_path)),
            None => errors.push(absent(&outer_path, &inner_path)),
        }
    }
    for (name, own) in properties(inner) {
        let (outer_path, inner_path) = (property(outer_path, name), property(inner_path, name));
        match outer.properties.as_ref().and_then(|all| all.get(name)) {
            Some(outer) => errors.extend(complete_nested(own, outer, &outer_path, &inner_path)),
            None => errors.push(absent(&outer_path, &inner_path)),
        }
    }
    errors
}

/// What is known of the place of a schema.
#[derive(Clone, Copy)]
struct Place {
    /// At the top.
    root: bool,
    /// Inside of what describes metadata.
    metadata: bool,
}

const INSIDE: Place = Place { root: false, metadata: false };

/// Rules for each schema, wherever it stands.
fn plain(path: &Path, schema: &Schema, place: Place) -> Vec<FieldError> {
    let mut errors = unsupported(path, schema, place);
    let values_path = path.child("additionalProperties");
    let mapped = matches!(&schema.additional_properties, Some(OrBool::Schema(_) | OrBool::Bool(false)));
    if mapped && properties(schema).next().is_some() {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&values_path, detail));
    }
    let same = Place { root: false, ..place };
    errors.extend(values(schema).map(|own| plain(&values_path, own, same)).unwrap_or_default());
    for (name, own) in properties(schema) {
        let resource = place.root || is(schema.x_kubernetes_embedded_resource);
        let metadata = place.metadata || (resource && META_FIELDS.contains(&name.as_str()));
        let path = property(path, name);
        if place.root && metadata && own.default.is_some() {
            errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set in top-level {name}")));
        }
        errors.extend(plain(&path, own, Place { root: false, metadata }));
    }
    for (path, own) in inside(path, schema) {
        errors.extend(plain(&path, own, same));
    }
    match &schema.items {
        Some(Items::Schema(own)) => errors.extend(plain(&path.child("items"), own, same)),
        Some(Items::Schemas(all)) => {
            let indexed = all.iter().enumerate();
            errors.extend(indexed.flat_map(|(i, own)| plain(&path.child("items").index(i), own, INSIDE)));
        }
        None => {}
    }
    if schema.x_kubernetes_preserve_unknown_fields == Some(false) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&path, false, "must be true or undefined"));
    }
    errors.extend(typed_as(path, schema, "x-kubernetes-map-type", &schema.x_kubernetes_map_type, "object"));
    errors.extend(supported(path, "x-kubernetes-map-type", &schema.x_kubernetes_map_type, &MAP_TYPES));
    errors.extend(typed_as(path, schema, "x-kubernetes-list-type", &schema.x_kubernetes_list_type, "array"));
    errors.extend(set_of_wholes(path, schema));
    errors.extend(supported(path, "x-kubernetes-list-type", &schema.x_kubernetes_list_type, &LIST_TYPES));
    errors.extend(map_list(path, schema));
    let rules = schema.x_kubernetes_validations.iter().flatten().enumerate();
    errors.extend(rules.flat_map(|(i, own)| rule(&path.child("x-kubernetes-validations").index(i), own)));
    errors
}

fn unsupported(path: &Path, schema: &Schema, place: Place) -> Vec<FieldError> {
    let kind = text(&schema.type_);
    let mut errors = Vec::new();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    if let Some(pattern) = schema.pattern.as_deref().filter(|pattern| !pattern.is_empty())
        && let Err(why) = cel::Regexp::new(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern, detail));
    }
    let tuple = matches!(schema.items, Some(Items::Schemas(_)));
    let embedded = place.metadata && is(schema.x_kubernetes_embedded_resource);
    let forbidden = [
        ("id", schema.id.is_some(), "id is not supported"),
        ("additionalItems", schema.additional_items.is_some(), "additionalItems is not supported"),
        ("patternProperties", schema.pattern_properties.is_some(), "patternProperties is not supported"),
        ("definitions", schema.definitions.is_some(), "definitions is not supported"),
        ("dependencies", schema.dependencies.is_some(), "dependencies is not supported"),
        ("$ref", schema.ref_path.is_some(), "$ref is not supported"),
        ("type", kind == "null", "type cannot be set to null, use nullable as an alternative"),
        ("items", tuple, "items must be a schema object and not an array"),
        ("x-kubernetes-embedded-resource", embedded, "must not be used inside of resource meta"),
        (
            "uniqueItems",
            is(schema.unique_items),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
    ];
    let present = forbidden.into_iter().filter(|(_, present, _)| *present);
    errors.extend(present.map(|(name, _, detail)| FieldError::forbidden(&path.child(name), detail)));
    errors
}

fn typed_as(path: &Path, schema: &Schema, extension: &str, set: &Option<String>, kind: &str) -> Option<FieldError> {
    set.as_ref().filter(|_| text(&schema.type_) != kind)?;
    let (path, detail) = (path.child("type"), format!("must be {kind} if {extension} is specified"));
    Some(match text(&schema.type_) {
        "" => FieldError::required(&path, detail),
        other => FieldError::invalid(&path, other, detail),
    })
}

fn supported(path: &Path, field: &str, value: &Option<String>, known: &[&str]) -> Option<FieldError> {
    let other = value.as_deref().filter(|value| !known.contains(value))?;
    Some(FieldError::not_supported(&path.child(field), other, known))
}

/// Elements of a set are compared as wholes.
fn set_of_wholes(path: &Path, schema: &Schema) -> Option<FieldError> {
    let set = schema.x_kubernetes_list_type.as_deref() == Some("set") && text(&schema.type_) == "array";
    let own = element(schema).filter(|_| set)?;
    let (list, map) = (own.x_kubernetes_list_type.as_deref(), own.x_kubernetes_map_type.as_deref());
    let extension = match text(&own.type_) {
        "array" if list.is_some_and(|list| list != "atomic") => "x-kubernetes-list-type",
        "object" if map != Some("atomic") => "x-kubernetes-map-type",
        _ => return None,
    };
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    Some(FieldError::invalid(&path.child("items").child(extension), list, detail))
}

/// Rules for lists whose elements are known by keys, and for sets.
fn map_list(path: &Path, schema: &Schema) -> Vec<FieldError> {
    let keys = schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default();
    let (type_path, keys_path) = (path.child("x-kubernetes-list-type"), path.child("x-kubernetes-list-map-keys"));
    let kind = schema.x_kubernetes_list_type.as_deref();
    let mut errors = Vec::new();
    let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    match kind {
        None if !keys.is_empty() => errors.push(FieldError::required(&type_path, detail)),
        Some(other) if !keys.is_empty() && other != "map" => {
            errors.push(FieldError::invalid(&type_path, other, detail));
        }
        _ => {}
    }
    let items_path = path.child("items");
    if kind == Some("map") {
        if keys.is_empty() {
            errors.push(FieldError::required(&keys_path, "must not be empty if x-kubernetes-list-type is map"));
        }
        match &schema.items {
            None => {
                errors.push(FieldError::required(&items_path, "must have a schema if x-kubernetes-list-type is map"));
            }
            Some(Items::Schemas(_)) => {}
            Some(Items::Schema(own)) if text(&own.type_) == "object" => {
                errors.extend(map_keys(&items_path, &keys_path, own, keys));
            }
            Some(Items::Schema(own)) => {
                let detail = "must be object if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(&items_path.child("type"), text(&own.type_), detail));
            }
        }
    }
    let own = element(schema).filter(|own| is(own.nullable));
    if let (Some(kind @ ("map" | "set")), Some(_)) = (kind, own) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(FieldError::forbidden(&items_path.child("nullable"), detail));
    }
    if kind == Some("map") {
        errors.extend(element(schema).iter().flat_map(|own| keys_that_are_there(&items_path, own, keys)));
    }
    errors
}

/// So many errors that quote a whole list are told.
const QUOTING_ERRORS: usize = 10;

fn map_keys(items_path: &Path, keys_path: &Path, own: &Schema, keys: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for key in keys {
        match own.properties.as_ref().and_then(|all| all.get(key)) {
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(keys_path, keys.to_vec(), detail));
                // Each quotes all keys: one for many is enough.
                if errors.len() == QUOTING_ERRORS {
                    return errors;
                }
            }
            Some(key_schema) if matches!(text(&key_schema.type_), "array" | "object") => {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                let path = property(items_path, key).child("type");
                errors.push(FieldError::invalid(&path, text(&own.type_), detail));
            }
            Some(_) => {}
        }
        if !seen.insert(key) {
            errors.push(FieldError::invalid(keys_path, keys.to_vec(), "must not contain duplicate entries"));
            if errors.len() >= QUOTING_ERRORS {
                return errors;
            }
        }
    }
    errors
}

/// A key is there in every element, or has a default.
fn keys_that_are_there(items_path: &Path, own: &Schema, keys: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let required: BTreeSet<&String> = own.required.iter().flatten().collect();
    let named = keys.iter().filter_map(|key| Some((key, own.properties.as_ref()?.get(key)?)));
    for (key, key_schema) in named {
        let path = property(items_path, key);
        if !required.contains(key) && key_schema.default.is_none() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&path.child("default"), detail));
        }
        if is(key_schema.nullable) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&path.child("nullable"), detail));
        }
    }
    errors
}

fn rule(path: &Path, rule: &ValidationRule) -> Vec<FieldError> {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let (expression, message) = (rule.rule.trim(), text(&rule.message));
    let message_path = path.child("message");
    let mut errors = Vec::new();
    if expression.is_empty() {
        errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&message_path, message, "message must be non-empty if specified"));
    } else if breaks(message.trim()) {
        errors.push(FieldError::invalid(&message_path, message, "message must not contain line breaks"));
    } else if breaks(expression) && message.trim().is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(&message_path, detail));
    }
    let computed = text(&rule.message_expression);
    if !computed.is_empty() && computed.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(&path.child("messageExpression"), detail));
    }
    if let Some(other) = rule.reason.as_deref().filter(|reason| !RULE_REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&path.child("reason"), other, &RULE_REASONS));
    }
    errors
}
