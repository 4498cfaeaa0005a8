//! One version of a resource as it is served: its row, its strategy, and the way to what is stored.

use std::{fmt::Display, sync::Arc};

use api_types::{GroupResource, Object, Resource, StatusError};
use bytes::{Bytes, BytesMut};

use super::{
    conversion::{Conversion, Objects, complete},
    decode::decode_stored,
    errors,
    storage::Storage,
    strategy::Strategy,
    watch_sizes::WatchSizes,
};
use crate::{
    json::Malformed,
    managed_fields::{Live, ManagedFields, put_together, take_apart},
    storage::{
        Item, Key, Prefix, Revision, StoreError,
        cache::{Cache, Entry, find_splice, write_spliced},
    },
};

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

/// So many objects are decoded and converted at once at most.
const BATCH: usize = 500;

/// A version of a resource that is served.
pub struct Rest {
    /// Its row.
    pub row: Arc<Resource>,
    /// What its kind does differently.
    pub strategy: Arc<dyn Strategy>,
    /// Its objects.
    pub storage: Arc<Storage>,
    /// How they become what is served; none where the version that is served is the one that is stored.
    pub conversion: Option<Arc<dyn Conversion>>,
    /// What those who watch it were sent.
    pub watched: WatchSizes,
}

impl Rest {
    /// Its objects in memory.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.storage.cache
    }

    /// The key of an object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        self.storage.key(namespace, name)
    }

    /// The folder of a namespace's objects; of all when the namespace is empty.
    #[must_use]
    pub fn scope(&self, namespace: &str) -> Prefix {
        self.storage.scope(namespace)
    }

    /// Namespace (empty at cluster scope) and name of the object at a key.
    #[must_use]
    pub fn names<'k>(&self, key: &'k Key) -> (&'k str, &'k str) {
        self.storage.names(key)
    }

    /// Where in a cached object's header a selectable field of this version is.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<usize> {
        let field = self.row.ops.selectable().iter().find(|field| field.path == path)?;
        self.storage.field(field)
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
    /// When the stored bytes cannot be decoded or converted.
    pub async fn read(&self, item: &Item) -> Result<Stored, StatusError> {
        let stored = self.take(item)?;
        match &self.conversion {
            None => Ok(stored),
            Some(conversion) => one(self.convert(&**conversion, vec![(stored, item.revision)]).await?),
        }
    }

    /// Stored objects in the served version, in their order. Those that cannot be decoded are passed over.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub async fn read_each(&self, items: &[&Item]) -> Result<Vec<Option<Stored>>, StatusError> {
        let mut all = Vec::with_capacity(items.len());
        for batch in items.chunks(BATCH) {
            let taken = batch.iter().map(|item| self.shown(item, self.take(item)));
            match &self.conversion {
                None => all.extend(taken),
                Some(conversion) => {
                    let taken: Vec<_> = taken.zip(batch).map(|(stored, item)| Some((stored?, item.revision))).collect();
                    let sound: Vec<bool> = taken.iter().map(Option::is_some).collect();
                    let converted = self.convert(&**conversion, taken.into_iter().flatten().collect()).await?;
                    let mut converted = converted.into_iter();
                    all.extend(sound.into_iter().map(|sound| if sound { converted.next() } else { None }));
                }
            }
        }
        Ok(all)
    }

    /// A stored object in the version in which it is stored.
    fn take(&self, item: &Item) -> Result<Stored, StatusError> {
        let damaged = |cause: String| StatusError::internal(format!("{}: {cause}", item.key));
        let (json, managed) = take_apart(&item.value).map_err(|error| damaged(error.to_string()))?;
        let mut object = decode_stored(&self.storage.row, &json).map_err(damaged)?;
        if self.conversion.is_none() {
            object.meta_mut().resource_version = Some(item.revision.to_string());
        }
        Ok(Stored { object, json, managed })
    }

    async fn convert(
        &self,
        conversion: &dyn Conversion,
        taken: Vec<(Stored, Revision)>,
    ) -> Result<Vec<Stored>, StatusError> {
        let (objects, kept): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|(stored, revision)| (stored.object, (stored.managed, revision))).unzip();
        let converted = complete(conversion.to_served(objects).await?, kept.len())?;
        let stored = |(mut object, (managed, revision)): (Box<dyn Object>, (ManagedFields, Revision))| {
            let json = object.encode().into();
            object.meta_mut().resource_version = Some(revision.to_string());
            Stored { object, json, managed }
        };
        Ok(converted.into_iter().zip(kept).map(stored).collect())
    }

    /// A stored object in the served version, with its resource version but without managed fields.
    ///
    /// # Errors
    /// When the stored bytes cannot be decoded or converted.
    pub async fn decode(&self, item: &Item) -> Result<Box<dyn Object>, StatusError> {
        self.read(item).await.map(|stored| stored.object)
    }

    /// The bytes to store of an object, which `json` is in the served version, and of its managed fields.
    ///
    /// # Errors
    /// When the object cannot be converted.
    pub async fn encode(
        &self,
        object: &dyn Object,
        json: &Bytes,
        managed: &ManagedFields,
    ) -> Result<Bytes, StatusError> {
        let Some(conversion) = &self.conversion else {
            return put_together(json, managed).map_err(StatusError::internal);
        };
        let converted = one(complete(conversion.to_stored(vec![object.clone_object()]).await?, 1)?)?;
        put_together(&converted.encode().into(), managed).map_err(StatusError::internal)
    }

    /// Objects of this version in another version of the same resource.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub async fn convert_to(&self, other: &Self, objects: Objects) -> Result<Objects, StatusError> {
        let count = objects.len();
        let stored = match &self.conversion {
            None => objects,
            Some(conversion) => complete(conversion.to_stored(objects).await?, count)?,
        };
        match &other.conversion {
            None => Ok(stored),
            Some(conversion) => complete(conversion.to_served(stored).await?, count),
        }
    }

    /// A stored object as a client reads it.
    ///
    /// # Errors
    /// When it has to be converted and cannot be.
    pub async fn present(&self, entry: &Entry) -> Result<Bytes, StatusError> {
        match &self.conversion {
            None => Ok(entry.json()),
            Some(_) => self.present_item(entry.item()).await,
        }
    }

    /// A value that was just written, as a client reads it.
    ///
    /// # Errors
    /// As [`Rest::present`].
    pub async fn present_item(&self, item: &Item) -> Result<Bytes, StatusError> {
        if self.conversion.is_none() {
            return with_revision(&item.value, item.revision).map_err(StatusError::internal);
        }
        written(&self.read(item).await?, item.revision)
    }

    /// Stored objects as a client reads them, in their order. Those that are damaged are passed over.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub async fn present_each(&self, items: &[&Item]) -> Result<Vec<Option<Bytes>>, StatusError> {
        if self.conversion.is_none() {
            let whole = |item: &&Item| self.shown(item, with_revision(&item.value, item.revision));
            return Ok(items.iter().map(whole).collect());
        }
        let stored = self.read_each(items).await?;
        let whole = |(stored, item): (Option<Stored>, &&Item)| self.shown(item, written(&stored?, item.revision));
        Ok(stored.into_iter().zip(items).map(whole).collect())
    }

    /// What can be shown of an object; when it cannot be, others are shown without it.
    pub fn shown<T>(&self, item: &Item, shown: Result<T, impl Display>) -> Option<T> {
        let unreadable = self.cache().store().unreadable();
        shown.map_err(|error| unreadable.pass_over(item.key.as_str(), item.revision, &error)).ok()
    }

    /// An object that was read, as a client reads it.
    ///
    /// # Errors
    /// When the stored bytes are damaged.
    pub fn show(&self, stored: &Stored, item: &Item) -> Result<Bytes, StatusError> {
        match &self.conversion {
            None => with_revision(&item.value, item.revision).map_err(StatusError::internal),
            Some(_) => written(stored, item.revision),
        }
    }

    /// So many objects are best read at once: what need not be converted is best decoded one by one.
    #[must_use]
    pub fn batch(&self) -> usize {
        if self.conversion.is_none() { 1 } else { BATCH }
    }

    /// A store's error about an object of this resource.
    #[must_use]
    pub fn store_error(&self, name: &str, error: &StoreError) -> StatusError {
        errors::status(self.group_resource(), name, error)
    }
}

/// The only one of what was asked for as a batch of one.
fn one<T>(batch: Vec<T>) -> Result<T, StatusError> {
    batch.into_iter().next().ok_or_else(|| StatusError::internal("conversion returned nothing"))
}

/// An object that was read, put together again.
fn written(stored: &Stored, revision: Revision) -> Result<Bytes, StatusError> {
    let value = put_together(&stored.json, &stored.managed).map_err(StatusError::internal)?;
    with_revision(&value, revision).map_err(StatusError::internal)
}

fn with_revision(value: &[u8], revision: Revision) -> Result<Bytes, Malformed> {
    /// More than the member and its longest number have.
    const ROOM: usize = 48;
    let mut out = BytesMut::with_capacity(value.len() + ROOM);
    write_spliced(value, find_splice(value)?, revision, &mut out);
    Ok(out.freeze())
}
