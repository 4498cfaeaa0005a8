//! What is served: one immutable snapshot of routes and of the documents that tell of them. A change makes a new
//! snapshot and swaps it in; a request finds its route once, and keeps it to its end.

mod request;
mod route;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use api_types::{Resource, resource::Text};
use arc_swap::{ArcSwap, Guard};
use component::{CancellationToken, KUBERNETES_VERSION};
use parking_lot::Mutex;

pub use request::Request;
pub use route::{Answer, Answered, Asked, Backend, Call, Destination, Endpoint, Forward, Forwarded, Route, SubRoute};

use crate::{
    discovery::Discovery,
    openapi::OpenApi,
    registry::{Lookup, Rest, Storage},
    request::{RequestInfo, ResourcePath},
};

/// One snapshot of what is served.
pub struct Catalogue {
    /// By plural; several groups and versions may use the same.
    routes: HashMap<Text, Vec<Arc<Route>>>,
    /// Group versions that other servers answer for.
    forwards: Vec<Arc<Forward>>,
    /// The `host:port` that discovery tells.
    server_address: Arc<str>,
    discovery: OnceLock<Discovery>,
    openapi: OnceLock<OpenApi>,
}

impl Catalogue {
    fn new(draft: Draft, server_address: Arc<str>) -> Self {
        let mut routes: HashMap<Text, Vec<Arc<Route>>> = HashMap::new();
        for route in draft.routes {
            routes.entry(route.row.plural.clone()).or_default().push(route);
        }
        let forwards = draft.forwards;
        Self { routes, forwards, server_address, discovery: OnceLock::new(), openapi: OnceLock::new() }
    }

    /// The route of a resource.
    #[must_use]
    pub fn route(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Route>> {
        self.routes.get(plural)?.iter().find(|route| route.row.group == group && route.row.version == version)
    }

    /// Where a request goes.
    #[must_use]
    pub fn resolve(&self, info: &RequestInfo) -> Destination {
        match &info.resource {
            Some(place) => self.resolve_place(place),
            None => self.forward_of_path(&info.path).map_or(Destination::Elsewhere, Destination::Forward),
        }
    }

    fn resolve_place(&self, place: &ResourcePath) -> Destination {
        if let Some(route) = self.route(&place.group, &place.version, &place.resource) {
            let subresource = (!place.subresource.is_empty()).then(|| route.position(&place.subresource)).flatten();
            return Destination::Route { route: route.clone(), subresource };
        }
        let forward = self.forwards.iter().find(|other| other.group == place.group && other.version == place.version);
        forward.cloned().map_or(Destination::Elsewhere, Destination::Forward)
    }

    /// `/apis/<group>/<version>` of another server: it tells of its resources itself.
    fn forward_of_path(&self, path: &str) -> Option<Arc<Forward>> {
        let (group, version) = path.strip_prefix("/apis/")?.trim_end_matches('/').split_once('/')?;
        self.forwards.iter().find(|forward| forward.group == group && forward.version == version).cloned()
    }

    /// Every route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values().flatten()
    }

    /// The documents of discovery, rendered when they are first asked for.
    pub fn discovery(&self) -> &Discovery {
        self.discovery.get_or_init(|| {
            let own = self.routes().map(|route| &*route.row);
            let others = self.forwards.iter().flat_map(|forward| forward.rows.iter().map(|row| &**row));
            Discovery::new(own.chain(others), &self.server_address)
        })
    }

    /// The schemas of everything that this server answers, built when they are first asked for.
    pub fn openapi(&self) -> &OpenApi {
        self.openapi.get_or_init(|| {
            let mut rows: Vec<Arc<Resource>> = self.routes().map(|route| route.row.clone()).collect();
            rows.sort_by(|a, b| (&a.group, &a.version, &a.plural).cmp(&(&b.group, &b.version, &b.plural)));
            OpenApi::new(rows, KUBERNETES_VERSION)
        })
    }
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Two resources have a kind of the same name.
    #[error("{kind} of {api_version} is served as {other} already")]
    KindTaken {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
        /// The plural of the resource that has the kind.
        other: String,
    },
    /// A version shares what is stored of another, of which nothing is.
    #[error("nothing is stored of {0}")]
    NotStored(String),
    /// Another server answers for the group version.
    #[error("{0} is answered by another server")]
    Forwarded(String),
}

/// The next snapshot while it is made.
#[derive(Clone)]
pub struct Draft {
    routes: Vec<Arc<Route>>,
    forwards: Vec<Arc<Forward>>,
    /// What is served again when no other server answers for its group version any more.
    yielded: Vec<Arc<Route>>,
    shutdown: CancellationToken,
}

