//! Who asks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use component::serve::Peer;
use component::serve::tls::ClientAuthority;
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::{Reviews, User};

/// Everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";
/// Nobody in particular.
const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// What a request shows of its sender.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The other end of its connection.
    pub peer: Option<&'a Peer>,
    /// `Authorization: Bearer …`.
    pub token: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Those of a request.
    pub(super) fn of(request: &'a Request) -> Self {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        Self { peer: request.extensions().get::<Peer>(), token: header.and_then(bearer) }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let mut words = header.trim().split(' ');
    let scheme = words.next()?;
    words.next().filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// One way of knowing users.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The user, or `None` when the request shows nothing that this authenticator looks at.
    ///
    /// # Errors
    /// Why it does not believe what it was shown.
    async fn authenticate(&self, credentials: &Credentials<'_>) -> anyhow::Result<Option<User>>;
}

/// Holders of a client certificate: `--client-ca-file`.
#[derive(Debug)]
pub struct Certificates(pub ClientAuthority);

#[async_trait]
impl Authenticator for Certificates {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> anyhow::Result<Option<User>> {
        let Some(peer) = credentials.peer else { return Ok(None) };
        let user = self.0.verify(peer)?.map(|subject| User {
            name: subject.common_name,
            groups: subject.organizations,
            ..User::default()
        });
        Ok(user.map(known))
    }
}

/// Holders of a token that the API server knows: `--authentication-token-webhook`.
pub struct Tokens {
    reviews: Arc<Reviews>,
    /// Answers by the token's digest: a token that is kept can be stolen.
    cache: Cache<[u8; 32], Option<User>>,
    /// How long an answer holds, good or bad.
    ttl: Duration,
}

impl Tokens {
    /// Asks the API server.
    #[must_use]
    pub fn new(reviews: Arc<Reviews>, ttl: Duration) -> Self {
        Self { reviews, cache: Cache::default(), ttl }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> anyhow::Result<Option<User>> {
        let Some(token) = credentials.token else { return Ok(None) };
        let digest = Sha256::digest(token).into();
        let user = match self.cache.get(&digest) {
            Some(answer) => answer,
            None => {
                let answer = self.reviews.token(token).await?;
                self.cache.put(digest, answer.clone(), self.ttl);
                answer
            }
        };
        user.map(|user| Some(known(user))).ok_or_else(|| anyhow::anyhow!("invalid bearer token"))
    }
}

fn known(mut user: User) -> User {
    if !user.groups.iter().any(|group| group == AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The user of a request without credentials.
pub(super) fn anonymous() -> User {
    User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens_are_found() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("Bearer abc def", Some("abc")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abc", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(bearer(header), expected, "{header:?}");
        }
    }
}
