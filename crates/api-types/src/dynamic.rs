//! Objects of kinds that come at run time: metadata as every object has it, all else as a JSON tree.

use std::{any::Any, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    codec::{FromJson, by_serde},
    field::FieldError,
    meta::ObjectMeta,
    object::{Column, Object, SelectableField},
    resource::{ALL_VERBS, KindOps, Names, Ops, Resource, Scope, Text, WrongType},
    schema::Schema,
    table,
    validation::names::dns1123_subdomain,
};

/// An object whose kind is no Rust type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dynamic {
    /// Its version, such as `example.com/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// `metadata`.
    pub metadata: ObjectMeta,
    /// All other fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Dynamic {
    /// The value at a path of fields, such as `spec.size`; metadata is not looked into.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let mut value = self.fields.get(first)?;
        for step in rest.into_iter().flat_map(|rest| rest.split('.')) {
            value = value.get(step)?;
        }
        Some(value)
    }
}

impl Object for Dynamic {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("JSON trees have string keys and no failing serialisers")
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

/// A kind without rules of its own that came at run time.
#[derive(Clone, Debug)]
pub struct DynamicKind {
    /// Its version, such as `example.com/v1`.
    pub api_version: Text,
    /// Its name.
    pub kind: Text,
    /// Columns of a Table between name and age, each with the path of its value.
    pub columns: Vec<(Column, String)>,
    /// Fields that a field selector may name.
    pub selectable: Vec<SelectableField>,
    /// Its schema.
    pub schema: Schema,
    /// Versions that objects may also be stored in, from when another version was the one to store.
    also_stored: Vec<Text>,
    headings: Vec<Column>,
}

impl DynamicKind {
    /// A kind with these columns, selectable fields and OpenAPI version 3 schema, which is a structural one.
    #[must_use]
    pub fn new(
        api_version: impl Into<Text>,
        kind: impl Into<Text>,
        columns: Vec<(Column, String)>,
        selectable: Vec<SelectableField>,
        schema: Value,
    ) -> Self {
        let own = columns.iter().map(|(column, _)| column.clone());
        let headings = [Column::NAME].into_iter().chain(own).chain([Column::AGE]).collect();
        Self {
            api_version: api_version.into(),
            kind: kind.into(),
            columns,
            selectable,
            schema: Schema::custom(schema),
            also_stored: Vec::new(),
            headings,
        }
    }

    /// The same kind, of which objects are also stored in these versions, such as `example.com/v1`. They are read as they
    /// are: a conversion has to turn them into this version.
    #[must_use]
    pub fn also_stored(self, versions: Vec<Text>) -> Self {
        Self { also_stored: versions, ..self }
    }

    /// A namespaced row for this kind with all verbs and no subresources.
    #[must_use]
    pub fn row(self, plural: impl Into<Text>, singular: impl Into<Text>) -> Resource {
        let api_version = self.api_version.clone();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        Resource {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            kind: self.kind.clone(),
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

    fn expect<'a>(&self, object: &'a dyn Object) -> Result<&'a Dynamic, WrongType> {
        let object = object.downcast_ref::<Dynamic>();
        object.filter(|object| object.kind == self.kind).ok_or(WrongType { expected: self.kind.clone() })
    }

    fn decode_version(&self, json: &[u8], versions: &[Text]) -> Result<Box<dyn Object>, serde_json::Error> {
        let mut fields: Map<String, Value> = by_serde(json)?;
        let api_version = header(&mut fields, "apiVersion", &self.api_version, versions)?;
        let kind = header(&mut fields, "kind", &self.kind, &[])?;
        let metadata = match fields.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(tree) => ObjectMeta::from_tree(&tree)?,
        };
        Ok(Box::new(Dynamic { api_version, kind, metadata, fields }))
    }
}

/// What a client or the store names the kind is checked; what it leaves out is filled in.
fn header(
    fields: &mut Map<String, Value>,
    name: &str,
    own: &Text,
    others: &[Text],
) -> Result<String, serde_json::Error> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(own.clone().into_owned()),
        Some(Value::String(sent)) if sent == *own || others.iter().any(|other| sent == *other) => Ok(sent),
        Some(other) => Err(serde::de::Error::custom(format_args!("{name} is {other}, expected {own:?}"))),
    }
}

impl KindOps for DynamicKind {
    fn decode(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        self.decode_version(json, &[])
    }

    fn decode_trusted(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        self.decode_version(json, &self.also_stored)
    }

    fn set_defaults(&self, object: &mut dyn Object) -> Result<(), WrongType> {
        self.expect(object).map(drop)
    }

    fn validate(&self, object: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        self.expect(object).map(|_| Vec::new())
    }

    fn validate_update(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        self.expect(object).and(self.expect(old)).map(|_| Vec::new())
    }

    fn revalidate(&self, object: &dyn Object, old: &dyn Object) -> Result<Vec<FieldError>, WrongType> {
        self.validate_update(object, old)
    }

    fn validate_part_update(
        &self,
        object: &dyn Object,
        old: &dyn Object,
        _subresource: &str,
    ) -> Result<Vec<FieldError>, WrongType> {
        self.validate_update(object, old)
    }

    fn columns(&self) -> &[Column] {
        &self.headings
    }

    fn cells(&self, object: &dyn Object) -> Result<Vec<Value>, WrongType> {
        let object = self.expect(object)?;
        let name = object.metadata.name.clone().unwrap_or_default().into();
        let own = self.columns.iter().map(|(_, path)| object.at(path).cloned().unwrap_or(Value::Null));
        let age = table::age(object.metadata.creation_timestamp.as_ref()).into();
        Ok([name].into_iter().chain(own).chain([age]).collect())
    }

    fn selectable(&self) -> &[SelectableField] {
        &self.selectable
    }

    fn own_schema(&self) -> Option<&Schema> {
        Some(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn widgets() -> DynamicKind {
        let size = (Column::integer("Size", "How large it is."), "spec.size".to_owned());
        DynamicKind::new("example.com/v1", "Widget", vec![size], Vec::new(), json!({"type": "object"}))
    }

    #[test]
    fn all_fields_are_kept() {
        let sent = json!({"metadata": {"name": "a"}, "spec": {"size": 3}, "more": [null]});
        let object = widgets().decode(sent.to_string().as_bytes()).unwrap();
        let expected = json!({
            "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 3}, "more": [null],
        });
        assert_eq!(object.to_value(), expected);
        assert!(object.encode().starts_with(br#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"#));
        assert_eq!(widgets().cells(&*object).unwrap()[..2], [json!("a"), json!(3)]);
    }

    #[test]
    fn another_kind_is_refused() {
        for json in ["[]", r#"{"kind":"Gadget"}"#, r#"{"apiVersion":"example.com/v2"}"#, r#"{"metadata":1}"#] {
            assert!(widgets().decode(json.as_bytes()).is_err(), "{json}");
        }
        assert!(widgets().cells(&crate::core::Pod::default()).is_err());
    }
}
