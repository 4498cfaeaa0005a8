//! One resource as it is served: its row, its strategy, its place in the store and its cache.

use std::{fmt::Display, sync::Arc};

use api_types::{GroupResource, Object, Resource, StatusError};
use bytes::{Bytes, BytesMut};

use super::{errors, strategy::Strategy};
use crate::{
    json::Malformed,
    managed_fields::{Live, ManagedFields, put_together, take_apart},
    storage::{
        Item, Key, Prefix, Revision, StoreError, Ttl,
        cache::{Cache, Entry, find_splice, write_spliced},
    },
};

/// Turns objects of one version into those of another.
pub type Conversion = fn(&dyn Object) -> Option<Box<dyn Object>>;

/// How a resource is stored when it is served in another version than it is stored in.
#[derive(Clone)]
pub struct StoredAs {
    /// The row of the version that is stored.
    pub row: Arc<Resource>,
    /// From the version that is served.
    pub to_stored: Conversion,
    /// To the version that is served.
    pub from_stored: Conversion,
    /// The stored version's name for a selectable field of the served one.
    pub field: fn(&str) -> &str,
}

/// A stored object in the served version, taken apart.
pub struct Stored {
    /// The object with its resource version, without managed fields.
    pub object: Box<dyn Object>,
    /// The same in JSON, without resource version.
    pub json: Bytes,
    /// Who manages its fields.
    pub managed: ManagedFields,
}

impl Stored {
    /// As managed fields are tracked.
    #[must_use]
    pub fn live(&self) -> Live<'_> {
        Live { json: &self.json, managed: &self.managed }
    }
}

/// A resource that is served.
pub struct Rest {
    /// Its row.
    pub row: Arc<Resource>,
    /// What its kind does differently.
    pub strategy: Arc<dyn Strategy>,
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
    pub fn group_resource(&self) -> GroupResource<'_> {
        (&*self.row).into()
    }

    /// As messages about invalid objects name the kind.
    #[must_use]
    pub fn group_kind(&self) -> GroupResource<'_> {
        GroupResource::new(&self.row.group, &self.row.kind)
    }

    /// A stored object in the served version.
    ///
    /// # Errors
    /// When the stored bytes cannot be decoded.
    pub fn read(&self, item: &Item) -> Result<Stored, StatusError> {
        let damaged = |cause: String| StatusError::internal(format!("{}: {cause}", item.key));
        let (json, managed) = take_apart(&item.value).map_err(|error| damaged(error.to_string()))?;
        let row = self.stored_as.as_ref().map_or(&self.row, |stored| &stored.row);
        let object = row.ops.decode_trusted(&json).map_err(|error| damaged(error.to_string()))?;
        let (mut object, json) = match &self.stored_as {
            None => (object, json),
            Some(stored) => {
                let object = (stored.from_stored)(&*object).ok_or_else(|| damaged("cannot be converted".into()))?;
                let json = object.encode().into();
                (object, json)
            }
        };
        object.meta_mut().resource_version = Some(item.revision.to_string());
        Ok(Stored { object, json, managed })
    }

    /// A stored object in the served version, with its resource version but without managed fields.
    ///
    /// # Errors
    /// When the stored bytes cannot be decoded.
    pub fn decode(&self, item: &Item) -> Result<Box<dyn Object>, StatusError> {
        self.read(item).map(|stored| stored.object)
    }

    /// The bytes to store of an object, which `json` is in the served version, and of its managed fields.
    ///
    /// # Errors
    /// When the object is of another kind.
    pub fn encode(&self, object: &dyn Object, json: &Bytes, managed: &ManagedFields) -> Result<Bytes, StatusError> {
        match &self.stored_as {
            None => put_together(json, managed).map_err(StatusError::internal),
            Some(stored) => {
                let converted = (stored.to_stored)(object);
                let converted = converted.ok_or_else(|| StatusError::internal("cannot be converted"))?;
                put_together(&converted.encode().into(), managed).map_err(StatusError::internal)
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
            Some(_) => self.present_item(entry.item()),
        }
    }

    /// A value that was just written, as a client reads it.
    ///
    /// # Errors
    /// As [`Rest::present`].
    pub fn present_item(&self, item: &Item) -> Result<Bytes, StatusError> {
        if self.stored_as.is_none() {
            return with_revision(&item.value, item.revision).map_err(StatusError::internal);
        }
        let stored = self.read(item)?;
        let value = put_together(&stored.json, &stored.managed).map_err(StatusError::internal)?;
        with_revision(&value, item.revision).map_err(StatusError::internal)
    }

    /// What can be shown of an object; when it cannot be, others are shown without it.
    pub fn shown<T>(&self, item: &Item, shown: Result<T, impl Display>) -> Option<T> {
        let pass_over = |error| self.cache.store().unreadable().pass_over(item.key.as_str(), item.revision, &error);
        shown.map_err(pass_over).ok()
    }

    /// A store's error about an object of this resource.
    #[must_use]
    pub fn store_error(&self, name: &str, error: &StoreError) -> StatusError {
        errors::status(self.group_resource(), name, error)
    }
}

fn with_revision(value: &[u8], revision: Revision) -> Result<Bytes, Malformed> {
    /// More than the member and its longest number have.
    const ROOM: usize = 48;
    let mut out = BytesMut::with_capacity(value.len() + ROOM);
    write_spliced(value, find_splice(value)?, revision, &mut out);
    Ok(out.freeze())
}
