//! A request as the filters and handlers see it: what it is about, where it goes, who makes it, what answer it wants.

use std::sync::Arc;

use api_types::resource::Traffic;
use http::{HeaderMap, HeaderName, Method, header};
use hyper::body::Incoming;

use super::{Catalogue, Destination};
use crate::{
    audit::Record,
    registry::Warnings,
    request::{Accept, Peer, Query, RequestInfo, User, Verb},
};

/// A request on its way through the filters to a handler.
pub struct Request {
    /// The HTTP request; its body has not been read.
    pub http: http::Request<Incoming>,
    /// The decoded query.
    pub query: Query,
    /// What it is about.
    pub info: RequestInfo,
    /// Where it goes.
    pub destination: Destination,
    /// Who makes it; anonymous until authentication has run.
    pub user: User,
    /// What is recorded of it, if anything is; set by the audit.
    pub audit: Option<Arc<Record>>,
    /// What answer it wants; set by negotiation.
    pub accept: Accept,
    /// What its client is to be warned of.
    pub warnings: Warnings,
    /// Names the request in logs and in the `Audit-Id` header of the answer.
    pub id: String,
}

impl Request {
    /// Reads what a request is about, and finds where it goes.
    #[must_use]
    pub fn new(http: http::Request<Incoming>, catalogue: &Catalogue) -> Self {
        let query = Query::parse(http.uri().query().unwrap_or_default());
        let info = RequestInfo::parse(http.method(), http.uri().path(), &query);
        let destination = catalogue.resolve(&info);
        let sent = http.headers().get("audit-id").and_then(|id| id.to_str().ok());
        let id = sent.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let user = User::anonymous();
        let (accept, warnings) = (Accept::default(), Warnings::default());
        Self { http, query, info, destination, user, audit: None, accept, warnings, id }
    }

    /// Whether the request has no deadline of the server's, and is not counted as in flight.
    #[must_use]
    pub fn long_running(&self) -> bool {
        self.info.verb == Verb::Watch || self.streams() || self.is_profile()
    }

    /// Whether the answer is an object or a list, whose representation is settled with the client.
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        self.info.resource.is_some() && !self.streams() && !matches!(self.destination, Destination::Forward(_))
    }

    /// Whether it is about where time is spent, which takes as long as the client wants.
    fn is_profile(&self) -> bool {
        self.info.resource.is_none() && self.info.path.starts_with("/debug/pprof/")
    }

    fn streams(&self) -> bool {
        match &self.destination {
            // Nothing is known of another server's subresources but what the client wants with them.
            Destination::Forward(_) => self.headers().contains_key(header::UPGRADE),
            destination => destination.subresource().is_some_and(|sub| sub.traffic == Traffic::Stream),
        }
    }

    /// The other end of the connection; the accept loop puts it there.
    #[must_use]
    pub fn peer(&self) -> Option<&Peer> {
        self.http.extensions().get()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.http.method()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.http.headers()
    }

    /// A header as text; `None` when it is absent or not ASCII.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The program that makes the request: the `User-Agent` up to its first slash, which is how upstream names field
    /// managers that do not name themselves.
    #[must_use]
    pub fn default_manager(&self) -> &str {
        let agent = self.header(&header::USER_AGENT).unwrap_or("unknown");
        agent.split('/').next().unwrap_or(agent)
    }
}
