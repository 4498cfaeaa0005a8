//! Names that are not the cluster's: asked of other servers, and remembered for a while.

mod cache;
mod flights;
mod routes;
mod upstream;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use component::files::FromFiles;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::Name;
use parking_lot::RwLock;

use crate::metrics::Metrics;
use cache::Cache;
use flights::Flights;
use routes::MAX_CONCURRENT;
pub use routes::{Route, Routes, Sources, domain, server};
pub use upstream::{Transport, UpstreamError};

/// Why a question was not answered by others.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ForwardError {
    /// There is no server to ask.
    #[error("there is no upstream server")]
    NoUpstream,
    /// Too many clients wait for the same servers.
    #[error("{MAX_CONCURRENT} clients wait for the same servers")]
    Overloaded,
    /// No server answered; what the last one said.
    #[error("no upstream server answered")]
    Unanswered(#[source] Arc<UpstreamError>),
}

/// Asks other servers. Clones are the same.
#[derive(Clone)]
pub struct Forwarder(Arc<Inner>);

struct Inner {
    routes: FromFiles<Routes>,
    /// Servers that ask us what we ask them, and of which domain.
    looping: RwLock<BTreeSet<(Name, SocketAddr)>>,
    /// Servers that did not answer: asked last, until they do.
    silent: RwLock<BTreeSet<SocketAddr>>,
    cache: Cache,
    flights: Flights,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("routes", &self.routes()).finish_non_exhaustive()
    }
}

impl Forwarder {
    /// A forwarder along these routes.
    #[must_use]
    pub fn new(routes: FromFiles<Routes>, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner {
            routes,
            looping: RwLock::default(),
            silent: RwLock::default(),
            cache: Cache::default(),
            flights: Flights::default(),
            metrics,
        }))
    }

    /// The routes as they are now.
    #[must_use]
    pub fn routes(&self) -> Arc<Routes> {
        self.0.routes.get()
    }

    /// Never asks this server again of names below this domain.
    pub fn remove(&self, domain: Name, server: SocketAddr) {
        self.0.looping.write().insert((domain, server));
    }

    /// Forgets what was removed and is in no route any more.
    pub fn forget_others(&self, servers: &BTreeSet<(Name, SocketAddr)>) {
        self.0.looping.write().retain(|removed| servers.contains(removed));
    }

    /// Whether the server is not asked of names below this domain because it would ask us.
    #[must_use]
    pub fn is_removed(&self, domain: &Name, server: SocketAddr) -> bool {
        self.0.looping.read().contains(&(domain.clone(), server))
    }

    /// Asks one server, remembering nothing.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn ask_one(&self, server: SocketAddr, query: &Query) -> Result<Message, UpstreamError> {
        upstream::ask(server, query, Transport::Udp).await
    }

    /// Answers a question from memory, or asks. With UDP the answer may be truncated; then the client asks again. Who asks
    /// what is being asked already waits for that answer: so nobody makes us ask the same a thousand times at once, with
    /// a thousand ports and numbers to be guessed.
    ///
    /// # Errors
    /// When nobody answers in time. That, too, is remembered for a moment.
    pub async fn resolve(&self, query: &Query, transport: Transport) -> Result<Message, ForwardError> {
        let metrics = &self.0.metrics;
        if let Some(known) = self.0.cache.get(query, Instant::now()) {
            metrics.cache_hits.inc();
            return Ok(known);
        }
        metrics.cache_misses.inc();
        let routes = self.routes();
        let route = routes.of(query.name());
        // Counted are those who wait, not what is asked: a thousand may wait for one question.
        let _permit = route.permits.try_acquire().map_err(|_| {
            metrics.forward_rejects.inc();
            ForwardError::Overloaded
        })?;
        let servers = self.0.in_order(route);
        let (inner, question) = (Arc::clone(&self.0), query.clone());
        let ask = || async move { inner.fetch(&question, &servers, transport).await };
        self.0.flights.join(query, transport, ask).await
    }
}

impl Inner {
    async fn fetch(
        &self,
        query: &Query,
        servers: &[SocketAddr],
        transport: Transport,
    ) -> Result<Message, ForwardError> {
        let answer = self.ask(query, servers, transport).await;
        match &answer {
            Ok(answer) => self.cache.put(query, answer, Instant::now()),
            Err(ForwardError::Unanswered(_)) => self.cache.put_failure(query, Instant::now()),
            Err(_) => {}
        }
        self.metrics.cache_entries.set(i64::try_from(self.cache.len()).unwrap_or(i64::MAX));
        answer
    }

    /// A server's failure is an answer only when no other has a better one.
    async fn ask(&self, query: &Query, servers: &[SocketAddr], transport: Transport) -> Result<Message, ForwardError> {
        let mut result = Err(ForwardError::NoUpstream);
        for &server in servers {
            match upstream::ask(server, query, transport).await {
                Ok(answer) if is_failure(&answer) => result = result.or(Ok(answer)),
                Ok(answer) => {
                    self.heard(server);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(%server, query = %query.name(), "ask upstream: {error}");
                    self.metrics.forward_failures.inc();
                    self.silent.write().insert(server);
                    result = result.or(Err(ForwardError::Unanswered(Arc::new(error))));
                }
            }
        }
        result
    }

    /// Those that answered last are asked first.
    fn in_order(&self, route: &Route) -> Vec<SocketAddr> {
        let (looping, silent) = (self.looping.read(), self.silent.read());
        let is_looping = |server: SocketAddr| looping.contains(&(route.domain.clone(), server));
        let mut servers: Vec<SocketAddr> =
            route.servers.iter().copied().filter(|server| looping.is_empty() || !is_looping(*server)).collect();
        servers.sort_by_key(|server| silent.contains(server));
        servers
    }

    fn heard(&self, server: SocketAddr) {
        if self.silent.read().contains(&server) {
            self.silent.write().remove(&server);
        }
    }
}

/// Whether another server may know better.
pub(crate) fn is_failure(answer: &Message) -> bool {
    matches!(answer.metadata.response_code, ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp)
}
