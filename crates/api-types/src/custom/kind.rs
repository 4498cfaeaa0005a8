//! A version of a kind that came at run time, with what it knows of its objects.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    JsonPath, Node, embedded, lists,
    rules::{self, Whole},
    validate,
};
use crate::{
    apiextensions::JSONSchemaProps,
    codec::{FromJson, by_serde},
    dynamic::Dynamic,
    field::{FieldError, FieldErrorKind, Path},
    meta::{ObjectMeta, Time},
    object::{Column, Object, SelectableField},
    resource::{ALL_VERBS, KindOps, Names, Ops, Resource, Scope, Text, WrongType},
    schema::Schema,
    table,
    validation::names::dns1123_subdomain,
};

/// The schema of a version: what it says, and the document.
#[derive(Debug)]
pub struct Structure {
    node: Node,
    schema: Schema,
}

impl Structure {
    /// Compiles a schema, which has been validated as a structural one.
    #[must_use]
    pub fn new(schema: &JSONSchemaProps) -> Self {
        let document = serde_json::to_vec(schema).unwrap_or_default();
        Self { node: Node::new(schema), schema: Schema::custom(&document) }
    }

    /// Makes a stored object what the schema says now: without what it does not have, and with its defaults. Tells whether
    /// that changed anything.
    fn settle(&self, object: &mut Map<String, Value>) -> bool {
        let dropped = !self.node.prune(object).is_empty();
        self.node.default(object) | dropped
    }

    /// Drops of an object what the schema does not have.
    pub fn prune(&self, fields: &mut Map<String, Value>) {
        self.node.prune(fields);
    }
}

/// Where an object has what its `scale` shows.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    /// Of the number of replicas that is wanted.
    pub wanted: String,
    /// Of the number that there is.
    pub actual: String,
    /// Of the labels by which they are found, if they are.
    pub selector: Option<String>,
}

/// What is said of a version of a kind.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its version, such as `example.com/v1`.
    pub api_version: Text,
    /// Its name.
    pub kind: Text,
    /// Columns of a Table behind the name, each with the path of its value.
    pub columns: Vec<(Column, String)>,
    /// Fields that a field selector may name.
    pub selectable: Vec<SelectableField>,
    /// Its schema.
    pub schema: Arc<Structure>,
    /// Where the replicas are, if it can be scaled.
    pub scale: Option<ScalePaths>,
    /// Versions that objects may also be stored in, from when another version was the one to store, each with its schema.
    pub also_stored: Vec<(Text, Arc<Structure>)>,
    /// What becomes of those when they are read.
    pub other_versions: OtherVersions,
    /// The version in which objects are stored.
    pub storage_version: Text,
    /// What whoever uses this version is to be told, where it has a successor.
    pub deprecation: Option<String>,
}

/// How objects of one version become those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersions {
    /// They say that they are of the other, and are the same besides.
    Renamed,
    /// They stay what they are: somebody converts them.
    Kept,
}

/// A version of a kind that came at run time.
#[derive(Debug)]
pub struct DynamicKind {
    own: Definition,
    paths: Vec<Option<JsonPath>>,
    headings: Vec<Column>,
}

impl Definition {
    /// A kind with this schema and nothing else.
    #[must_use]
    pub fn new(api_version: impl Into<Text>, kind: impl Into<Text>, schema: Arc<Structure>) -> Self {
        let api_version = api_version.into();
        let version = api_version.rsplit('/').next().unwrap_or_default().to_owned();
        Self {
            api_version,
            kind: kind.into(),
            columns: Vec::new(),
            selectable: Vec::new(),
            schema,
            scale: None,
            also_stored: Vec::new(),
            other_versions: OtherVersions::Renamed,
            storage_version: version.into(),
            deprecation: None,
        }
    }
}

impl DynamicKind {
    /// A kind as it is defined.
    #[must_use]
    pub fn new(own: Definition) -> Self {
        let headings = own.columns.iter().map(|(column, _)| column.clone());
        let headings = [Column::NAME].into_iter().chain(headings).collect();
        let paths = own.columns.iter().map(|(_, path)| JsonPath::parse(path)).collect();
        Self { own, paths, headings }
    }

    /// A namespaced row for this kind with all verbs and no subresources.
    #[must_use]
    pub fn row(self, plural: impl Into<Text>, singular: impl Into<Text>) -> Resource {
        let api_version = self.own.api_version.clone();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        Resource {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            kind: self.own.kind.clone(),
            plural: plural.into(),
            singular: singular.into(),
            short_names: Names::Constant(&[]),
            categories: Names::Constant(&[]),
            scope: Scope::Namespaced,
            verbs: ALL_VERBS,
            name_rule: dns1123_subdomain,
            subresources: Vec::new(),
            ops: Ops::Owned(Arc::new(self)),
        }
    }

