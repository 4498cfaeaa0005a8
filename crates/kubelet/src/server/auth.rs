//! Who may use the API: holders of a client certificate, or everybody.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use component::serve::Peer;
use component::serve::tls::ClientAuthority;

/// `--anonymous-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Requests without a certificate are answered.
    Allowed,
    /// They are answered with 401.
    Refused,
}

/// How requests are authenticated.
#[derive(Debug)]
pub struct Authentication {
    /// `--client-ca-file`; `None` means that no certificate counts.
    pub authority: Option<ClientAuthority>,
    /// What becomes of requests without a certificate.
    pub anonymous: Anonymous,
}

/// Health checks need no credentials: load balancers and init systems have none.
const OPEN: &str = "/healthz";

pub(super) async fn authenticate(authentication: Arc<Authentication>, request: Request, next: Next) -> Response {
    if request.uri().path() == OPEN || authentication.admits(request.extensions().get::<Peer>()) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, "Unauthorized").into_response()
}

impl Authentication {
    /// A certificate that is presented must be good; a bad one is not taken for none.
    fn admits(&self, peer: Option<&Peer>) -> bool {
        let subject = match (&self.authority, peer) {
            (Some(authority), Some(peer)) => authority.verify(peer),
            _ => Ok(None),
        };
        match subject {
            Ok(Some(_)) => true,
            Ok(None) => self.anonymous == Anonymous::Allowed,
            Err(error) => {
                tracing::debug!("client certificate refused: {error}");
                false
            }
        }
    }
}
