//! Tokens: in the `Authorization` header, or for browsers' WebSockets in `Sec-WebSocket-Protocol`.

use std::sync::Arc;

use anyhow::bail;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};

use super::{Authenticator, Found, Presented, authentication::Failures};

/// Finds out whose token it is.
pub trait TokenAuthenticator: Send + Sync + 'static {
    /// Looks a token up. Without audiences any will do.
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found>;
}

/// Takes the token from a request and asks each authenticator of tokens in turn.
#[derive(Clone, Default)]
pub struct Bearer(Vec<Arc<dyn TokenAuthenticator>>);

impl Bearer {
    /// Authenticators of tokens in their order.
    #[must_use]
    pub fn new(members: Vec<Arc<dyn TokenAuthenticator>>) -> Self {
        Self(members)
    }

    async fn ask(&self, presented: Presented<'_>) -> Found {
        let Some(token) = token(presented.headers)? else { return Ok(None) };
        let mut failures = Failures::default();
        for member in &self.0 {
            match member.find(&token, presented.audiences).await {
                Ok(Some(identity)) => return Ok(Some(identity)),
                Ok(None) => {}
                Err(error) => failures.0.push(error),
            }
        }
        failures.into_result()?;
        bail!("invalid bearer token")
    }
}

impl Authenticator for Bearer {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        Box::pin(self.ask(presented))
    }
}

/// The token that a request carries.
fn token(headers: &HeaderMap) -> anyhow::Result<Option<String>> {
    match in_authorization(headers) {
        Some(token) => Ok(Some(token.to_owned())),
        None => in_protocols(headers),
    }
}

fn in_authorization(headers: &HeaderMap) -> Option<&str> {
    let mut words = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split(' ');
    let scheme = words.next()?;
    words.next().filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// What stands before a token among the protocols of a WebSocket.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

fn in_protocols(headers: &HeaderMap) -> anyhow::Result<Option<String>> {
    if !headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Ok(None);
    }
    let mut encoded = protocols(headers).filter_map(|protocol| protocol.strip_prefix(PROTOCOL));
    let Some(first) = encoded.next() else { return Ok(None) };
    if encoded.next().is_some() {
        bail!("multiple base64.bearer.authorization tokens specified");
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(first) else {
        bail!("invalid base64.bearer.authorization token encoding");
    };
    let Ok(token) = String::from_utf8(bytes) else { bail!("invalid base64.bearer.authorization token") };
    Ok(Some(token).filter(|token| !token.is_empty()))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Takes tokens out of the headers: nothing behind authentication needs the secret, and a request that is passed on must
/// not carry it.
pub fn remove_tokens(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    if !protocols(headers).any(|protocol| protocol.starts_with(PROTOCOL)) {
        return;
    }
    let others: Vec<&str> = protocols(headers).filter(|protocol| !protocol.starts_with(PROTOCOL)).collect();
    let others = HeaderValue::try_from(others.join(","));
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if let Ok(others) = others
        && !others.is_empty()
    {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn tokens_are_found() {
        let found = |pairs: &[(&'static str, &'static [u8])]| match token(&headers(pairs)) {
            Ok(token) => token.unwrap_or_else(|| "nothing".to_owned()),
            Err(error) => error.to_string(),
        };
        assert_eq!(found(&[("authorization", b"Bearer abc")]), "abc");
        assert_eq!(found(&[("authorization", b"  bEARER abc more ")]), "abc");
        for nothing in [&b"Bearer"[..], b"Bearer  abc", b"Basic abc", b"", b"Bearer \xff\xfe"] {
            assert_eq!(found(&[("authorization", nothing.to_vec().leak())]), "nothing");
        }
        let socket =
            |protocols: &'static [u8]| found(&[("upgrade", b"WebSocket"), ("sec-websocket-protocol", protocols)]);
        assert_eq!(socket(b"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj"), "abc");
        assert_eq!(socket(b"base64url.bearer.authorization.k8s.io."), "nothing");
        assert_eq!(
            socket(b"base64url.bearer.authorization.k8s.io.%%"),
            "invalid base64.bearer.authorization token encoding"
        );
        assert_eq!(socket(b"base64url.bearer.authorization.k8s.io._w"), "invalid base64.bearer.authorization token");
        assert_eq!(
            socket(b"base64url.bearer.authorization.k8s.io.YQ,base64url.bearer.authorization.k8s.io.YQ"),
            "multiple base64.bearer.authorization tokens specified"
        );
    }

    #[test]
    fn tokens_are_not_passed_on() {
        let mut sent = headers(&[
            ("authorization", b"Bearer abc"),
            ("sec-websocket-protocol", b"base64url.bearer.authorization.k8s.io.YWJj, v5.channel.k8s.io"),
        ]);
        remove_tokens(&mut sent);
        assert_eq!(sent, headers(&[("sec-websocket-protocol", b"v5.channel.k8s.io")]));
    }
}
