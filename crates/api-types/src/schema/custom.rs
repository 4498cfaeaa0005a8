//! Schemas of custom resources, from the JSON schemas that they bring.

use std::sync::Arc;

use serde_json::Value;

use super::{Field, Key, Topology, Type, table};

/// The type of a whole object.
pub(super) fn root(document: &Value) -> Type {
    object(document, true)
}

/// An object that the document describes; a whole one has metadata as every object has.
fn object(document: &Value, whole: bool) -> Type {
    let properties = document.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut fields: Vec<Field> = properties
        .filter(|(name, _)| !(whole && *name == "metadata"))
        .map(|(name, document)| field(name, document))
        .collect();
    if whole {
        // Unlike upstream's own kinds, nothing is there before it is written.
        fields.insert(0, Field { pointer: true, ..table::metadata() });
    }
    let others = document.get("additionalProperties").filter(|others| others.is_object());
    Type {
        atomic: says(document, "x-kubernetes-map-type", "atomic"),
        others: others.map(|others| Box::new(field("", others))),
        ..Type::new(fields)
    }
}

fn field(name: &str, document: &Value) -> Field {
    let items = document.get("items").filter(|_| says(document, "type", "array"));
    let of = match items {
        Some(items) if says(items, "type", "array") => Some(list(items)),
        _ => {
            let document = items.unwrap_or(document);
            let embedded = document.get("x-kubernetes-embedded-resource").is_some_and(|embedded| embedded == true);
            says(document, "type", "object").then(|| object(document, embedded))
        }
    };
    Field {
        default: document.get("default").map(|default| default.to_string().into()),
        topology: items.map(|items| topology(document, items)).unwrap_or_default(),
        own: of.map(Arc::new),
        ..Field::named(name.to_owned())
    }
}

/// A list inside of a list.
fn list(document: &Value) -> Type {
    Type { list: Some(Box::new(field("", document))), ..Type::default() }
}

fn topology(document: &Value, items: &Value) -> Topology {
    match document.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Topology::Set,
        Some("map") => {
            let keys = document.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
            Topology::Map(keys.filter_map(Value::as_str).map(|name| key(name, items)).collect())
        }
        _ => Topology::Atomic,
    }
}

fn key(name: &str, items: &Value) -> Key {
    let default = items.get("properties").and_then(|fields| fields.get(name)).and_then(|field| field.get("default"));
    Key { name: name.to_owned().into(), default: default.map(|default| default.to_string().into()) }
}

fn says(document: &Value, name: &str, value: &str) -> bool {
    document.get(name).and_then(Value::as_str) == Some(value)
}
