//! Typed objects, and what the API server asks of each kind.

use std::{any::Any, borrow::Cow, fmt::Debug, mem};

use k8s_openapi::Metadata;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    encode,
    field::FieldError,
    meta::ObjectMeta,
    resource::{Text, WrongType},
    schema,
};

/// A typed object of some kind, alive while one write is defaulted, validated and admitted, or
/// while one row of a Table is printed.
pub trait Object: Any + Debug + Send + Sync {
    /// `metadata`.
    fn meta(&self) -> &ObjectMeta;
    /// `metadata`, for change.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// JSON bytes, with `apiVersion` and `kind` first, as Go writes them: with fields that it always writes, without
    /// those that it leaves out.
    fn encode(&self) -> Vec<u8>;
    /// The object as a JSON tree. By way of its bytes: no hot path needs it, and serialisers are long.
    fn to_value(&self) -> Value {
        serde_json::from_slice(&self.encode()).expect("what was encoded can be decoded")
    }
    /// A copy.
    fn clone_object(&self) -> Box<dyn Object>;
    /// For downcasts.
    fn as_any(&self) -> &dyn Any;
    /// For downcasts.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl dyn Object {
    /// This object as a `T`, if it is one.
    #[must_use]
    pub fn downcast_ref<T: Object>(&self) -> Option<&T> {
        self.as_any().downcast_ref()
    }

    /// This object as a `T`, if it is one.
    pub fn downcast_mut<T: Object>(&mut self) -> Option<&mut T> {
        self.as_any_mut().downcast_mut()
    }

    /// This object as a `T`, which it has to be; `kind` names that in the error.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect_ref<T: Object>(&self, kind: &'static str) -> Result<&T, WrongType> {
        self.downcast_ref().ok_or(WrongType { expected: Cow::Borrowed(kind) })
    }

    /// This object as a `T`, which it has to be; `kind` names that in the error.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect_mut<T: Object>(&mut self, kind: &'static str) -> Result<&mut T, WrongType> {
        self.downcast_mut().ok_or(WrongType { expected: Cow::Borrowed(kind) })
    }
}

/// As long as most objects are in JSON, in bytes.
const USUAL_SIZE: usize = 2 << 10;

impl<T> Object for T
where
    T: Metadata<Ty = ObjectMeta> + Serialize + Clone + Debug + Send + Sync + 'static,
{
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    fn encode(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(USUAL_SIZE);
        let schema = schema::find(T::GROUP, T::VERSION, T::KIND);
        encode::write(self, schema, &mut json).expect("API types have string keys and no failing serialisers");
        json
    }

    fn clone_object(&self) -> Box<dyn Object> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// What a kind knows of itself. Implemented once per kind in `kinds/`; every method has a default,
/// so that a plain kind needs none.
pub trait Kind:
    Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// Columns of `kubectl get`, after upstream's printers. Name and Age only by default.
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::AGE];

    /// Fields that a field selector may name besides `metadata.name` and `metadata.namespace`,
    /// for example `spec.nodeName`. The watch cache reads them from the stored bytes by this path.
    const SELECTABLE: &'static [SelectableField] = &[];

    /// Fills in upstream's defaults. Idempotent.
    fn set_defaults(&mut self) {}

    /// What is wrong with a new object, metadata excepted (the registry validates that).
    fn validate(&self) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with the object that an update makes, by the rules for new ones. What upstream lets stay because
    /// `old` has it, too, is not wrong.
    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        let _ = old;
        self.validate()
    }

    /// What is wrong with changing `old` into this, besides what [`Kind::revalidate`] says.
    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let _ = old;
        Vec::new()
    }

    /// What is wrong with a write to the status subresource.
    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        let _ = old;
        Vec::new()
    }

    /// What is wrong with a write to a subresource that is a part of the object: `status`, if nothing else is said.
    fn validate_part_update(&self, old: &Self, subresource: &str) -> Vec<FieldError> {
        let _ = subresource;
        self.validate_status_update(old)
    }

    /// What to tell the writer of an object although it is not wrong; `old` is what it replaces, if it does.
    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        let _ = old;
        Vec::new()
    }

    /// One value per column, in the order of [`Kind::COLUMNS`].
    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata().name.clone().unwrap_or_default().into(),
            crate::table::age(self.metadata().creation_timestamp.as_ref()).into(),
        ]
    }
}

