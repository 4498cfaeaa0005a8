//! Where a path leads: to something stored, to something answered without storage, or to another server.

use std::sync::Arc;

use api_types::{Resource, StatusError, Subresource, resource::Text};
use component::CancellationToken;
use futures::future::BoxFuture;
use http::Method;

use super::Request;
use crate::{
    discovery::Foreign,
    registry::{Registry, Rest, Target},
    request::ResourcePath,
    serving::Response,
};

/// What comes of a request.
pub type Answer = Result<Response, StatusError>;

/// A request about something stored.
pub struct Call<'a> {
    pub(crate) registry: &'a Registry,
    /// Which resource, in which version.
    pub rest: &'a Arc<Rest>,
    /// Which object or collection of it, or which subresource.
    pub place: ResourcePath,
    /// Cancelled when the resource is no longer served like this, or the server ends.
    pub ended: &'a CancellationToken,
}

impl Call<'_> {
    /// Where it is.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.registry
    }

    /// Which object.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        let namespace = if self.rest.row.namespaced() { self.place.namespace.as_str() } else { "" };
        Target { namespace, name: &self.place.name }
    }
}

/// Answers requests to a subresource of something stored.
pub trait Endpoint: Send + Sync + 'static {
    /// Answers a request, whose verb the row knows.
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer>;

    /// Whether it takes a method although the row knows no verb for it.
    fn takes(&self, _method: &Method) -> bool {
        false
    }
}

/// A request about something that is not stored.
pub struct Asked<'a> {
    /// Where stored objects are.
    pub registry: &'a Registry,
    /// What is asked for.
    pub row: &'a Arc<Resource>,
    /// Which of them.
    pub place: ResourcePath,
}

/// Answers requests about something that is not stored, such as reviews.
pub trait Answered: Send + Sync + 'static {
    /// Answers a request to the resource itself, whose verb the row knows.
    fn answer<'a>(&'a self, asked: Asked<'a>, request: Request) -> BoxFuture<'a, Answer>;
}

/// Passes requests on to another server.
pub trait Forwarded: Send + Sync + 'static {
    /// Answers a request to anything of the group version, discovery among it.
    fn forward(&self, request: Request) -> BoxFuture<'_, Answer>;
}

/// A group version that another server answers for.
#[derive(Clone)]
pub struct Forward {
    /// The group.
    pub group: Text,
    /// The version.
    pub version: Text,
    /// The way there.
    pub server: Arc<dyn Forwarded>,
    /// What is known of its resources, for discovery.
    pub foreign: Arc<Foreign>,
}

impl Forward {
    pub(super) fn is_of(&self, group: &str, version: &str) -> bool {
        self.group == group && self.version == version
    }
}

/// What is behind a resource's path.
#[derive(Clone)]
pub enum Backend {
    /// Objects in the store.
    Stored(Arc<Rest>),
    /// Nothing stored.
    Answered(Arc<dyn Answered>),
}

/// A subresource and what answers for it.
#[derive(Clone)]
pub struct SubRoute {
    /// Its row.
    pub row: Subresource,
    /// What answers.
    pub endpoint: Arc<dyn Endpoint>,
}

/// A resource, in one version, and what answers for it.
pub struct Route {
    /// Its row, with the subresources.
    pub row: Arc<Resource>,
    /// What answers for objects and collections.
    pub backend: Backend,
    /// What answers for the subresources, in the row's order.
    endpoints: Vec<Arc<dyn Endpoint>>,
    ended: CancellationToken,
}

impl Route {
    /// A resource whose objects are stored. `rest` makes of the row, which has got the subresources, what is served.
    #[must_use]
    pub fn stored(row: Resource, subresources: Vec<SubRoute>, rest: impl FnOnce(Arc<Resource>) -> Rest) -> Self {
        let (rows, endpoints) = subresources.into_iter().map(|sub| (sub.row, sub.endpoint)).unzip();
        let row = Arc::new(Resource { subresources: rows, ..row });
        let backend = Backend::Stored(Arc::new(rest(row.clone())));
        Self { row, backend, endpoints, ended: CancellationToken::new() }
    }

    /// A resource that is answered without storage.
    #[must_use]
    pub fn answered(row: Resource, answered: Arc<dyn Answered>) -> Self {
        let backend = Backend::Answered(answered);
        Self { row: Arc::new(row), backend, endpoints: Vec::new(), ended: CancellationToken::new() }
    }

    pub(super) fn is_of(&self, group: &str, version: &str) -> bool {
        self.row.group == group && self.row.version == version
    }

    /// The same resource, to be served anew.
    pub(super) fn again(&self, shutdown: &CancellationToken) -> Self {
        let Self { row, backend, endpoints, .. } = self;
        let (row, backend, endpoints) = (row.clone(), backend.clone(), endpoints.clone());
        Self { row, backend, endpoints, ended: shutdown.child_token() }
    }

    /// What is stored, if anything is.
    #[must_use]
    pub fn rest(&self) -> Option<&Arc<Rest>> {
        match &self.backend {
            Backend::Stored(rest) => Some(rest),
            Backend::Answered(_) => None,
        }
    }

    /// Where among the subresources one is.
    pub(super) fn position(&self, subresource: &str) -> Option<usize> {
        self.row.subresources.iter().position(|row| row.name == subresource)
    }

    /// A subresource and what answers for it.
    #[must_use]
    pub fn subresource(&self, position: usize) -> Option<(&Subresource, &Arc<dyn Endpoint>)> {
        self.row.subresources.get(position).zip(self.endpoints.get(position))
    }

    /// Cancelled when the resource is no longer served like this, or the server ends.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    pub(super) fn end_with(&mut self, shutdown: &CancellationToken) {
        self.ended = shutdown.child_token();
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
    }
}

/// Where a request goes, found once.
#[derive(Clone)]
pub enum Destination {
    /// To a resource, or to one of its subresources, which there is or not.
    Route {
        /// The resource.
        route: Arc<Route>,
        /// Where among the subresources the one is that is meant.
        subresource: Option<usize>,
    },
    /// To another server.
    Forward(Arc<Forward>),
    /// To a path that is no resource, or nowhere.
    Elsewhere,
}

impl Destination {
    /// The row of the resource.
    #[must_use]
    pub fn row(&self) -> Option<&Arc<Resource>> {
        match self {
            Self::Route { route, .. } => Some(&route.row),
            Self::Forward(_) | Self::Elsewhere => None,
        }
    }

    /// The row of the subresource.
    #[must_use]
    pub fn subresource(&self) -> Option<&Subresource> {
        match self {
            Self::Route { route, subresource: Some(position) } => route.row.subresources.get(*position),
            _ => None,
        }
    }
}
