//! The objects of a cache as of one revision.
//!
//! An object whose newest value cannot be read stays as it was last readable, while the cache has that: damage looks like
//! no change, rather than like a deletion on which others would act. Only a get of the object tells.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::entry::Entry;
use crate::storage::{Key, StoreError};

/// What a key holds.
#[derive(Debug)]
pub(super) enum Value {
    /// An object.
    Object(Arc<Entry>),
    /// Nothing.
    Gone,
    /// Something else.
    Unreadable(StoreError),
}

/// The content of a cache.
#[derive(Debug, Default)]
pub(super) struct Objects {
    entries: BTreeMap<Key, Arc<Entry>>,
    /// Why the values of these keys cannot be read.
    unreadable: HashMap<Key, StoreError>,
}

impl Objects {
    /// All that can be shown.
    pub fn entries(&self) -> &BTreeMap<Key, Arc<Entry>> {
        &self.entries
    }

    /// One object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unreadable`], even when an older version can be shown.
    pub fn get(&self, key: &Key) -> Result<&Arc<Entry>, StoreError> {
        if let Some(error) = self.unreadable.get(key) {
            return Err(error.clone());
        }
        self.entries.get(key).ok_or_else(|| StoreError::NotFound { key: key.clone() })
    }

    /// Takes over what a key holds now. Answers what can be shown before and after.
    pub fn set(&mut self, key: Key, value: Value) -> (Option<Arc<Entry>>, Option<Arc<Entry>>) {
        if !self.unreadable.is_empty() {
            self.unreadable.remove(&key);
        }
        match value {
            Value::Object(entry) => (self.entries.insert(key, entry.clone()), Some(entry)),
            Value::Gone => (self.entries.remove(&key), None),
            Value::Unreadable(error) => {
                let shown = self.entries.get(&key).cloned();
                self.unreadable.insert(key, error);
                (shown.clone(), shown)
            }
        }
    }

    /// Keeps showing what an earlier state could show of objects that cannot be read any more.
    pub fn keep_readable(&mut self, earlier: &Self) {
        for key in self.unreadable.keys() {
            if let Some(entry) = earlier.entries.get(key) {
                self.entries.insert(key.clone(), entry.clone());
            }
        }
    }
}
