//! A structural schema, compiled: what is asked of every object, without what is only told to people.

use serde_json::Value;

use super::{
    formats::Format,
    pattern::Pattern,
    rules::{Rules, is_plain},
};
use crate::apiextensions::{
    JSON, JSONSchemaProps as Schema, JSONSchemaPropsOrArray as Items, JSONSchemaPropsOrBool as OrBool,
};

/// What a schema says of one value, and of those inside of it.
#[derive(Debug, Default)]
pub struct Node {
    /// The type that a value has; `None` where any is allowed.
    pub(super) kind: Option<ValueKind>,
    pub(super) flags: Flags,
    /// Sorted by name.
    properties: Box<[(Box<str>, Node)]>,
    pub(super) others: Others,
    pub(super) items: Option<Box<Node>>,
    pub(super) default: Option<Box<Value>>,
    pub(super) elements: Elements,
    pub(super) checks: Option<Box<Checks>>,
    pub(super) rules: Option<Box<Rules>>,
    /// Whether there are rules here or inside.
    pub(super) ruled: bool,
    /// Whether rules see the value as it is in JSON.
    pub(super) plain: bool,
}

/// The types of JSON values that schemas tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

impl ValueKind {
    const ALL: [(&str, Self); 6] = [
        ("array", Self::Array),
        ("boolean", Self::Boolean),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("object", Self::Object),
        ("string", Self::String),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, kind)| *kind)
    }

    /// As schemas write it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What a schema says with yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub nullable: bool,
    /// Fields that are not in the schema are kept.
    pub preserves: bool,
    /// The value is an object with a type and metadata.
    pub embedded: bool,
    pub int_or_string: bool,
}

/// What is known of members that no property names.
#[derive(Debug, Default)]
pub(super) enum Others {
    /// There are none: they are dropped.
    #[default]
    None,
    /// They may be there, and nothing is known of what is inside.
    Bare,
    /// They may not be there.
    Forbidden,
    Of(Box<Node>),
}

/// How the elements of a list are known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Elements {
    /// By their places.
    #[default]
    Places,
    /// By their values.
    Set,
    /// By these members.
    Keys(Box<[Box<str>]>),
}

/// What values are checked for besides their types.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub format: Option<Format>,
    pub numbers: Option<Box<Numbers>>,
    pub min_length: Option<i64>,
    pub max_length: Option<i64>,
    pub pattern: Option<Pattern>,
    pub min_items: Option<i64>,
    pub max_items: Option<i64>,
    pub min_properties: Option<i64>,
    pub max_properties: Option<i64>,
    pub values: Option<Box<[Value]>>,
    pub required: Box<[Box<str>]>,
    pub all_of: Box<[Node]>,
    pub any_of: Box<[Node]>,
    pub one_of: Box<[Node]>,
    pub not: Option<Box<Node>>,
}

/// What numbers are checked for.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
}

impl Node {
    /// The schema of whole objects, which has been validated as a structural one.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let properties = schema.properties.iter().flatten();
        // They come sorted.
        let properties = properties.map(|(name, schema)| (Box::from(name.as_str()), Self::new(schema))).collect();
        let mut node = Self {
            kind: schema.type_.as_deref().and_then(ValueKind::named),
            flags: Flags {
                nullable: is(schema.nullable),
                preserves: is(schema.x_kubernetes_preserve_unknown_fields),
                embedded: is(schema.x_kubernetes_embedded_resource),
                int_or_string: is(schema.x_kubernetes_int_or_string),
            },
            properties,
            others: others(schema),
            items: match &schema.items {
                Some(Items::Schema(items)) => Some(Box::new(Self::new(items))),
                Some(Items::Schemas(_)) | None => None,
            },
            default: schema.default.clone().map(|JSON(default)| Box::new(default)),
            elements: elements(schema),
            checks: Checks::of(schema).map(Box::new),
            rules: Rules::new(schema.x_kubernetes_validations.as_ref()).map(Box::new),
            ruled: false,
            plain: true,
        };
        node.prune_default();
        node.ruled = node.rules.is_some() || node.inside().any(|inner| inner.ruled);
        node.plain = is_plain(&node);
        node
    }

    /// A value of which nothing is known.
    pub(super) fn plain() -> Self {
        Self { plain: true, ..Default::default() }
    }

    fn inside(&self) -> impl Iterator<Item = &Self> {
        let others = match &self.others {
            Others::Of(node) => Some(&**node),
            Others::None | Others::Bare | Others::Forbidden => None,
        };
        self.properties.iter().map(|(_, node)| node).chain(others).chain(self.items.as_deref())
    }

    /// Of a default only what the schema has is filled in.
    fn prune_default(&mut self) {
        if let Some(mut default) = self.default.take() {
            self.prune_value(&mut default);
            self.default = Some(default);
        }
    }

    /// What is known of a member that the schema names.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Self> {
        let found = self.properties.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        Some(&self.properties[found].1)
    }

    /// The members that the schema names.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.properties.iter().map(|(name, node)| (&**name, node))
    }

    /// What is known of a member.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        self.property(name).or(match &self.others {
            Others::Of(node) => Some(node),
            Others::None | Others::Bare | Others::Forbidden => None,
        })
    }
}