impl Draft {
    /// Serves a resource; the one before under the same group, version and plural ends.
    ///
    /// # Errors
    /// When another resource has the same kind, or another server answers for its group version.
    pub fn put(&mut self, mut route: Route) -> Result<(), ChangeError> {
        let row = &route.row;
        if self.forwards.iter().any(|forward| forward.group == row.group && forward.version == row.version) {
            if !route.yields() {
                return Err(ChangeError::Forwarded(row.api_version()));
            }
            self.yielded.push(Arc::new(route));
            return Ok(());
        }
        let rival = |other: &&Arc<Route>| {
            let other = &other.row;
            !other.is(row) && other.kind == row.kind && other.group == row.group && other.version == row.version
        };
        if let Some(other) = self.routes.iter().find(rival) {
            let (kind, other) = (row.kind.clone().into_owned(), other.row.plural.clone().into_owned());
            return Err(ChangeError::KindTaken { kind, api_version: row.api_version(), other });
        }
        route.end_with(&self.shutdown);
        self.routes.retain(|other| !other.row.is(&route.row));
        self.routes.push(Arc::new(route));
        Ok(())
    }

    /// What is stored of a resource that is served in the version of this row.
    #[must_use]
    pub fn storage(&self, row: &Resource) -> Option<Arc<Storage>> {
        let route = self.routes.iter().find(|route| route.row.is(row))?;
        route.rest().map(|rest| rest.storage.clone())
    }

    /// Stops serving a resource. Tells whether it was served.
    pub fn remove(&mut self, group: &str, version: &str, plural: &str) -> bool {
        let before = self.routes.len();
        self.routes.retain(|other| {
            let row = &other.row;
            !(row.plural == plural && row.group == group && row.version == version)
        });
        self.routes.len() < before
    }

    /// Has another server answer for a group version, in which this one must not serve anything but what yields.
    ///
    /// # Errors
    /// When this server answers for it.
    pub fn forward(&mut self, forward: Forward) -> Result<(), ChangeError> {
        let own = |route: &Arc<Route>| route.row.group == forward.group && route.row.version == forward.version;
        if let Some(other) = self.routes.iter().find(|route| own(route) && !route.yields()) {
            let (kind, plural) = (other.row.kind.clone().into_owned(), other.row.plural.clone().into_owned());
            return Err(ChangeError::KindTaken { kind, api_version: other.row.api_version(), other: plural });
        }
        self.forwards.retain(|other| !(other.group == forward.group && other.version == forward.version));
        self.yielded.extend(self.routes.extract_if(.., |route| own(route)));
        self.forwards.push(Arc::new(forward));
        Ok(())
    }

    /// No other server answers for a group version any more. What has yielded is served again.
    pub fn take_back(&mut self, group: &str, version: &str) {
        self.forwards.retain(|other| !(other.group == group && other.version == version));
        let own = |route: &mut Arc<Route>| route.row.group == group && route.row.version == version;
        let back: Vec<_> = self.yielded.extract_if(.., own).map(|route| route.again(&self.shutdown)).collect();
        self.routes.extend(back.into_iter().map(Arc::new));
    }
}

/// The snapshot that is served now, and the way to the next one.
pub struct Served {
    current: ArcSwap<Catalogue>,
    /// What the snapshot was made of; changes come one after the other.
    draft: Mutex<Draft>,
}

impl Served {
    /// Serves nothing yet. `server_address` is the `host:port` that discovery tells; what is served ends with
    /// `shutdown`.
    #[must_use]
    pub fn new(server_address: &str, shutdown: CancellationToken) -> Self {
        let draft = Draft { routes: Vec::new(), forwards: Vec::new(), yielded: Vec::new(), shutdown };
        let current = ArcSwap::from_pointee(Catalogue::new(draft.clone(), server_address.into()));
        Self { current, draft: Mutex::new(draft) }
    }

    /// The snapshot that is served now.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Catalogue>> {
        self.current.load()
    }

    /// Changes what is served, all of it at once or, when the change fails, nothing. Requests that have begun end as
    /// they began; watches of what is no longer served the same way end, so that their clients look again.
    ///
    /// # Errors
    /// That of the change.
    pub fn change<T, E>(&self, change: impl FnOnce(&mut Draft) -> Result<T, E>) -> Result<T, E> {
        let mut current = self.draft.lock();
        let mut draft = current.clone();
        let result = change(&mut draft)?;
        let server_address = self.current.load().server_address.clone();
        self.current.store(Arc::new(Catalogue::new(draft.clone(), server_address)));
        let before = std::mem::replace(&mut *current, draft);
        let gone = |route: &&Arc<Route>| !current.routes.iter().any(|kept| Arc::ptr_eq(kept, route));
        before.routes.iter().filter(gone).for_each(|route| route.end());
        Ok(result)
    }
}

impl Lookup for Served {
    fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Rest>> {
        match &self.load().route(group, version, plural)?.backend {
            Backend::Stored(rest) => Some(rest.clone()),
            Backend::Answered(_) => None,
        }
    }

    fn versions(&self, storage: &Arc<Storage>) -> Vec<Arc<Rest>> {
        let current = self.load();
        let served = current.routes().filter_map(|route| route.rest());
        served.filter(|rest| Arc::ptr_eq(&rest.storage, storage)).cloned().collect()
    }

    fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Rest>> {
        let current = self.load();
        let mut rests = current.routes().filter_map(|route| route.rest());
        rests.find(|rest| rest.row.kind == kind && rest.row.group == group && rest.row.version == version).cloned()
    }
}

#[cfg(test)]
mod tests;
