//! One resource as it is served: its row, its strategy, its place in the store and its cache.

use std::sync::Arc;

use api_types::{GroupResource, Object, Resource, StatusError};
use bytes::Bytes;

use super::{errors, strategy::Strategy};
use crate::storage::{
    Item, Key, Prefix, StoreError, Ttl,
    cache::{Cache, Entry},
};

/// Turns objects of one version into those of another.
pub type Conversion = fn(&dyn Object) -> Option<Box<dyn Object>>;

/// How a resource is stored when it is served in another version than it is stored in.
#[derive(Clone, Copy)]
pub struct StoredAs {
    /// The row of the version that is stored.
    pub row: &'static Resource,
    /// From the version that is served.
    pub to_stored: Conversion,
    /// To the version that is served.
    pub from_stored: Conversion,
    /// The stored version's name for a selectable field of the served one.
    pub field: fn(&str) -> &str,
}

/// A resource that is served.
pub struct Rest {
    /// Its row.
    pub row: &'static Resource,
    /// What its kind does differently.
    pub strategy: &'static dyn Strategy,
    /// The version it is stored in, when that is another.
    pub stored_as: Option<StoredAs>,
    /// How long objects live.
    pub ttl: Option<Ttl>,
    /// Its objects.
    pub cache: Arc<Cache>,
}

impl Rest {
    /// The key of an object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        let prefix = self.cache.prefix().as_str();
        if self.row.namespaced() {
            Key::new(format!("{prefix}{namespace}/{name}"))
        } else {
            Key::new(format!("{prefix}{name}"))
        }
    }

    /// The folder of a namespace's objects; of all when the namespace is empty.
    #[must_use]
    pub fn scope(&self, namespace: &str) -> Prefix {
        let prefix = self.cache.prefix();
        if namespace.is_empty() || !self.row.namespaced() {
            return prefix.clone();
        }
        Prefix::new(&format!("{}{namespace}/", prefix.as_str()))
    }

    /// Namespace (empty at cluster scope) and name of the object at a key.
    #[must_use]
    pub fn names<'k>(&self, key: &'k Key) -> (&'k str, &'k str) {
        let rest = key.as_str().strip_prefix(self.cache.prefix().as_str()).unwrap_or_default();
        rest.split_once('/').unwrap_or(("", rest))
    }

    /// As error messages name the resource.
    #[must_use]
    pub fn group_resource(&self) -> GroupResource<'static> {
        self.row.into()
    }

    /// As messages about invalid objects name the kind.
    #[must_use]
    pub fn group_kind(&self) -> GroupResource<'static> {
        GroupResource::new(self.row.group, self.row.kind)
    }

    /// A stored object in the served version, with its resource version.
    ///
    /// # Errors
    /// When the stored bytes cannot be decoded.
    pub fn decode(&self, item: &Item) -> Result<Box<dyn Object>, StatusError> {
        let row = self.stored_as.as_ref().map_or(self.row, |stored| stored.row);
        let damaged = |cause: String| StatusError::internal(format!("{}: {cause}", item.key));
        let object = row.ops.decode(&item.value, &mut |_| {}).map_err(|error| damaged(error.to_string()))?;
        let mut object = match &self.stored_as {
            None => object,
            Some(stored) => (stored.from_stored)(&*object).ok_or_else(|| damaged("cannot be converted".into()))?,
        };
        object.meta_mut().resource_version = Some(item.revision.to_string());
        Ok(object)
    }

    /// The bytes to store.
    ///
    /// # Errors
    /// When the object is of another kind.
    pub fn encode(&self, object: &mut dyn Object) -> Result<Bytes, StatusError> {
        object.meta_mut().resource_version = None;
        match &self.stored_as {
            None => Ok(object.encode().into()),
            Some(stored) => {
                let converted = (stored.to_stored)(object);
                converted
                    .map(|object| object.encode().into())
                    .ok_or_else(|| StatusError::internal("cannot be converted"))
            }
        }
    }

    /// A stored object as a client reads it.
    ///
    /// # Errors
    /// When it has to be converted and the stored bytes cannot be decoded.
    pub fn present(&self, entry: &Entry) -> Result<Bytes, StatusError> {
        match &self.stored_as {
            None => Ok(entry.json()),
            Some(_) => self.decode(entry.item()).map(|object| object.encode().into()),
        }
    }

    /// A value that was just written, as a client reads it.
    ///
    /// # Errors
    /// As [`Rest::present`].
    pub fn present_item(&self, item: Item) -> Result<Bytes, StatusError> {
        let entry = self.cache.entry(item).map_err(|error| self.store_error("", &error))?;
        self.present(&entry)
    }

    /// A store's error about an object of this resource.
    #[must_use]
    pub fn store_error(&self, name: &str, error: &StoreError) -> StatusError {
        errors::status(self.group_resource(), name, error)
    }
}
