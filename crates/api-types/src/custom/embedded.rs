//! Objects inside of others, with a type and metadata of their own.

use serde_json::Value;

use super::prune::Dropped;
use crate::{
    codec::FromJson,
    field::{FieldError, Path},
    meta::ObjectMeta,
    resource::Scope,
    schema::{self, Field, Kind, Label, Type},
    validation::{meta::validate_object_meta, names::dns1123_subdomain},
};

use super::node::Node;

/// What every object has.
pub(super) const HEADER: [&str; 3] = ["apiVersion", "kind", "metadata"];

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Drops of metadata what metadata does not have.
pub(super) fn prune_metadata(value: &mut Value, dropped: &mut Dropped) {
    if let Some(of) = schema::named(METADATA) {
        prune(value, of, dropped);
    }
}

fn prune(value: &mut Value, of: &Type, dropped: &mut Dropped) {
    let Value::Object(members) = value else { return };
    members.retain(|name, value| {
        let Some(field) = of.member(name) else {
            dropped.note(name);
            return false;
        };
        dropped.inside(name, |dropped| prune_field(value, field, dropped));
        true
    });
}

fn prune_field(value: &mut Value, field: &Field, dropped: &mut Dropped) {
    let Kind::Message(_) = field.kind else { return };
    let Some(of) = field.message() else { return };
    match (field.label, value) {
        (Label::One, value) => prune(value, of, dropped),
        (Label::List, Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                dropped.inside(&format!("[{index}]"), |dropped| prune(item, of, dropped));
            }
        }
        (Label::Map, Value::Object(members)) => {
            members.values_mut().for_each(|value| prune(value, of, dropped));
        }
        _ => {}
    }
}

/// What is wrong with the embedded objects inside of a value.
pub(super) fn validate(path: &Path, value: &Value, node: &Node, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => {
            if node.flags.embedded {
                header(path, members, errors);
            }
            for (name, value) in members {
                let named = node.property(name);
                if let Some(inner) = named.or_else(|| node.member(name)) {
                    let path = if named.is_some() { path.child(name) } else { path.key(name) };
                    validate(&path, value, inner, errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(element) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    validate(&path.index(index), item, element, errors);
                }
            }
        }
        _ => {}
    }
}

fn header(path: &Path, members: &serde_json::Map<String, Value>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = path.child(name);
        match members.get(name) {
            Some(Value::String(text)) if !text.is_empty() => {}
            None | Some(Value::String(_)) => errors.push(FieldError::required(&path, "must not be empty")),
            Some(other) => errors.push(FieldError::invalid(&path, other.clone(), "must be a string")),
        }
    }
    let path = path.child("metadata");
    let Some(metadata) = members.get("metadata") else { return };
    match ObjectMeta::from_tree(metadata) {
        Err(error) => errors.push(FieldError::invalid(&path, metadata.clone(), error.to_string())),
        Ok(metadata) if metadata.name.as_deref().is_some_and(|name| !name.is_empty()) => {
            // Whether it lives in a namespace is not known.
            let scope = if metadata.namespace.is_some() { Scope::Namespaced } else { Scope::Cluster };
            let found = validate_object_meta(&metadata, scope, dns1123_subdomain);
            errors.extend(found.into_iter().map(|error| below(&path, error)));
        }
        Ok(_) => {}
    }
}

/// The same error of metadata that stand elsewhere.
fn below(path: &Path, error: FieldError) -> FieldError {
    let field = match error.field.strip_prefix("metadata") {
        Some(rest) => format!("{path}{rest}"),
        None => error.field,
    };
    FieldError { field, ..error }
}