fn is(flag: Option<bool>) -> bool {
    flag == Some(true)
}

fn others(schema: &Schema) -> Others {
    match &schema.additional_properties {
        None => Others::None,
        Some(OrBool::Bool(true)) => Others::Bare,
        Some(OrBool::Bool(false)) => Others::Forbidden,
        Some(OrBool::Schema(values)) => Others::Of(Box::new(Node::new(values))),
    }
}

fn elements(schema: &Schema) -> Elements {
    match schema.x_kubernetes_list_type.as_deref() {
        Some("set") => Elements::Set,
        Some("map") => {
            let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
            Elements::Keys(keys.map(|key| Box::from(key.as_str())).collect())
        }
        _ => Elements::Places,
    }
}

fn all(schemas: Option<&Vec<Schema>>) -> Box<[Node]> {
    schemas.into_iter().flatten().map(Node::new).collect()
}

impl Checks {
    /// `None` where nothing is checked.
    fn of(schema: &Schema) -> Option<Self> {
        let numbers = schema.minimum.is_some() || schema.maximum.is_some() || schema.multiple_of.is_some();
        let checks = Self {
            format: schema.format.as_deref().and_then(Format::named),
            numbers: numbers.then(|| {
                Box::new(Numbers {
                    minimum: schema.minimum,
                    exclusive_minimum: is(schema.exclusive_minimum),
                    maximum: schema.maximum,
                    exclusive_maximum: is(schema.exclusive_maximum),
                    multiple_of: schema.multiple_of,
                })
            }),
            min_length: schema.min_length,
            max_length: schema.max_length,
            pattern: schema.pattern.as_deref().filter(|pattern| !pattern.is_empty()).map(Pattern::new),
            min_items: schema.min_items,
            max_items: schema.max_items,
            min_properties: schema.min_properties,
            max_properties: schema.max_properties,
            values: schema
                .enum_
                .as_ref()
                .filter(|values| !values.is_empty())
                .map(|values| values.iter().map(|JSON(value)| value.clone()).collect()),
            required: schema.required.iter().flatten().map(|name| Box::from(name.as_str())).collect(),
            all_of: all(schema.all_of.as_ref()),
            any_of: all(schema.any_of.as_ref()),
            one_of: all(schema.one_of.as_ref()),
            not: schema.not.as_deref().map(|not| Box::new(Node::new(not))),
        };
        (!checks.is_empty()).then_some(checks)
    }

    fn is_empty(&self) -> bool {
        let counts = [
            self.min_length,
            self.max_length,
            self.min_items,
            self.max_items,
            self.min_properties,
            self.max_properties,
        ];
        counts.iter().all(Option::is_none)
            && self.format.is_none()
            && self.numbers.is_none()
            && self.pattern.is_none()
            && self.values.is_none()
            && self.required.is_empty()
            && self.junctors().all(|(_, nodes)| nodes.is_empty())
            && self.not.is_none()
    }

    fn junctors(&self) -> impl Iterator<Item = (&'static str, &[Node])> {
        [("allOf", &*self.all_of), ("anyOf", &*self.any_of), ("oneOf", &*self.one_of)].into_iter()
    }
}
