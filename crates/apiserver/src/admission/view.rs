//! What plugins know of objects: the watch cache, decoded once a version.

use std::{collections::HashMap, sync::Arc};

use api_types::{Object, Resource, StatusError};
use parking_lot::Mutex;

use crate::{
    registry::{Registry, Rest, Target, admission::Handle},
    storage::{Key, Revision, cache::Entry},
};

/// So many decoded objects are kept at most.
const KEPT: usize = 1000;

/// The objects of a row.
pub(super) struct View<T> {
    handle: Handle,
    row: &'static Resource,
    decoded: Mutex<HashMap<Key, (Revision, Arc<T>)>>,
}

impl<T: Object + Clone> View<T> {
    pub(super) fn new(handle: &Handle, row: &'static Resource) -> Self {
        Self { handle: handle.clone(), row, decoded: Mutex::default() }
    }

    /// The registry, and what it serves of the row.
    pub(super) fn rest(&self) -> Result<(Arc<Registry>, Arc<Rest>), StatusError> {
        let registry = self.handle.registry()?;
        let rest = registry.find(&self.row.group, &self.row.version, &self.row.plural);
        let rest = rest.ok_or_else(|| StatusError::internal(format!("{} are not served", self.row.plural)))?;
        Ok((registry, rest))
    }

    /// The objects of a namespace in the order of their names; all when it is empty.
    pub(super) async fn list(&self, namespace: &str) -> Result<Vec<Arc<T>>, StatusError> {
        let (registry, rest) = self.rest()?;
        let entries = registry.list_cached(&rest, namespace).await?;
        let mut all = Vec::with_capacity(entries.len());
        for entry in &entries {
            let object = self.decode(&rest, entry).await;
            all.extend(rest.shown(entry.item(), object));
        }
        Ok(all)
    }

    /// Some objects of a namespace, which are not kept, and how many there are.
    pub(super) async fn sample(&self, namespace: &str, most: usize) -> Result<(Vec<T>, usize), StatusError> {
        let (registry, rest) = self.rest()?;
        let entries = registry.list_cached(&rest, namespace).await?;
        let mut some = Vec::new();
        for entry in entries.iter().take(most) {
            let object = rest.decode(entry.item()).await;
            some.extend(rest.shown(entry.item(), object).and_then(|object| object.downcast_ref::<T>().cloned()));
        }
        Ok((some, entries.len()))
    }

    /// One object, if it is there.
    pub(super) async fn get(&self, namespace: &str, name: &str) -> Result<Option<Arc<T>>, StatusError> {
        let (registry, rest) = self.rest()?;
        match registry.get_cached(&rest, Target { namespace, name }).await {
            Ok(entry) => self.decode(&rest, &entry).await.map(Some),
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The labels of an object, for which it need not be decoded; none when it is not there.
    pub(super) async fn labels(&self, namespace: &str, name: &str) -> Result<Vec<(String, String)>, StatusError> {
        let (registry, rest) = self.rest()?;
        match registry.get_cached(&rest, Target { namespace, name }).await {
            Ok(entry) => Ok(entry.labels().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            Err(error) if error.code() == 404 => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn decode(&self, rest: &Rest, entry: &Entry) -> Result<Arc<T>, StatusError> {
        if let Some((revision, object)) = self.decoded.lock().get(entry.key())
            && *revision == entry.revision()
        {
            return Ok(object.clone());
        }
        let object = rest.decode(entry.item()).await?;
        let typed = object.downcast_ref::<T>().cloned().map(Arc::new);
        let typed = typed.ok_or_else(|| StatusError::internal(format!("{} are of another kind", self.row.plural)))?;
        let mut decoded = self.decoded.lock();
        if decoded.len() >= KEPT {
            decoded.clear();
        }
        decoded.insert(entry.key().clone(), (entry.revision(), typed.clone()));
        Ok(typed)
    }
}
