//! What server-side apply sees in a value: a leaf, fields, or known elements.

use std::{borrow::Cow, collections::BTreeMap};

use api_types::schema::{Field, Key, Label, Topology, Type};
use serde_json::Value;

use crate::json::Raw;

/// A JSON value that can be looked into: decoded, or as text.
pub trait Tree<'a>: Copy + PartialEq {
    /// Whether it is `null`.
    fn is_null(self) -> bool;
    /// Its members, if it is an object.
    fn members(self) -> Option<Vec<(Cow<'a, str>, Self)>>;
    /// Its items, if it is an array.
    fn items(self) -> Option<Vec<Self>>;
    /// The value as JSON.
    fn json(self) -> Cow<'a, str>;
}

impl<'a> Tree<'a> for &'a Value {
    fn is_null(self) -> bool {
        self.is_null()
    }

    fn members(self) -> Option<Vec<(Cow<'a, str>, Self)>> {
        let fields = self.as_object()?;
        Some(fields.iter().map(|(name, value)| (Cow::Borrowed(name.as_str()), value)).collect())
    }

    fn items(self) -> Option<Vec<Self>> {
        Some(self.as_array()?.iter().collect())
    }

    fn json(self) -> Cow<'a, str> {
        self.to_string().into()
    }
}

impl<'a> Tree<'a> for Raw<'a> {
    fn is_null(self) -> bool {
        self.text() == b"null"
    }

    fn members(self) -> Option<Vec<(Cow<'a, str>, Self)>> {
        Raw::members(self)
    }

    fn items(self) -> Option<Vec<Self>> {
        Raw::items(self)
    }

    fn json(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text())
    }
}

/// What is known of a value from where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'s> {
    topology: &'s Topology,
    of: Option<&'s Type>,
}

/// A value, as its shape divides it.
#[derive(Debug)]
pub enum View<'a, T> {
    /// Owned as one: a scalar, anything atomic.
    Leaf,
    /// An object or list that is not owned as one, and has nothing in it, or is null.
    Empty,
    /// Owned field by field.
    Fields(Vec<(Cow<'a, str>, T)>),
    /// Owned element by element, in the order of the list. Elements without any key are left out: they are refused before
    /// anything is stored.
    Elements(Vec<(String, T)>),
}

impl<'s> Shape<'s> {
    /// A whole object of this kind.
    #[must_use]
    pub fn root(schema: &'s Type) -> Self {
        Self { topology: &Topology::Natural, of: Some(schema) }
    }

    fn of_field(field: Option<&'s Field>) -> Self {
        field.map_or(Self { topology: &Topology::Natural, of: None }, |field| Self {
            topology: match (&field.topology, field.label) {
                (Topology::Natural, Label::List) => &Topology::Atomic,
                (topology, _) => topology,
            },
            of: field.of(),
        })
    }

    /// Whether a member of this name is one that the schema names, not one of a map.
    #[must_use]
    pub fn names(self, name: &str) -> bool {
        self.of.is_some_and(|schema| schema.field(name).is_some())
    }

    /// A field of an object of this shape, and whether the kind's zero value has it.
    #[must_use]
    pub fn field(self, name: &str) -> (Self, bool) {
        let field = self.of.and_then(|schema| schema.member(name));
        (Self::of_field(field), field.is_some_and(Field::present))
    }

    /// An element of a list of this shape.
    #[must_use]
    pub fn element(self) -> Self {
        match self.of.and_then(Type::element) {
            Some(list) => Self::of_field(Some(list)),
            None => Self { topology: &Topology::Natural, of: self.of },
        }
    }

    /// How the value is divided.
    #[must_use]
    pub fn view<'a, T: Tree<'a>>(self, value: T) -> View<'a, T> {
        let known_elements = matches!(self.topology, Topology::Map(_) | Topology::Set);
        if let Some(fields) = value.members() {
            return match self.atomic_object() {
                true => View::Leaf,
                false if fields.is_empty() => View::Empty,
                false => View::Fields(fields),
            };
        }
        if known_elements && let Some(items) = value.items() {
            if items.is_empty() {
                return View::Empty;
            }
            return View::Elements(
                items.into_iter().filter_map(|item| Some((self.element_path(item)?, item))).collect(),
            );
        }
        let divided = known_elements || (self.of.is_some() && !self.atomic_object());
        if divided && value.is_null() { View::Empty } else { View::Leaf }
    }

    /// The path element of a list's element.
    #[must_use]
    pub fn element_path<'a>(self, item: impl Tree<'a>) -> Option<String> {
        match self.topology {
            Topology::Map(keys) => keyed_element(item, keys),
            Topology::Set => Some(set_element(item)),
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

/// `v:"finalizer"`.
#[must_use]
pub fn set_element<'a>(item: impl Tree<'a>) -> String {
    format!("v:{}", item.json())
}

/// `k:{"containerPort":80,"protocol":"TCP"}`, keys in alphabetical order. A key that is absent and has no default is left
/// out; an element without any has no path.
#[must_use]
pub fn keyed_element<'a>(item: impl Tree<'a>, keys: &[Key]) -> Option<String> {
    let members = item.members()?;
    let mut element = String::from("k:{");
    let mut separator = "";
    for key in keys {
        let value = members.iter().find(|(name, _)| *name == key.name).map(|(_, value)| value.json());
        let value = value.or_else(|| key.default.as_deref().map(Cow::Borrowed));
        if let Some(value) = value {
            element.push_str(&format!("{separator}\"{}\":{value}", key.name));
            separator = ",";
        }
    }
    element.push('}');
    (!separator.is_empty()).then_some(element)
}

/// Elements by path; of several with the same keys, the last.
#[must_use]
pub fn by_path<T: Copy>(elements: &[(String, T)]) -> BTreeMap<&str, T> {
    elements.iter().map(|(path, item)| (path.as_str(), *item)).collect()
}
