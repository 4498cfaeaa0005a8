//! Whether a user may.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::User;
use super::cache::Cache;
use super::reviews::{AccessSpec, Reviews};

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed,
    /// No, or nobody says so.
    Denied,
}

/// Says who may what.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Whether the user may do this to a subresource of the node.
    ///
    /// # Errors
    /// When that cannot be found out.
    async fn authorize(&self, user: &User, node: &str, verb: &str, subresource: &str) -> anyhow::Result<Decision>;
}

/// `--authorization-mode=AlwaysAllow`: whoever is let in may do anything.
#[derive(Debug)]
pub struct AlwaysAllow;

#[async_trait]
impl Authorizer for AlwaysAllow {
    async fn authorize(&self, _: &User, _: &str, _: &str, _: &str) -> anyhow::Result<Decision> {
        Ok(Decision::Allowed)
    }
}

/// How long answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttls {
    /// A yes.
    pub allowed: Duration,
    /// A no.
    pub denied: Duration,
}

/// `--authorization-mode=Webhook`: the API server decides.
pub struct Webhook {
    reviews: Arc<Reviews>,
    cache: Cache<AccessSpec, Decision>,
    ttls: Ttls,
}

impl Webhook {
    /// Asks the API server.
    #[must_use]
    pub fn new(reviews: Arc<Reviews>, ttls: Ttls) -> Self {
        Self { reviews, cache: Cache::default(), ttls }
    }
}

#[async_trait]
impl Authorizer for Webhook {
    async fn authorize(&self, user: &User, node: &str, verb: &str, subresource: &str) -> anyhow::Result<Decision> {
        let spec = AccessSpec::new(user, node, verb, subresource);
        if let Some(decision) = self.cache.get(&spec) {
            return Ok(decision);
        }
        let decision = self.reviews.access(&spec).await?;
        let ttl = if decision == Decision::Allowed { self.ttls.allowed } else { self.ttls.denied };
        self.cache.put(spec, decision, ttl);
        Ok(decision)
    }
}
