//! What is known of the types on the wire: their fields, how protobuf numbers them, which lists are maps or sets, by
//! which keys they merge. Strategic merge patch, server-side apply, protobuf and OpenAPI read it.
//!
//! Upstream's types stand in a table, which is generated (`hack/wire-tables`); a custom resource brings its own.

mod custom;
mod kind;
mod table;
mod zero;

use std::{
    borrow::Cow,
    io::{Read, Write},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde_json::Value;

pub use kind::Kind;
pub use table::{checksum, find, named, of, plain, types};
pub use zero::Always;

/// The schema of a kind: one of upstream's, or one that came at run time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema(Handle);

#[derive(Clone, Debug)]
enum Handle {
    Table(&'static Type),
    Custom(Arc<Custom>),
}

/// A schema that came at run time. Few of its readers need more than a part of it, and not always: it is kept compressed.
#[derive(Debug)]
struct Custom {
    compressed: Vec<u8>,
    root: OnceLock<Type>,
}

impl Custom {
    fn document(&self) -> Value {
        let mut text = Vec::new();
        match DeflateDecoder::new(&*self.compressed).read_to_end(&mut text) {
            Ok(_) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }
}

impl Schema {
    /// The schema of a custom resource, from the JSON of its `openAPIV3Schema`, which has been validated as a structural
    /// one.
    #[must_use]
    pub fn custom(document: &[u8]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        // Writing to memory cannot fail.
        let compressed = encoder.write_all(document).and_then(|()| encoder.finish()).unwrap_or_default();
        Self(Handle::Custom(Arc::new(Custom { compressed, root: OnceLock::new() })))
    }

    /// The document that a custom schema was made of.
    #[must_use]
    pub fn document(&self) -> Option<Value> {
        match &self.0 {
            Handle::Table(_) => None,
            Handle::Custom(custom) => Some(custom.document()),
        }
    }
}

impl From<&'static Type> for Schema {
    fn from(schema: &'static Type) -> Self {
        Self(Handle::Table(schema))
    }
}

impl Deref for Schema {
    type Target = Type;

    fn deref(&self) -> &Type {
        match &self.0 {
            Handle::Table(schema) => schema,
            Handle::Custom(custom) => custom.root.get_or_init(|| custom::root(&custom.document())),
        }
    }
}

/// A type: an object, or, nameless, a map or a list inside of another.
#[derive(Debug, Default)]
pub struct Type {
    /// Where it belongs, such as `io.k8s.api.core.v1`. Empty for what is not upstream's.
    pub package: &'static str,
    /// Such as `PodSpec`.
    pub name: &'static str,
    /// Set when values are not written as objects.
    pub scalar: Option<Kind>,
    /// Whether OpenAPI documents speak of it.
    pub documented: bool,
    /// Which kinds it stands for.
    pub stands_for: StandsFor,
    /// Whether server-side apply owns such an object as one (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// `x-kubernetes-unions`, in JSON.
    pub unions: Option<&'static str>,
    /// By their numbers.
    fields: Box<[Field]>,
    /// Places in `fields`, in the order of [`by_length`]; without inlined ones.
    by_name: Box<[u16]>,
    /// What members are that no field names: the values of a map.
    others: Option<Box<Field>>,
    /// What elements are, of a list inside of a list or a map.
    list: Option<Box<Field>>,
    /// See [`Self::always`]; found out when it is first needed.
    always: OnceLock<Box<[Always]>>,
    /// The place in the table of upstream's types, from which descriptions are counted.
    line: usize,
}

/// Which kinds a type stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandsFor {
    /// None: it is part of others.
    #[default]
    Nothing,
    /// The kind of its name in its package's group.
    Kind,
    /// The kind of its name in `v1`, though its package has no group.
    CoreKind,
    /// The kind of its name in every group.
    AnyKind,
}

/// The order in which names are looked up: most are told apart by their length, which takes less than to compare texts.
fn by_length(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Type {
    fn new(fields: Vec<Field>) -> Self {
        let mut by_name: Vec<u16> = (0..u16::try_from(fields.len()).unwrap_or(u16::MAX)).collect();
        by_name.retain(|index| !fields[usize::from(*index)].is_inlined());
        by_name.sort_by_key(|index| by_length(&fields[usize::from(*index)].name));
        Self { fields: fields.into(), by_name: by_name.into(), ..Self::default() }
    }

    /// A map whose values are as the field says.
    fn map(values: Field) -> Self {
        Self { others: Some(Box::new(values)), ..Self::default() }
    }

    /// Name in OpenAPI documents, such as `io.k8s.api.core.v1.PodSpec`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.package, self.name)
    }

    /// Group and version of its package's kinds.
    #[must_use]
    pub fn group_version(&self) -> Option<(&'static str, &'static str)> {
        table::group_of(self.package)
    }

    /// The fields by their numbers, inlined ones among them; those without a number first.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The place of an own field among [`Self::fields`].
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        let wanted = by_length(name);
        let found =
            self.by_name.binary_search_by(|index| by_length(&self.fields[usize::from(*index)].name).cmp(&wanted));
        Some(usize::from(self.by_name[found.ok()?]))
    }

    /// The field with a number.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Option<&Field> {
        let found = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        (number != 0).then(|| &self.fields[found])
    }

    /// What is known of a field, also of an inlined message.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        match self.position(name) {
            Some(position) => Some(&self.fields[position]),
            None => self.inlined().find_map(|inner| inner.field(name)),
        }
    }

    /// What is known of a member, also of a map.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Field> {
        self.field(name).or(self.others.as_deref())
    }

    /// What is known of an element of a list that stands inside of a list or a map.
    #[must_use]
    pub fn element(&self) -> Option<&Field> {
        self.list.as_deref()
    }

    /// Every member that has a name, inlined ones too, each with its line in the table.
    #[must_use]
    pub fn members(&self) -> Vec<(&Field, usize)> {
        let own = self.fields.iter().enumerate().filter(|(_, field)| !field.is_inlined());
        let own = own.map(|(index, field)| (field, self.line + 1 + index));
        own.chain(self.inlined().flat_map(Self::members)).collect()
    }

    /// The fields that Go always writes, inlined ones among them.
    #[must_use]
    pub fn always(&self) -> &[Always] {
        self.always.get_or_init(|| zero::always(self))
    }

    /// The line of the table that it begins at, counted without packages and comments.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// Whether protobuf can write it.
    #[must_use]
    pub fn is_message(&self) -> bool {
        !self.package.is_empty() && (self.fields.is_empty() || self.fields.iter().any(|field| field.number != 0))
    }

    fn inlined(&self) -> impl Iterator<Item = &Self> {
        self.fields.iter().filter(|field| field.is_inlined()).filter_map(Field::of)
    }
}

