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
    discovery::{Contents, Discovery, Priorities, Priority},
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
    /// What this server has in these itself: nobody is led there, but it is stored still.
    set_aside: Vec<Arc<Route>>,
    priorities: Priorities,
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
        let Draft { forwards, set_aside, priorities, .. } = draft;
        let (discovery, openapi) = (OnceLock::new(), OnceLock::new());
        Self { routes, forwards, set_aside, priorities, server_address, discovery, openapi }
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
        self.forward_of(&place.group, &place.version).map_or(Destination::Elsewhere, Destination::Forward)
    }

    fn forward_of(&self, group: &str, version: &str) -> Option<Arc<Forward>> {
        self.forwards.iter().find(|forward| forward.is_of(group, version)).cloned()
    }

    /// `/apis/<group>/<version>` of another server: it tells of its resources itself.
    fn forward_of_path(&self, path: &str) -> Option<Arc<Forward>> {
        let (group, version) = path.strip_prefix("/apis/")?.trim_end_matches('/').split_once('/')?;
        self.forward_of(group, version)
    }

    /// Every route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values().flatten()
    }

    /// The documents of discovery, rendered when they are first asked for.
    pub fn discovery(&self) -> &Discovery {
        self.discovery.get_or_init(|| {
            let foreign = self.forwards.iter().map(|forward| (&*forward.group, &*forward.version, &*forward.foreign));
            let contents = Contents {
                rows: self.routes().map(|route| &*route.row).collect(),
                foreign: foreign.collect(),
                priorities: &self.priorities,
            };
            Discovery::new(&contents, &self.server_address)
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
}

/// The next snapshot while it is made.
#[derive(Clone)]
pub struct Draft {
    routes: Vec<Arc<Route>>,
    forwards: Vec<Arc<Forward>>,
    /// What is served again when no other server answers for its group version any more.
    set_aside: Vec<Arc<Route>>,
    priorities: Priorities,
    shutdown: CancellationToken,
}

impl Draft {
    /// Serves a resource; the one before under the same group, version and plural ends. Where another server answers for
    /// the group version, it is served when that is over.
    ///
    /// # Errors
    /// When another resource has the same kind.
    pub fn put(&mut self, mut route: Route) -> Result<(), ChangeError> {
        let row = &route.row;
        let rival = |other: &&Arc<Route>| {
            let other = &other.row;
            !other.is(row) && other.kind == row.kind && other.group == row.group && other.version == row.version
        };
        if let Some(other) = self.routes.iter().chain(&self.set_aside).find(rival) {
            let (kind, other) = (row.kind.clone().into_owned(), other.row.plural.clone().into_owned());
            return Err(ChangeError::KindTaken { kind, api_version: row.api_version(), other });
        }
        let forwarded = self.forwards.iter().any(|forward| forward.is_of(&row.group, &row.version));
        let place = if forwarded { &mut self.set_aside } else { &mut self.routes };
        route.end_with(&self.shutdown);
        place.retain(|other| !other.row.is(&route.row));
        place.push(Arc::new(route));
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
        let other = |route: &Arc<Route>| !(route.is_of(group, version) && route.row.plural == plural);
        let before = self.routes.len();
        self.routes.retain(other);
        self.set_aside.retain(other);
        self.routes.len() < before
    }

    /// Has another server answer for a group version. What this one has there is set aside.
    pub fn forward(&mut self, forward: Forward) {
        let Forward { group, version, .. } = &forward;
        self.forwards.retain(|other| !other.is_of(group, version));
        self.set_aside.extend(self.routes.extract_if(.., |route| route.is_of(group, version)));
        self.forwards.push(Arc::new(forward));
    }

    /// Takes over what is known now of the other server that answers for a group version. Nothing happens when it is
    /// another one by now.
    pub fn refresh(&mut self, forward: Forward) {
        let same = |other: &&mut Arc<Forward>| {
            other.is_of(&forward.group, &forward.version) && std::ptr::addr_eq(&*other.server, &*forward.server)
        };
        if let Some(place) = self.forwards.iter_mut().find(same) {
            *place = Arc::new(forward);
        }
    }

    /// No other server answers for a group version any more. What was set aside is served again.
    pub fn take_back(&mut self, group: &str, version: &str) {
        self.forwards.retain(|other| !other.is_of(group, version));
        let back = self.set_aside.extract_if(.., |route| route.is_of(group, version));
        self.routes.extend(back.map(|route| Arc::new(route.again(&self.shutdown))));
    }

    /// How much a version of a group is preferred; `None` for what is usual.
    pub fn prefer(&mut self, group: &str, version: &str, priority: Option<Priority>) {
        self.priorities.set(group, version, priority);
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
        let (routes, forwards, set_aside) = (Vec::new(), Vec::new(), Vec::new());
        let draft = Draft { routes, forwards, set_aside, priorities: Priorities::default(), shutdown };
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

/// What is stored is found whoever answers for its group version: much here depends on it.
impl Lookup for Served {
    fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Rest>> {
        let current = self.load();
        let aside = || current.set_aside.iter().find(|route| route.is_of(group, version) && route.row.plural == plural);
        current.route(group, version, plural).or_else(aside)?.rest().cloned()
    }

    fn versions(&self, storage: &Arc<Storage>) -> Vec<Arc<Rest>> {
        let current = self.load();
        let served = current.routes().chain(&current.set_aside).filter_map(|route| route.rest());
        served.filter(|rest| Arc::ptr_eq(&rest.storage, storage)).cloned().collect()
    }

    fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Rest>> {
        let current = self.load();
        let mut rests = current.routes().chain(&current.set_aside).filter_map(|route| route.rest());
        rests.find(|rest| rest.row.kind == kind && rest.row.group == group && rest.row.version == version).cloned()
    }
}

#[cfg(test)]
mod tests;