    fn node(&self) -> &Node {
        &self.own.schema.node
    }

    fn expect<'a>(&self, object: &'a dyn Object) -> Result<&'a Dynamic, WrongType> {
        let object = object.downcast_ref::<Dynamic>();
        object.filter(|object| object.kind == self.own.kind).ok_or_else(|| self.wrong())
    }

    fn expect_mut<'a>(&self, object: &'a mut dyn Object) -> Result<&'a mut Dynamic, WrongType> {
        let object = object.downcast_mut::<Dynamic>();
        object.filter(|object| object.kind == self.own.kind).ok_or_else(|| self.wrong())
    }

    fn wrong(&self) -> WrongType {
        WrongType { expected: self.own.kind.clone() }
    }

    fn decode_version(
        &self,
        json: &[u8],
        others: &[(Text, Arc<Structure>)],
    ) -> Result<Box<Dynamic>, serde_json::Error> {
        let mut fields: Map<String, Value> = by_serde(json)?;
        let api_version = header(&mut fields, "apiVersion", &self.own.api_version, others)?;
        let kind = header(&mut fields, "kind", &self.own.kind, &[])?;
        let metadata = match fields.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(tree) => ObjectMeta::from_tree(&tree)?,
        };
        Ok(Box::new(Dynamic { api_version, kind, metadata, fields }))
    }

    /// Makes an object that is stored in a version what the schemas say now. Answers the version that it then is of, and
    /// whether anything else has changed.
    fn settle_version(&self, stored: &str, fields: &mut Map<String, Value>) -> (&Text, bool) {
        let own = &self.own;
        let other = own.also_stored.iter().find(|(version, _)| *version == stored && *version != own.api_version);
        match other {
            None => (&own.api_version, own.schema.settle(fields)),
            Some((version, schema)) if own.other_versions == OtherVersions::Kept => (version, schema.settle(fields)),
            Some((_, schema)) => {
                schema.settle(fields);
                self.node().prune(fields);
                (&own.api_version, true)
            }
        }
    }

    fn errors(&self, object: &Dynamic, old: Option<&Dynamic>) -> Vec<FieldError> {
        let node = self.node();
        let names = names(object);
        let mut errors = validate::object(node, &object.fields, &names, old.map(|old| &old.fields));
        errors.extend(self.scale_errors(object));
        for (name, value) in &object.fields {
            let path = Path::new(name);
            let Some(node) = node.member(name) else { continue };
            embedded::validate(&path, value, node, &mut errors);
            // Lists that had doubles before may keep them.
            let mut before = Vec::new();
            if let Some(old) = old.and_then(|old| old.fields.get(name)) {
                lists::validate(&path, old, node, &mut before);
            }
            if before.is_empty() {
                lists::validate(&path, value, node, &mut errors);
            }
        }
        if !self.node().ruled {
            return errors;
        }
        if blocks_rules(&errors) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                          errors to complete validation";
            errors.push(FieldError {
                value: Some(Value::Null),
                ..FieldError::invalid_whole(&Path::new("<nil>"), detail)
            });
            return errors;
        }
        let old_names = old.map(self::names);
        let old = old.zip(old_names.as_ref()).map(|(old, names)| whole(old, names));
        errors.extend(rules::object(node, whole(object, &names), old));
        errors
    }

    fn scale_errors(&self, object: &Dynamic) -> Vec<FieldError> {
        let Some(scale) = &self.own.scale else { return Vec::new() };
        let mut errors = Vec::new();
        for path in [&scale.wanted, &scale.actual] {
            let Some(found) = object.at(path.trim_start_matches('.')) else { continue };
            let wrong = |detail: &str| FieldError::invalid(&Path::new(path), found.clone(), detail);
            match found.as_i64() {
                Some(replicas) if replicas < 0 => errors.push(wrong("should be a non-negative integer")),
                Some(replicas) if replicas > i64::from(i32::MAX) => {
                    errors.push(wrong(&format!("should be less than or equal to {}", i32::MAX)));
                }
                _ => {}
            }
        }
        if let Some(path) = &scale.selector
            && let Some(found) = object.at(path.trim_start_matches('.')).filter(|found| !found.is_string())
        {
            errors.push(FieldError::invalid(&Path::new(path), found.clone(), "should be a string"));
        }
        errors
    }

    fn cell(&self, object: &Value, column: &Column, path: Option<&JsonPath>) -> Value {
        let found = path.map(|path| path.find(object)).unwrap_or_default();
        found.first().map_or(Value::Null, |found| cell(&column.r#type, found))
    }
}

/// `name` and `generateName`, as far as there are.
fn names(object: &Dynamic) -> Value {
    let names = [("name", &object.metadata.name), ("generateName", &object.metadata.generate_name)];
    let there = names.into_iter().filter_map(|(field, name)| Some((field.to_owned(), name.clone()?.into())));
    Value::Object(there.collect())
}

fn whole<'a>(object: &'a Dynamic, names: &'a Value) -> Whole<'a> {
    Whole { api_version: &object.api_version, kind: &object.kind, names, fields: &object.fields }
}

/// What a client or the store names the kind is checked; what it leaves out is filled in.
fn header(
    fields: &mut Map<String, Value>,
    name: &str,
    own: &Text,
    others: &[(Text, Arc<Structure>)],
) -> Result<String, serde_json::Error> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(own.clone().into_owned()),
        Some(Value::String(sent)) if sent == *own || others.iter().any(|(other, _)| sent == *other) => Ok(sent),
        Some(other) => Err(serde::de::Error::custom(format_args!("{name} is {other}, expected {own:?}"))),
    }
}

