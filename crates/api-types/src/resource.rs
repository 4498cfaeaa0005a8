//! The row type of the table of resources: from its rows come routes, discovery, OpenAPI, Table output and garbage
//! collection's list. Built-in rows are constants; rows can also be made, changed and dropped at run time.

use std::{borrow::Cow, fmt::Debug, marker::PhantomData, mem, ops::Deref, sync::Arc};

use serde_json::Value;

use crate::{
    codec::by_serde,
    field::FieldError,
    object::{Column, Kind, Object, SelectableField},
    schema::{self, Schema, Type},
    validation::names::{self, Rule},
};

/// Whether a resource's objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// One for the whole cluster.
    Cluster,
}

/// A text of a row: constant, or as long as the row.
pub type Text = Cow<'static, str>;

/// How requests to a subresource go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// As those to an object: answered in time, in the representation that was settled with the client.
    Object,
    /// A connection that lasts as long as the client wants, in a representation of its own: no deadline, not counted
    /// as in flight, nothing to negotiate.
    Stream,
}

/// A subresource as discovery shows it, such as `pods/status` or `deployments/scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// The last path segment.
    pub name: Text,
    /// Group of the kind that is read and written; differs from the parent's for `scale`.
    pub group: Text,
    /// Version of that kind.
    pub version: Text,
    /// That kind, such as `Scale`, `Binding`, `PodExecOptions`.
    pub kind: Text,
    /// Verbs as discovery lists them: `get`, `patch`, `update`, `create`.
    pub verbs: &'static [&'static str],
    /// How its requests go.
    pub traffic: Traffic,
    /// The kind of the core group that its query is read as, such as `PodExecOptions`; none where the query is that of
    /// any request.
    pub options: Option<Text>,
}

impl Subresource {
    /// A subresource of this name that reads and writes the kind.
    #[must_use]
    pub const fn new(
        name: &'static str,
        (group, version, kind): (&'static str, &'static str, &'static str),
        verbs: &'static [&'static str],
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            verbs,
            traffic: Traffic::Object,
            options: None,
        }
    }

    /// The same subresource as a connection whose query is read as this kind of options.
    #[must_use]
    pub const fn stream(mut self, options: &'static str) -> Self {
        self.traffic = Traffic::Stream;
        mem::forget(self.options.replace(Cow::Borrowed(options)));
        self
    }

    /// Whether a verb is understood.
    #[must_use]
    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// All verbs of an ordinary resource, sorted as discovery sorts them.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Verbs of subresources that are read and written like an object.
pub const STATUS_VERBS: &[&str] = &["get", "patch", "update"];

/// Short names or categories.
#[derive(Clone, Debug)]
pub enum Names {
    /// Of a built-in row.
    Constant(&'static [&'static str]),
    /// Of a row that came at run time.
    Owned(Arc<[String]>),
}

impl Names {
    /// The names in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (constant, owned): (&[&str], &[String]) = match self {
            Self::Constant(names) => (names, &[]),
            Self::Owned(names) => (&[], names),
        };
        constant.iter().copied().chain(owned.iter().map(String::as_str))
    }
}

/// A kind's functions: of a type that is compiled in, or of a kind that came at run time.
#[derive(Clone, Debug)]
pub enum Ops {
    /// Of a Rust type.
    Constant(&'static dyn KindOps),
    /// Brought along by the row.
    Owned(Arc<dyn KindOps>),
}

impl Deref for Ops {
    type Target = dyn KindOps;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Constant(ops) => *ops,
            Self::Owned(ops) => &**ops,
        }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group; empty for core.
    pub group: Text,
    /// API version.
    pub version: Text,
    /// Kind, such as `Pod`.
    pub kind: Text,
    /// Path segment, such as `pods`.
    pub plural: Text,
    /// Singular name, such as `pod`.
    pub singular: Text,
    /// Such as `po`.
    pub short_names: Names,
    /// Such as `all`.
    pub categories: Names,
    /// Where its objects live.
    pub scope: Scope,
    /// Verbs, sorted.
    pub verbs: &'static [&'static str],
    /// What objects may be called.
    pub name_rule: Rule,
    /// Subresources. A constant row has none: who serves it adds them, each with what answers it.
    pub subresources: Vec<Subresource>,
    /// The kind's own functions, with the type erased.
    pub ops: Ops,
}

impl Resource {
    /// A namespaced row for `T` with all verbs and no subresources.
    #[must_use]
    pub const fn of<T: Kind>(plural: &'static str, singular: &'static str) -> Self {
        Self {
            group: Cow::Borrowed(T::GROUP),
            version: Cow::Borrowed(T::VERSION),
            kind: Cow::Borrowed(T::KIND),
            plural: Cow::Borrowed(plural),
            singular: Cow::Borrowed(singular),
            short_names: Names::Constant(&[]),
            categories: Names::Constant(&[]),
            scope: Scope::Namespaced,
            verbs: ALL_VERBS,
            name_rule: names::dns1123_subdomain,
            subresources: Vec::new(),
            ops: Ops::Constant(&Typed::<T>(PhantomData)),
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
        // Nothing can be dropped in a constant, and the constant names before need not be.
        mem::forget(mem::replace(&mut self.short_names, Names::Constant(names)));
        self
    }

    /// The same row with categories.
    #[must_use]
    pub const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        mem::forget(mem::replace(&mut self.categories, Names::Constant(categories)));
        self
    }

