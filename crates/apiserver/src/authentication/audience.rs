//! For whom tokens are made.

use std::sync::Arc;

use anyhow::ensure;
use component::auth::{Authenticator, Found, Identity, Presented, TokenAuthenticator};
use futures::future::BoxFuture;

/// What both lists have, in the order of the first.
pub fn in_both(one: &[String], other: &[String]) -> Vec<String> {
    one.iter().filter(|audience| other.contains(audience)).cloned().collect()
}

/// As Go writes a list of strings.
pub fn quoted(audiences: &[String]) -> String {
    let quoted: Vec<String> = audiences.iter().map(|audience| format!("{audience:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// Asks for tokens that were made for this server, where nobody says for whom else.
pub struct ForThisServer {
    audiences: Vec<String>,
    inner: Arc<dyn Authenticator>,
}

impl ForThisServer {
    /// A server that goes by these names.
    #[must_use]
    pub fn new(audiences: Vec<String>, inner: Arc<dyn Authenticator>) -> Self {
        Self { audiences, inner }
    }
}

impl Authenticator for ForThisServer {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        if !presented.audiences.is_empty() {
            return self.inner.authenticate(presented);
        }
        Box::pin(async move {
            let found = self.inner.authenticate(Presented { audiences: &self.audiences, ..presented }).await?;
            if let Some(identity) = &found {
                let (said, own) = (&identity.audiences, &self.audiences);
                let meant = said.is_empty() || own.is_empty() || !in_both(said, own).is_empty();
                ensure!(meant, "unable to match the audience: {said:?} , accepted: {own:?}");
            }
            Ok(found)
        })
    }
}

/// Tokens that do not say for whom they were made: they were made for this server.
pub struct OfThisServer<T> {
    audiences: Vec<String>,
    inner: T,
}

impl<T> OfThisServer<T> {
    /// Tokens of a server that goes by these names.
    #[must_use]
    pub fn new(audiences: Vec<String>, inner: T) -> Self {
        Self { audiences, inner }
    }
}

impl<T: TokenAuthenticator> TokenAuthenticator for OfThisServer<T> {
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(async move {
            let meant = in_both(&self.audiences, audiences);
            if meant.is_empty() && !audiences.is_empty() {
                return Ok(None);
            }
            let found = self.inner.find(token, &[]).await?;
            Ok(found.map(|identity| Identity { audiences: meant, ..identity }))
        })
    }
}
