//! The row type of the one table of resources: from its rows come routes, discovery, OpenAPI,
//! Table output and garbage collection's list.

use std::{fmt::Debug, marker::PhantomData};

use serde_json::Value;

use crate::{
    field::FieldError,
    object::{Column, Kind, Object, SelectableField},
};

/// Whether a resource's objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// One for the whole cluster.
    Cluster,
}

/// A subresource as discovery shows it, such as `pods/status` or `deployments/scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// The last path segment.
    pub name: &'static str,
    /// Group of the kind that is read and written; differs from the parent's for `scale`.
    pub group: &'static str,
    /// Version of that kind.
    pub version: &'static str,
    /// That kind, such as `Scale`, `Binding`, `PodExecOptions`.
    pub kind: &'static str,
    /// Verbs as discovery lists them: `get`, `patch`, `update`, `create`.
    pub verbs: &'static [&'static str],
}

/// All verbs of an ordinary resource, sorted as discovery sorts them.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// API group; empty for core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind, such as `Pod`.
    pub kind: &'static str,
    /// Path segment, such as `pods`.
    pub plural: &'static str,
    /// Singular name, such as `pod`.
    pub singular: &'static str,
    /// Such as `po`.
    pub short_names: &'static [&'static str],
    /// Such as `all`.
    pub categories: &'static [&'static str],
    /// Where its objects live.
    pub scope: Scope,
    /// Verbs, sorted.
    pub verbs: &'static [&'static str],
    /// Subresources, in discovery's order.
    pub subresources: &'static [Subresource],
    /// The kind's own functions, with the type erased.
    pub ops: &'static dyn KindOps,
}

impl Resource {
    /// A namespaced row for `T` with all verbs and no subresources.
    #[must_use]
    pub const fn of<T: Kind>(plural: &'static str, singular: &'static str) -> Self {
        Self {
            group: T::GROUP,
            version: T::VERSION,
            kind: T::KIND,
            plural,
            singular,
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
            verbs: ALL_VERBS,
            subresources: &[],
            ops: &Typed::<T>(PhantomData),
        }
    }

    /// The same row at cluster scope.
    #[must_use]
    pub const fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    /// The same row with short names.
    #[must_use]
    pub const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    /// The same row with categories.
    #[must_use]
    pub const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    /// The same row with these verbs only.
    #[must_use]
    pub const fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    /// The same row with subresources.
    #[must_use]
    pub const fn subresources(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`, as in error messages.
    #[must_use]
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether objects live in a namespace.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The kind of a list of these, such as `PodList`.
    #[must_use]
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }
}

/// [`Kind`]'s functions with the type erased. Generic serde code is compiled once, here.
pub trait KindOps: Debug + Send + Sync {
    /// Decodes JSON. Unknown fields are skipped, each reported to `unknown` by its path as upstream
    /// writes it: `spec.containers[0].nmae`.
    ///
    /// # Errors
    /// When the JSON is malformed or a field has another type.
    fn decode(&self, json: &[u8], unknown: &mut dyn FnMut(String)) -> Result<Box<dyn Object>, serde_json::Error>;

    /// Decodes JSON that this server has encoded. Faster than [`KindOps::decode`], because it does not watch for
    /// unknown fields, which are skipped.
    ///
    /// # Errors
    /// When the JSON is malformed or a field has another type.
    fn decode_trusted(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error>;

    /// See [`Kind::set_defaults`].
    fn set_defaults(&self, object: &mut dyn Object);

    /// See [`Kind::validate`].
    fn validate(&self, object: &dyn Object) -> Vec<FieldError>;

    /// See [`Kind::validate_update`].
    fn validate_update(&self, object: &dyn Object, old: &dyn Object) -> Vec<FieldError>;

    /// See [`Kind::validate_status_update`].
    fn validate_status_update(&self, object: &dyn Object, old: &dyn Object) -> Vec<FieldError>;

    /// See [`Kind::COLUMNS`].
    fn columns(&self) -> &'static [Column];

    /// See [`Kind::cells`].
    fn cells(&self, object: &dyn Object) -> Vec<Value>;

    /// See [`Kind::SELECTABLE`].
    fn selectable(&self) -> &'static [SelectableField];

    /// A reference to the kind's schema, which the generator then holds.
    #[cfg(feature = "openapi")]
    fn json_schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;
}

struct Typed<T>(PhantomData<fn() -> T>);

impl<T: Kind> Debug for Typed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(T::KIND)
    }
}

impl<T: Kind> KindOps for Typed<T> {
    fn decode(&self, json: &[u8], unknown: &mut dyn FnMut(String)) -> Result<Box<dyn Object>, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text(json)?);
        let object: T = serde_ignored::deserialize(&mut deserializer, |path| unknown(field_path(&path)))?;
        deserializer.end()?;
        Ok(Box::new(object))
    }

    fn decode_trusted(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        Ok(Box::new(serde_json::from_str::<T>(text(json)?)?))
    }

    fn set_defaults(&self, object: &mut dyn Object) {
        if let Some(object) = object.downcast_mut::<T>() {
            object.set_defaults();
        }
    }

    fn validate(&self, object: &dyn Object) -> Vec<FieldError> {
        object.downcast_ref::<T>().map(Kind::validate).unwrap_or_default()
    }

    fn validate_update(&self, object: &dyn Object, old: &dyn Object) -> Vec<FieldError> {
        both::<T>(object, old).map(|(new, old)| new.validate_update(old)).unwrap_or_default()
    }

    fn validate_status_update(&self, object: &dyn Object, old: &dyn Object) -> Vec<FieldError> {
        both::<T>(object, old).map(|(new, old)| new.validate_status_update(old)).unwrap_or_default()
    }

    fn columns(&self) -> &'static [Column] {
        T::COLUMNS
    }

    fn cells(&self, object: &dyn Object) -> Vec<Value> {
        object.downcast_ref::<T>().map(Kind::cells).unwrap_or_default()
    }

    fn selectable(&self) -> &'static [SelectableField] {
        T::SELECTABLE
    }

    #[cfg(feature = "openapi")]
    fn json_schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

/// Checked once as a whole, which is much faster than string by string.
fn text(json: &[u8]) -> Result<&str, serde_json::Error> {
    std::str::from_utf8(json).map_err(serde::de::Error::custom)
}

fn field_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field_path(parent)),
        Path::Map { parent, key } => match field_path(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => field_path(parent),
    }
}

fn both<'a, T: Object>(new: &'a dyn Object, old: &'a dyn Object) -> Option<(&'a T, &'a T)> {
    Some((new.downcast_ref()?, old.downcast_ref()?))
}