/// What is known of a field.
#[derive(Debug)]
pub struct Field {
    /// JSON name; `+` for a message whose fields are inlined.
    pub name: Cow<'static, str>,
    /// Number in protobuf; 0 when it has none.
    pub number: u32,
    /// One value, a list or a map.
    pub label: Label,
    /// What the value is, or the elements, or the values of the map.
    pub kind: Kind,
    /// Whether absence differs from the zero value.
    pub pointer: bool,
    /// Whether it must be there.
    pub required: bool,
    /// Whether Go leaves it out when it is empty.
    pub omitted_when_empty: bool,
    /// Whether Go leaves it out when it is zero although it is a structure.
    pub omitted_when_zero: bool,
    /// How server-side apply sees it.
    pub topology: Topology,
    /// How a strategic merge patch changes it.
    pub patch: Patch,
    /// What absence means, in JSON.
    pub default: Option<Cow<'static, str>>,
    /// The values that there are, as a JSON list, where they are told.
    pub values: Option<&'static str>,
    /// A type that is not in the table.
    own: Option<Arc<Type>>,
}

/// How often a value is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// Once.
    #[default]
    One,
    /// Any number of times.
    List,
    /// By names.
    Map,
}

impl Field {
    /// Type of the value, or of a list's elements.
    #[must_use]
    pub fn of(&self) -> Option<&Type> {
        self.own.as_deref().or_else(|| self.message())
    }

    /// The message that the value is, or an element, or a value of the map.
    #[must_use]
    pub fn message(&self) -> Option<&'static Type> {
        self.kind.message()
    }

    /// Whether its members stand among those of the object around it.
    #[must_use]
    pub fn is_inlined(&self) -> bool {
        self.name == "+"
    }
}

/// What server-side apply owns as one, and what piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// The rule: lists are owned as one, objects field by field (unless [`Type::atomic`]).
    #[default]
    Natural,
    /// Owned as one.
    Atomic,
    /// Owned field by field although its type is atomic.
    Granular,
    /// A list whose elements are known by these keys (`x-kubernetes-list-type: map`).
    Map(Box<[Key]>),
    /// A list of distinct scalars (`x-kubernetes-list-type: set`).
    Set,
}

/// A key of a list of [`Topology::Map`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// JSON name of the key field.
    pub name: Cow<'static, str>,
    /// What an element without it means, in JSON.
    pub default: Option<Cow<'static, str>>,
}

/// The strategic merge patch strategy of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// How a list is changed.
    pub list: ListPatch,
    /// Whether a patch may say `$retainKeys` (`retainKeys`).
    pub retain_keys: bool,
    /// Whether an object is replaced as a whole (`replace`).
    pub replace: bool,
}

/// How a strategic merge patch changes a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListPatch {
    /// The list is replaced.
    #[default]
    Replace,
    /// Elements with the same value of this key are merged.
    MergeBy(&'static str),
    /// Scalars are added to the list.
    MergeValues,
}

#[cfg(test)]
mod tests;
