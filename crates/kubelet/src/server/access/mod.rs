//! Who may use the kubelet's API: who asks ([`authenticate`]), for what ([`attributes`]), and whether that is allowed
//! ([`authorize`]).

pub mod attributes;
pub mod authenticate;
pub mod authorize;
mod cache;
pub mod config;
mod reviews;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::attributes::Attributes;
use self::authenticate::{Authenticator, Credentials};
use self::authorize::{Authorizer, Decision};
pub use self::reviews::Reviews;

/// Who somebody is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct User {
    /// The name.
    #[serde(rename = "username")]
    pub name: String,
    /// What tells two users of one name apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups, in the order in which they were told.
    #[serde(deserialize_with = "reviews::null_is_empty")]
    pub groups: Vec<String>,
    /// Whatever else the authenticator knows.
    #[serde(deserialize_with = "reviews::null_is_empty", skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// What stands before the API.
pub struct Access {
    /// This node's name: that is what requests are about.
    pub node: String,
    /// Asked in order; the first that knows the user decides.
    pub authenticators: Vec<Box<dyn Authenticator>>,
    /// What becomes of requests without any credentials.
    pub anonymous: Anonymous,
    /// Asked about every request.
    pub authorizer: Box<dyn Authorizer>,
}

/// `--anonymous-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// They are `system:anonymous`, of the group `system:unauthenticated`.
    Allowed,
    /// They are answered with 401.
    Refused,
}

/// Lets a request through, or answers it in upstream's words.
pub(super) async fn guard(access: Arc<Access>, request: Request, next: Next) -> Response {
    let credentials = Credentials::of(&request);
    let Some(user) = access.user(&credentials).await else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    let attributes = Attributes::of(request.method(), request.uri().path());
    match access.decide(&user, &attributes).await {
        Ok(()) => next.run(request).await,
        Err((code, text)) => (code, text).into_response(),
    }
}

impl Access {
    /// Credentials that nobody accepts are not taken for none.
    async fn user(&self, credentials: &Credentials<'_>) -> Option<User> {
        let mut refused = false;
        for authenticator in &self.authenticators {
            match authenticator.authenticate(credentials).await {
                Ok(Some(user)) => return Some(user),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("credentials refused: {error}");
                    refused = true;
                }
            }
        }
        (!refused && self.anonymous == Anonymous::Allowed).then(authenticate::anonymous)
    }

    /// One of the request's subresources is enough, the finer ones first.
    async fn decide(&self, user: &User, attributes: &Attributes) -> Result<(), (StatusCode, String)> {
        let Attributes { verb, subresources } = attributes;
        for subresource in *subresources {
            match self.authorizer.authorize(user, &self.node, verb, subresource).await {
                Ok(Decision::Allowed) => return Ok(()),
                Ok(Decision::Denied) => {}
                Err(error) => {
                    let what = format!("user={}, verb={verb}, resource=nodes, subresource={subresource}", user.name);
                    tracing::error!("authorization error ({what}): {error}");
                    return Err((StatusCode::INTERNAL_SERVER_ERROR, format!("Authorization error ({what})")));
                }
            }
        }
        let tried = subresources.join(" ");
        let what = format!("user={}, verb={verb}, resource=nodes, subresource(s)=[{tried}]", user.name);
        Err((StatusCode::FORBIDDEN, format!("Forbidden ({what})\n")))
    }
}

#[cfg(test)]
mod tests;
