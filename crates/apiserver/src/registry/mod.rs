//! What all resources have in common: reading, and writing with defaults, admission, validation, preconditions,
//! finalizers and managed fields. What a kind does differently is in its [`strategy`].

pub mod admission;
pub mod conversion;
mod create;
pub mod decode;
mod delete;
pub mod deletion;
mod dynamic;
pub mod errors;
pub mod following;
pub mod metadata;
pub mod options;
pub mod own;
pub mod reservation;
mod rest;
pub mod review;
pub mod shape;
mod storage;
pub mod strategy;
pub mod update;
mod watch_sizes;

use std::sync::Arc;

use api_types::{Object, StatusError};
use bytes::Bytes;
use component::auth::Authorizer;
use parking_lot::Mutex;

pub use conversion::Conversion;
pub use delete::Deleted;
pub use dynamic::{DynamicStrategy, StatusOwner};
pub use options::{DryRun, FieldValidation, WriteOptions};
pub use rest::{Rest, Stored};
pub use review::{Door, Operation, Review};
pub use storage::Storage;
pub use strategy::{Part, Strategy, TypedStrategy};
pub use update::{Change, Changed, Identity};
pub use watch_sizes::WatchSizes;

use self::admission::{Admission, Handle};
use crate::{
    request::User,
    storage::{
        Item, Store, StoreError,
        cache::{Entry, Freshness, ListRequest},
    },
};

/// Finds what is served; what that is may change at any time.
pub trait Lookup: Send + Sync + 'static {
    /// A resource whose objects are stored, by its group, version and plural.
    fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Rest>>;

    /// Everything that is served of what is stored here: its versions.
    fn versions(&self, storage: &Arc<Storage>) -> Vec<Arc<Rest>>;

    /// The resource that has a kind, in a version.
    fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Rest>>;
}

/// Reads and writes what is served, over one store.
pub struct Registry {
    store: Arc<dyn Store>,
    served: Arc<dyn Lookup>,
    authorizer: Arc<dyn Authorizer>,
    admission: Admission,
}

/// Which object a request is about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Empty at cluster scope.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What a client is to be warned of, in the order in which it came up; with a refusal, too.
pub type Warnings = Arc<Mutex<Vec<String>>>;

/// Who writes and how.
pub struct Write<'a> {
    /// Who.
    pub user: &'a User,
    /// How.
    pub options: WriteOptions,
    /// What the client is to be warned of.
    warnings: Warnings,
    reviewed: Reviewed,
    journal: Option<&'a dyn Journal>,
    /// The verb of the request, if it is one.
    verb: Option<&'static str>,
}

/// Where something is noted for whoever reads of the request later.
pub trait Journal: Send + Sync {
    /// Notes it.
    fn note(&self, key: &str, value: &str);

    /// Whether it also holds what was sent, so that what became of that may be noted.
    fn holds_objects(&self) -> bool;
}

/// Whether admission has seen a request by the door that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reviewed {
    Yes,
    No,
}

/// So much is warned in all, in bytes, and so much of a warning when that would be more; upstream's numbers.
const WARNINGS_MAX: usize = 4096;
const WARNING_SHORT: usize = 256;
/// Clients take a hundred headers, of which others need some.
const WARNINGS_COUNT: usize = 64;

impl<'a> Write<'a> {
    /// A write by this user.
    #[must_use]
    pub fn new(user: &'a User, options: WriteOptions) -> Self {
        Self { user, options, warnings: Warnings::default(), reviewed: Reviewed::No, journal: None, verb: None }
    }

    /// The same write, as a request with this verb asks for it whose client is warned here.
    #[must_use]
    pub fn asked_with(self, verb: &'static str, warnings: &Warnings) -> Self {
        Self { verb: Some(verb), warnings: warnings.clone(), ..self }
    }

    /// The same write, of which something may be noted.
    #[must_use]
    pub fn noted_in(self, journal: Option<&'a dyn Journal>) -> Self {
        Self { journal, ..self }
    }

    /// The same write after its door has reviewed it: what it does inside is not reviewed once more.
    #[must_use]
    pub fn reviewed(self) -> Self {
        Self { reviewed: Reviewed::Yes, ..self }
    }

    /// Warns the client, once. Headers have to fit into what clients take: a warning for which there is no room is
    /// shortened, or left out.
    pub fn warn(&self, mut warning: String) {
        let mut warnings = self.warnings.lock();
        let taken: usize = warnings.iter().map(String::len).sum();
        let room = WARNINGS_MAX.saturating_sub(taken);
        if warning.len() > room {
            warning.truncate(warning.floor_char_boundary(WARNING_SHORT));
        }
        if warning.len() <= room && warnings.len() < WARNINGS_COUNT && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

/// Whether a write made an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    Created,
    /// It was there.
    Changed,
}

/// What a write led to.
#[derive(Clone, Debug)]
pub struct Written {
    /// Whether the object is new.
    pub made: Made,
    /// The object as clients read it.
    pub json: Bytes,
}

impl Registry {
    /// A registry of what is served. Admission plugins are built with a way back to it.
    pub fn new(
        store: Arc<dyn Store>,
        served: Arc<dyn Lookup>,
        authorizer: Arc<dyn Authorizer>,
        admission: impl FnOnce(&Handle) -> Admission,
    ) -> Arc<Self> {
        Arc::new_cyclic(|registry| {
            let admission = admission(&Handle::new(registry.clone()));
            Self { store, served, authorizer, admission }
        })
    }

