//! What server-side apply sees in a value: a leaf, fields, or known elements.

use std::collections::BTreeMap;

use api_types::schema::{Field, Key, Topology, Type};
use serde_json::{Map, Value};

/// What is known of a value from where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    topology: Topology,
    of: Option<&'static Type>,
}

/// A value, as its shape divides it.
#[derive(Debug)]
pub enum View<'a> {
    /// Owned as one: a scalar, anything atomic, an empty object or list.
    Leaf,
    /// Owned field by field.
    Fields(&'a Map<String, Value>),
    /// Owned element by element, in the order of the list. Elements without a key are left out: validation refuses
    /// them before anything is stored.
    Elements(Vec<(String, &'a Value)>),
}

impl Shape {
    /// A whole object of this kind.
    #[must_use]
    pub fn root(schema: &'static Type) -> Self {
        Self { topology: Topology::Natural, of: Some(schema) }
    }

    /// A field of an object of this shape, and whether the kind's zero value has it.
    #[must_use]
    pub fn field(self, name: &str) -> (Self, bool) {
        let field: Option<&Field> = self.of.and_then(|schema| schema.field(name));
        let shape = field.map_or(Self { topology: Topology::Natural, of: None }, |field| Self {
            topology: field.topology,
            of: field.of,
        });
        (shape, field.is_some_and(|field| field.present))
    }

    /// An element of a list of this shape.
    #[must_use]
    pub fn element(self) -> Self {
        Self { topology: Topology::Natural, of: self.of }
    }

    /// How the value is divided.
    #[must_use]
    pub fn view(self, value: &Value) -> View<'_> {
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.atomic_object() => View::Fields(fields),
            Value::Array(items) if !items.is_empty() => match self.topology {
                Topology::Map(keys) => {
                    View::Elements(items.iter().filter_map(|item| Some((keyed_element(item, keys)?, item))).collect())
                }
                Topology::Set => View::Elements(items.iter().map(|item| (format!("v:{item}"), item)).collect()),
                _ => View::Leaf,
            },
            _ => View::Leaf,
        }
    }

    /// The path element of a list's element.
    #[must_use]
    pub fn element_path(self, item: &Value) -> Option<String> {
        match self.topology {
            Topology::Map(keys) => keyed_element(item, keys),
            Topology::Set => Some(format!("v:{item}")),
            _ => None,
        }
    }

    fn atomic_object(self) -> bool {
        match self.topology {
            Topology::Atomic => true,
            Topology::Granular => false,
            _ => self.of.is_some_and(|schema| schema.atomic),
        }
    }
}

/// `k:{"containerPort":80,"protocol":"TCP"}`, keys in alphabetical order.
fn keyed_element(item: &Value, keys: &[Key]) -> Option<String> {
    let mut element = String::from("k:{");
    for (index, key) in keys.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        match (item.get(key.name).filter(|value| !value.is_null()), key.default) {
            (Some(value), _) => element.push_str(&format!("{separator}\"{}\":{value}", key.name)),
            (None, Some(default)) => element.push_str(&format!("{separator}\"{}\":\"{default}\"", key.name)),
            (None, None) => return None,
        }
    }
    element.push('}');
    Some(element)
}

/// Elements by path; of several with the same keys, the last.
#[must_use]
pub fn by_path<'a>(elements: &[(String, &'a Value)]) -> BTreeMap<String, &'a Value> {
    elements.iter().map(|(path, item)| (path.clone(), *item)).collect()
}
