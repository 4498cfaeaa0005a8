//! Names that are not the cluster's: asked of other servers, and remembered for a while.

mod cache;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, Query};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use cache::Cache;
pub use upstream::{Transport, UpstreamError};

/// How many questions may be under way at once, as CoreDNS' `max_concurrent` in kubeadm's configuration.
const MAX_CONCURRENT: usize = 1000;

/// Why a question was not answered by others.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// There is no server to ask.
    #[error("there is no upstream server")]
    NoUpstream,
    /// Too many questions are under way.
    #[error("{MAX_CONCURRENT} questions are under way")]
    Overloaded,
    /// No server answered; what the last one said.
    #[error("no upstream server answered")]
    Unanswered(#[source] UpstreamError),
}

/// Asks other servers.
#[derive(Debug)]
pub struct Forwarder {
    upstreams: ArcSwap<Vec<SocketAddr>>,
    /// Which one answered last: it is asked first.
    preferred: AtomicUsize,
    permits: Semaphore,
    cache: Cache,
    metrics: Arc<Metrics>,
}

impl Forwarder {
    /// A forwarder to these servers, tried in order.
    #[must_use]
    pub fn new(upstreams: Vec<SocketAddr>, metrics: Arc<Metrics>) -> Self {
        let permits = Semaphore::new(MAX_CONCURRENT);
        let upstreams = ArcSwap::from_pointee(upstreams);
        Self { upstreams, preferred: AtomicUsize::new(0), permits, cache: Cache::default(), metrics }
    }

    /// The servers.
    #[must_use]
    pub fn upstreams(&self) -> Arc<Vec<SocketAddr>> {
        self.upstreams.load_full()
    }

    /// Never asks this server again.
    pub fn remove(&self, upstream: SocketAddr) {
        self.upstreams.rcu(|all| all.iter().copied().filter(|one| *one != upstream).collect::<Vec<_>>());
    }

    /// Asks one server, remembering nothing.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn ask_one(&self, upstream: SocketAddr, query: &Query) -> Result<Message, UpstreamError> {
        upstream::ask(upstream, query, Transport::Udp).await
    }

    /// Answers a question from memory, or asks. With UDP the answer may be truncated; then the client asks again.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn resolve(&self, query: &Query, transport: Transport) -> Result<Message, ForwardError> {
        if let Some(known) = self.cache.get(query, Instant::now()) {
            self.metrics.cache_hits.inc();
            return Ok(known);
        }
        self.metrics.cache_misses.inc();
        let _permit = self.permits.try_acquire().map_err(|_| ForwardError::Overloaded)?;
        let answer = self.ask(query, transport).await?;
        self.cache.put(query, &answer, Instant::now());
        Ok(answer)
    }

    async fn ask(&self, query: &Query, transport: Transport) -> Result<Message, ForwardError> {
        let upstreams = self.upstreams();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut result = Err(ForwardError::NoUpstream);
        for i in 0..upstreams.len() {
            let index = (first + i) % upstreams.len();
            let upstream = upstreams[index];
            match upstream::ask(upstream, query, transport).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(%upstream, query = %query.name(), "ask upstream: {error}");
                    self.metrics.forward_failures.inc();
                    result = Err(ForwardError::Unanswered(error));
                }
            }
        }
        result
    }
}
