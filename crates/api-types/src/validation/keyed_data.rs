//! What config maps and secrets share: keys that can be files' names, a limit to their size, and
//! being immutable.

use std::collections::BTreeMap;

use super::names;
use crate::{
    field::{FieldError, Path},
    k8s_openapi::ByteString,
};

/// The most that all values together may have, in bytes.
pub const MAX_SIZE: usize = 1024 * 1024;

const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// The data of a config map or a secret, with the names of its fields.
pub(crate) struct KeyedData<'a> {
    /// Values that are text.
    pub(crate) texts: (&'static str, Option<&'a BTreeMap<String, String>>),
    /// Values that are bytes.
    pub(crate) bytes: (&'static str, Option<&'a BTreeMap<String, ByteString>>),
    /// Whether nothing may change any more.
    pub(crate) immutable: bool,
    /// The field that an error about the size names; empty for the object.
    pub(crate) whole: &'static str,
}

impl KeyedData<'_> {
    pub(crate) fn validate(&self) -> Vec<FieldError> {
        let texts = self.texts.1.into_iter().flatten().map(|(key, value)| (self.texts.0, key, value.len()));
        let bytes = self.bytes.1.into_iter().flatten().map(|(key, value)| (self.bytes.0, key, value.0.len()));
        let mut errors = Vec::new();
        let mut size = 0;
        for (field, key, length) in texts.chain(bytes) {
            size += length;
            let path = Path::new(field).key(key);
            errors.extend(names::config_key(key).into_iter().map(|e| FieldError::invalid(&path, key.as_str(), e)));
        }
        if size > MAX_SIZE {
            errors.push(FieldError::too_long(&Path::new(self.whole), MAX_SIZE));
        }
        errors
    }
}

/// What an immutable object does not let change.
pub(crate) fn validate_update(new: &KeyedData<'_>, old: &KeyedData<'_>) -> Vec<FieldError> {
    if !old.immutable {
        return Vec::new();
    }
    let changes = [
        ("immutable", !new.immutable),
        (new.texts.0, new.texts.1.filter(|d| !d.is_empty()) != old.texts.1.filter(|d| !d.is_empty())),
        (new.bytes.0, new.bytes.1.filter(|d| !d.is_empty()) != old.bytes.1.filter(|d| !d.is_empty())),
    ];
    let changed = changes.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(field, _)| FieldError::forbidden(&Path::new(field), IMMUTABLE)).collect()
}