    /// What users may do, for what a request turns out to do besides what it was let in for.
    #[must_use]
    pub fn authorizer(&self) -> &Arc<dyn Authorizer> {
        &self.authorizer
    }

    /// A way back to this registry that does not keep it.
    pub fn handle(self: &Arc<Self>) -> Handle {
        Handle::new(Arc::downgrade(self))
    }

    /// Runs the mutating side of admission, unless the request's door has.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, review: &mut Review<'_>) -> Result<(), StatusError> {
        if review.is_done() { Ok(()) } else { self.admission.admit(review).await }
    }

    /// Runs the validating side of admission, unless the request's door has.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, review: &Review<'_>) -> Result<(), StatusError> {
        if review.is_done() { Ok(()) } else { self.admission.validate(review).await }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A resource by its group, version and plural.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Rest>> {
        self.served.find(group, version, plural)
    }

    /// The other versions in which a resource is served, whatever they are called there.
    #[must_use]
    pub fn equivalents(&self, rest: &Rest) -> Vec<Arc<Rest>> {
        let mut all = self.served.versions(&rest.storage);
        all.retain(|other| !other.row.is(&rest.row));
        all.sort_by(|a, b| {
            (&a.row.group, &a.row.version, &a.row.plural).cmp(&(&b.row.group, &b.row.version, &b.row.plural))
        });
        all
    }

    /// The resource that has a kind, in a version.
    #[must_use]
    pub fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Rest>> {
        self.served.of_kind(group, version, kind)
    }

    /// What admission plugins keep of objects; they know nothing before it is [followed](following::follow).
    #[must_use]
    pub fn mirrored(&self) -> Vec<following::Mirrored> {
        self.admission.mirrored()
    }

    /// A resource of the core group.
    ///
    /// # Errors
    /// 500 when it is not served.
    pub fn core(&self, plural: &str) -> Result<Arc<Rest>, StatusError> {
        self.find("", "v1", plural).ok_or_else(|| StatusError::internal(format!("{plural} are not served")))
    }

    /// An object as the cache has it, or as the store has it when the cache does not: absence is always the truth. The cache
    /// is not behind what this server has written.
    ///
    /// # Errors
    /// 404, or the store's.
    pub async fn get_cached(&self, rest: &Rest, target: Target<'_>) -> Result<Arc<Entry>, StatusError> {
        let key = rest.key(target.namespace, target.name);
        let cached = match rest.cache().get(&key, rest.storage.own_writes()).await {
            Err(StoreError::NotFound { .. }) => rest.cache().get(&key, Freshness::Consistent).await,
            other => other,
        };
        cached.map_err(|error| rest.store_error(target.name, &error))
    }

    /// Whether the cache has an object, which may be gone by now.
    pub async fn is_known(&self, rest: &Rest, target: Target<'_>) -> bool {
        let key = rest.key(target.namespace, target.name);
        rest.cache().get(&key, Freshness::Any).await.is_ok()
    }

    /// The objects of a namespace, or all when it is empty, as the cache has them. It is not behind what this server has
    /// written.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_cached(&self, rest: &Rest, namespace: &str) -> Result<Vec<Arc<Entry>>, StatusError> {
        let all = ListRequest::all(rest.scope(namespace), rest.storage.own_writes());
        let listing = rest.cache().list(&all).await.map_err(|error| rest.store_error("", &error))?;
        Ok(listing.entries)
    }

    /// An object as the store has it.
    ///
    /// # Errors
    /// 404, or the store's.
    pub async fn get(&self, rest: &Rest, target: Target<'_>) -> Result<Arc<Entry>, StatusError> {
        let key = rest.key(target.namespace, target.name);
        rest.cache().get(&key, Freshness::Consistent).await.map_err(|error| rest.store_error(target.name, &error))
    }

    /// An object, decoded.
    ///
    /// # Errors
    /// 404, or the store's.
    pub async fn get_object(&self, rest: &Rest, target: Target<'_>) -> Result<Box<dyn Object>, StatusError> {
        rest.decode(self.get_cached(rest, target).await?.item()).await
    }

    async fn stored(&self, rest: &Rest, target: Target<'_>) -> Result<Item, StatusError> {
        let key = rest.key(target.namespace, target.name);
        self.store.get(&key).await.map_err(|error| rest.store_error(target.name, &error))
    }
}

/// Sees that the object belongs where the request puts it.
fn check_namespace(object: &mut dyn Object, namespace: &str) -> Result<(), StatusError> {
    let meta = object.meta_mut();
    match meta.namespace.as_deref().unwrap_or_default() {
        "" if namespace.is_empty() => meta.namespace = None,
        "" => meta.namespace = Some(namespace.to_owned()),
        own if own == namespace => {}
        // What is in no namespace has none, whatever is sent.
        _ if namespace.is_empty() => meta.namespace = None,
        _ => {
            return Err(StatusError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    Ok(())
}
