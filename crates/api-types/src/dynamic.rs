//! Objects of kinds that come at run time: metadata as every object has it, all else as a JSON tree.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{codec::FromJson, meta::ObjectMeta, object::Object};

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
    /// An object of its members.
    ///
    /// # Errors
    /// When it does not say what it is, or its metadata are none.
    pub fn from_members(mut fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(serde::de::Error::custom(format_args!("{name} is not a string"))),
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let metadata = match fields.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(tree) => ObjectMeta::from_tree(&tree)?,
        };
        Ok(Self { api_version, kind, metadata, fields })
    }

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
