//! What is stored of a resource, whatever the versions are in which it is served: its folder, its cache, how long its
//! objects live, and the version in which they are encoded.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use api_types::{
    Resource,
    object::SelectableField,
    resource::{Ops, Text},
};

use crate::storage::{
    Key, Prefix, Revision, Store, Ttl,
    cache::{self as extract, Cache, Extractor, Freshness, Limits, Settle},
};

/// Where a selectable field stands in a stored object, and the path of what stands in for it.
type Place = (Text, Option<Text>);

/// A folder of objects of one resource. Versions of the resource share it.
pub struct Storage {
    /// The row of the version that is stored.
    pub row: Arc<Resource>,
    /// How long objects live.
    pub ttl: Option<Ttl>,
    /// The objects.
    pub cache: Cache,
    /// Where selectable fields stand in stored objects, as the cache counts them.
    fields: Vec<Place>,
    /// The revision of the last write by this server.
    written: AtomicU64,
}

impl Storage {
    /// The folder of a resource that is stored in the version of this row. `served` are its other versions, whose
    /// selectable fields count, too.
    pub fn new(
        store: Arc<dyn Store>,
        folder: Prefix,
        row: Arc<Resource>,
        served: &[&Resource],
        ttl: Option<Ttl>,
    ) -> Self {
        let mut fields: Vec<Place> = Vec::new();
        let mut absent: Vec<Text> = Vec::new();
        for field in [&*row].into_iter().chain(served.iter().copied()).flat_map(|row| row.ops.selectable()) {
            if !fields.contains(&place(field)) {
                fields.push(place(field));
                absent.push(field.absent.clone());
            }
        }
        let position = |path: &Text| fields.iter().position(|(stored, _)| stored == path);
        let extracted = fields.iter().zip(&absent).map(|((path, otherwise), absent)| {
            extract::SelectableField::at(path).or(absent).otherwise(otherwise.as_ref().and_then(position))
        });
        let settle = row.ops.own_schema().map(|_| Arc::new(Settling(row.ops.clone())) as Arc<dyn Settle>);
        let extractor = Extractor::new(extracted.collect()).settling(settle);
        let cache = Cache::new(store, folder, extractor, Limits::default());
        Self { row, ttl, cache, fields, written: AtomicU64::new(0) }
    }

    /// Notes that this server has written.
    pub fn wrote(&self, revision: Revision) {
        self.written.fetch_max(revision.0, Ordering::Relaxed);
    }

    /// The revision of the last write by this server.
    #[must_use]
    pub fn last_write(&self) -> Revision {
        Revision(self.written.load(Ordering::Relaxed))
    }

    /// As fresh as the last write by this server: who has been told that something is written finds it.
    #[must_use]
    pub fn own_writes(&self) -> Freshness {
        Freshness::AtLeast(self.last_write())
    }

    /// Where in a cached object's header a selectable field is.
    #[must_use]
    pub fn field(&self, field: &SelectableField) -> Option<usize> {
        let place = place(field);
        self.fields.iter().position(|known| *known == place)
    }

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
}

/// As the kind that is stored has it.
#[derive(Debug)]
struct Settling(Ops);

impl Settle for Settling {
    fn settle(&self, value: &[u8]) -> Option<Vec<u8>> {
        self.0.settle(value)
    }
}

fn place(field: &SelectableField) -> Place {
    (field.stored.clone(), field.otherwise.clone())
}