    /// The same row with these verbs only.
    #[must_use]
    pub const fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    /// The same row with this rule for names.
    #[must_use]
    pub const fn names(mut self, rule: Rule) -> Self {
        self.name_rule = rule;
        self
    }

    /// Whether this is the other row, whatever both have got since.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.plural == other.plural && self.group == other.group && self.version == other.version
    }

    /// A subresource by its name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone().into_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `deployments.apps`, as in error messages.
    #[must_use]
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone().into_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether objects live in a namespace.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The schema of its kind.
    #[must_use]
    pub fn schema(&self) -> &Type {
        match self.ops.own_schema() {
            Some(schema) => schema,
            None => schema::of(&self.group, &self.version, &self.kind),
        }
    }

    /// The kind of a list of these, such as `PodList`.
    #[must_use]
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }
}

/// An object of another kind than the row's came to a kind's function: a fault of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object of another kind was taken for a {expected}")]
pub struct WrongType {
    /// The kind that was expected.
    pub expected: Text,
}

/// [`Kind`]'s functions with the type erased. Generic serde code is compiled once, here.
pub trait KindOps: Debug + Send + Sync {
    /// Decodes JSON; unknown fields are skipped.
    ///
    /// # Errors
    /// When the JSON is malformed or a field has another type.
    fn decode(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error>;

    /// Decodes JSON that this server has stored; perhaps in a version that it stored before.
    ///
    /// # Errors
    /// As [`KindOps::decode`].
    fn decode_trusted(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        self.decode(json)
    }

    /// Stored JSON as the kind has it now, where that is something else: the schema of a kind that came at run time changes.
    fn settle(&self, json: &[u8]) -> Option<Vec<u8>> {
        let _ = json;
        None
    }

    /// Drops what the kind does not have, and tells the paths of what it dropped. Rust types have dropped it when they
    /// were decoded.
    ///
    /// # Errors
    /// For an object of another kind.
    fn prune(&self, object: &mut dyn Object) -> Result<Vec<String>, WrongType> {
        let _ = object;
        Ok(Vec::new())
    }

    /// See [`Kind::set_defaults`].
    ///
    /// # Errors
    /// For an object of another kind.
    fn set_defaults(&self, object: &mut dyn Object) -> Result<(), WrongType>;

    /// See [`Kind::validate`].
    ///
    /// # Errors
    /// For an object of another kind.
    fn validate(&self, object: &dyn Object) -> Result<Vec<FieldError>, WrongType>;

    /// See [`Kind::revalidate`].
    ///
    /// # Errors
    /// For objects of another kind.
    fn revalidate(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType>;

    /// See [`Kind::validate_update`].
    ///
    /// # Errors
    /// For objects of another kind.
    fn validate_update(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType>;

    /// See [`Kind::validate_part_update`].
    ///
    /// # Errors
    /// For objects of another kind.
    fn validate_part_update(
        &self,
        object: &dyn Object,
        old: &dyn Object,
        subresource: &str,
    ) -> Result<Vec<FieldError>, WrongType>;

    /// See [`Kind::COLUMNS`].
    fn columns(&self) -> &[Column];

    /// See [`Kind::cells`].
    ///
    /// # Errors
    /// For an object of another kind.
    fn cells(&self, object: &dyn Object) -> Result<Vec<Value>, WrongType>;

    /// See [`Kind::SELECTABLE`].
    fn selectable(&self) -> &[SelectableField];

    /// What whoever uses the kind is to be told, where it has a successor.
    fn deprecation(&self) -> Option<String> {
        None
    }

    /// The version in which objects are stored, where that is another than the row's.
    fn storage_version(&self) -> Option<&str> {
        None
    }

    /// The schema of a kind that came at run time; none for a Rust type, whose schema is in the table of upstream's.
    fn own_schema(&self) -> Option<&Schema> {
        None
    }
}

struct Typed<T>(PhantomData<fn() -> T>);

impl<T: Kind> Debug for Typed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(T::KIND)
    }
}

impl<T: Kind> KindOps for Typed<T> {
    fn decode(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        Ok(Box::new(by_serde::<T>(json)?))
    }

    fn set_defaults(&self, object: &mut dyn Object) -> Result<(), WrongType> {
        object.expect_mut::<T>(T::KIND).map(Kind::set_defaults)
    }

    fn validate(&self, object: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        object.expect_ref::<T>(T::KIND).map(Kind::validate)
    }

    fn revalidate(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        Ok(object.expect_ref::<T>(T::KIND)?.revalidate(old.expect_ref(T::KIND)?))
    }

    fn validate_update(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        Ok(object.expect_ref::<T>(T::KIND)?.validate_update(old.expect_ref(T::KIND)?))
    }

    fn validate_part_update(
        &self,
        object: &dyn Object,
        old: &dyn Object,
        subresource: &str,
    ) -> Result<Vec<FieldError>, WrongType> {
        Ok(object.expect_ref::<T>(T::KIND)?.validate_part_update(old.expect_ref(T::KIND)?, subresource))
    }

    fn columns(&self) -> &[Column] {
        T::COLUMNS
    }

    fn cells(&self, object: &dyn Object) -> Result<Vec<Value>, WrongType> {
        object.expect_ref::<T>(T::KIND).map(Kind::cells)
    }

    fn selectable(&self) -> &[SelectableField] {
        T::SELECTABLE
    }
}