/// A value as a column of this type shows it.
fn cell(kind: &str, value: &Value) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(_) => value.clone(),
            None => number.as_f64().map_or(Value::Null, |number| (number as i64).into()),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("date", Value::String(text)) => match text.parse() {
            Ok(time) => table::age(Some(&Time(time))).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

impl KindOps for DynamicKind {
    fn decode(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        Ok(self.decode_version(json, &[])?)
    }

    fn decode_trusted(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        let mut object = self.decode_version(json, &self.own.also_stored)?;
        let stored = std::mem::take(&mut object.api_version);
        let (version, _) = self.settle_version(&stored, &mut object.fields);
        object.api_version = version.clone().into_owned();
        Ok(object)
    }

    fn settle(&self, json: &[u8]) -> Option<Vec<u8>> {
        let mut object: Map<String, Value> = by_serde(json).ok()?;
        let stored = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, changed) = self.settle_version(&stored, &mut object);
        if !changed && stored == *version {
            return None;
        }
        object.insert("apiVersion".to_owned(), (**version).into());
        serde_json::to_vec(&object).ok()
    }

    fn prune(&self, object: &mut dyn Object) -> Result<Vec<String>, WrongType> {
        Ok(self.node().prune(&mut self.expect_mut(object)?.fields))
    }

    fn set_defaults(&self, object: &mut dyn Object) -> Result<(), WrongType> {
        let object = self.expect_mut(object)?;
        self.own.schema.node.default(&mut object.fields);
        Ok(())
    }

    fn validate(&self, object: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        Ok(self.errors(self.expect(object)?, None))
    }

    fn validate_update(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        self.expect(object).and(self.expect(old)).map(|_| Vec::new())
    }

    fn revalidate(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        Ok(self.errors(self.expect(object)?, Some(self.expect(old)?)))
    }

    fn validate_part_update(
        &self,
        object: &dyn Object,
        old: &dyn Object,
        _subresource: &str,
    ) -> Result<Vec<FieldError>, WrongType> {
        self.revalidate(object, old)
    }

    fn columns(&self) -> &[Column] {
        &self.headings
    }

    fn cells(&self, object: &dyn Object) -> Result<Vec<Value>, WrongType> {
        let object = self.expect(object)?;
        let name = object.metadata.name.clone().unwrap_or_default().into();
        let tree = object.to_value();
        let columns = self.own.columns.iter().zip(&self.paths);
        let own = columns.map(|((column, _), path)| self.cell(&tree, column, path.as_ref()));
        Ok([name].into_iter().chain(own).collect())
    }

    fn selectable(&self) -> &[SelectableField] {
        &self.own.selectable
    }

    fn own_schema(&self) -> Option<&Schema> {
        Some(&self.own.schema.schema)
    }

    fn deprecation(&self) -> Option<String> {
        self.own.deprecation.clone()
    }

    fn storage_version(&self) -> Option<&str> {
        Some(&self.own.storage_version)
    }
}

/// Whether rules can be evaluated: what is of another type, too large or missing would only fail in other words.
fn blocks_rules(errors: &[FieldError]) -> bool {
    errors.iter().any(|error| {
        matches!(
            error.kind,
            FieldErrorKind::Required | FieldErrorKind::TooLong | FieldErrorKind::TooMany | FieldErrorKind::TypeInvalid
        )
    })
}
