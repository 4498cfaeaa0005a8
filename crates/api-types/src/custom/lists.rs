//! Elements of sets are distinct, and so are the keys of maps that are lists.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::node::{Elements, Node};
use crate::field::{FieldError, Path};

/// What is there twice.
pub(super) fn validate(path: &Path, value: &Value, node: &Node, errors: &mut Vec<FieldError>) {
    match value {
        Value::Array(items) => {
            match &node.elements {
                Elements::Places => {}
                Elements::Set => distinct(path, items, Value::clone, errors),
                Elements::Keys(keys) => distinct(path, items, |item| keys_of(item, keys), errors),
            }
            if let Some(element) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    validate(&path.index(index), item, element, errors);
                }
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let named = node.property(name);
                if let Some(inner) = named.or_else(|| node.member(name)) {
                    let path = if named.is_some() { path.child(name) } else { path.key(name) };
                    validate(&path, value, inner, errors);
                }
            }
        }
        _ => {}
    }
}

/// What an element is known by.
pub(super) fn keys_of(item: &Value, keys: &[Box<str>]) -> Value {
    let known = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
    Value::Object(known.collect::<Map<_, _>>())
}

fn distinct(path: &Path, items: &[Value], known_by: impl Fn(&Value) -> Value, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    let mut told = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let known = known_by(item);
        let text = known.to_string();
        // What is there three times is told once.
        if !seen.insert(text.clone()) && told.insert(text) {
            errors.push(FieldError::duplicate(&path.index(index), known));
        }
    }
}
