//! PATCH: what is sent to what is stored, as pure functions over JSON trees. Server-side apply is a
//! PATCH too, but lives in [`crate::managed_fields`].

mod error;
mod json;
mod strategic;
mod strategic_list;

use api_types::schema::Type;
pub use error::PatchError;
use json::{Operation, word};
use serde_json::{Map, Value};

use crate::registry::decode;

/// How the body of a PATCH is to be read, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, which knows merge keys.
    StrategicMerge,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    /// Media types as errors list them, each with its type.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("application/json-patch+json", Self::Json),
        ("application/merge-patch+json", Self::Merge),
        ("application/strategic-merge-patch+json", Self::StrategicMerge),
        ("application/apply-patch+yaml", Self::Apply),
    ];

    /// The type that a `Content-Type` header means; its parameters are ignored.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(media)).map(|(_, kind)| *kind)
    }
}

/// A decoded patch. Applying it has no effect but its result, so that a write that lost a race can
/// apply it again.
#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(Vec<Operation>),
    /// RFC 7386.
    Merge(Map<String, Value>),
    /// Kubernetes' own.
    StrategicMerge(Map<String, Value>),
}

impl Patch {
    /// Decodes a JSON patch.
    ///
    /// # Errors
    /// When the body is no JSON patch, or one with too many operations.
    pub fn json(body: &[u8]) -> Result<Self, PatchError> {
        json::decode(decode::any(body).map_err(PatchError::Decode)?).map(Self::Json)
    }

    /// Decodes a merge patch.
    ///
    /// # Errors
    /// When the body is no JSON object.
    pub fn merge(body: &[u8]) -> Result<Self, PatchError> {
        object(body).map_err(PatchError::Decode).map(Self::Merge)
    }

    /// Decodes a strategic merge patch.
    ///
    /// # Errors
    /// When the body is no JSON object.
    pub fn strategic_merge(body: &[u8]) -> Result<Self, PatchError> {
        object(body).map_err(PatchError::NotAnObject).map(Self::StrategicMerge)
    }

    /// What `object` becomes. Its `schema` gives the merge keys of a strategic merge patch.
    ///
    /// # Errors
    /// When the patch does not fit the object, or a directive in it is malformed.
    pub fn apply(&self, mut object: Value, schema: &Type) -> Result<Value, PatchError> {
        match self {
            Self::Json(operations) => json::apply(&mut object, operations)?,
            Self::Merge(patch) => merge_object(&mut object, patch),
            Self::StrategicMerge(patch) => strategic::apply(&mut object, patch, schema)?,
        }
        Ok(object)
    }

    /// Whether applying the patch could depend on `metadata.managedFields`, or change them.
    #[must_use]
    pub fn may_see_managed_fields(&self) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Merge(patch) | Self::StrategicMerge(patch) => {
                let metadata = patch.get("metadata").and_then(Value::as_object);
                metadata.is_some_and(|metadata| metadata.keys().any(|key| key.contains("managedFields")))
            }
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match decode::any(body)? {
        Value::Object(patch) => Ok(patch),
        Value::Null => Ok(Map::new()),
        other => {
            let what = word(&other);
            Err(format!("json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"))
        }
    }
}

fn merge_object(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, change) in patch {
        match change {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(change) => merge_object(target.entry(key.clone()).or_insert(Value::Null), change),
            change => {
                target.insert(key.clone(), change.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