/// What upstream says of `metadata.name`.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A column of the server-side Table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading, such as `Ready`.
    pub name: Text,
    /// OpenAPI type: `string`, `integer`, `date`, `boolean`.
    pub r#type: Text,
    /// OpenAPI format; `name` for the name column, else usually empty.
    pub format: Text,
    /// What the column means; kubectl shows it nowhere, other clients do.
    pub description: Text,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

impl Column {
    /// The object's name.
    pub const NAME: Self = Self::of("Name", ["string", "name"], NAME);
    /// Time since creation.
    pub const AGE: Self = Self::text("Age", CREATION);
    /// When it was created; the second column of kinds that upstream has no printer for.
    pub const CREATED_AT: Self = Self::of("Created At", ["date", ""], CREATION);

    const fn of(name: &'static str, [r#type, format]: [&'static str; 2], description: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            r#type: Cow::Borrowed(r#type),
            format: Cow::Borrowed(format),
            description: Cow::Borrowed(description),
            priority: 0,
        }
    }

    /// A string column that is always shown.
    #[must_use]
    pub const fn text(name: &'static str, description: &'static str) -> Self {
        Self::of(name, ["string", ""], description)
    }

    /// An integer column that is always shown.
    #[must_use]
    pub const fn integer(name: &'static str, description: &'static str) -> Self {
        Self::of(name, ["integer", ""], description)
    }

    /// A column of booleans that is always shown.
    #[must_use]
    pub const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self::of(name, ["boolean", ""], description)
    }

    /// The same column, as one of names.
    #[must_use]
    pub const fn named(mut self) -> Self {
        // Nothing can be dropped in a constant, and the constant format before need not be.
        mem::forget(mem::replace(&mut self.format, Cow::Borrowed("name")));
        self
    }

    /// The same column, shown with `-o wide` only.
    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

/// A field that a field selector may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// The selector's name and the path in the object, such as `status.phase`.
    pub path: Text,
    /// What an absent field compares as: usually "", `false` for booleans, `0` for numbers.
    pub absent: Text,
    /// The path in the stored object; differs where a resource is stored as another kind, or where
    /// the selector's name is not a path.
    pub stored: Text,
    /// The path of the field that stands in when this one is absent or empty.
    pub otherwise: Option<Text>,
}

impl SelectableField {
    const fn of(path: &'static str, absent: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), absent: Cow::Borrowed(absent), stored: Cow::Borrowed(path), otherwise: None }
    }

    /// A string field; absent means empty.
    #[must_use]
    pub const fn text(path: &'static str) -> Self {
        Self::of(path, "")
    }

    /// A boolean field; absent means `false`.
    #[must_use]
    pub const fn boolean(path: &'static str) -> Self {
        Self::of(path, "false")
    }

    /// A number; absent means `0`.
    #[must_use]
    pub const fn integer(path: &'static str) -> Self {
        Self::of(path, "0")
    }

    /// The same field, found elsewhere in the stored object.
    #[must_use]
    pub const fn stored_at(mut self, stored: &'static str) -> Self {
        // Nothing can be dropped in a constant, and the constant path before need not be.
        mem::forget(mem::replace(&mut self.stored, Cow::Borrowed(stored)));
        self
    }

    /// The same field, with another that stands in for it.
    #[must_use]
    pub const fn or(mut self, otherwise: &'static str) -> Self {
        mem::forget(self.otherwise.replace(Cow::Borrowed(otherwise)));
        self
    }
}
