//! Who may use the kubelet's API: who asks, for what ([`attributes`]), and whether that is allowed. Authenticators and
//! authorizers are those that all daemons share.

pub mod attributes;
pub mod config;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use component::auth::{self, Authenticator, Authorizer, Decision, Presented, ResourceAttributes, Target, User};

use self::attributes::Attributes;

/// What stands before the API.
pub struct Access {
    /// This node's name: that is what requests are about.
    pub node: String,
    /// Finds out who asks.
    pub authenticator: Arc<dyn Authenticator>,
    /// Asked about every request.
    pub authorizer: Arc<dyn Authorizer>,
}

/// Lets a request through, or answers it in upstream's words.
pub(super) async fn guard(access: Arc<Access>, mut request: Request, next: Next) -> Response {
    let presented = Presented { headers: request.headers(), peer: request.extensions().get(), audiences: &[] };
    let Some(user) = access.user(presented).await else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    let attributes = Attributes::of(request.method(), request.uri().path());
    match access.decide(&user, &attributes).await {
        Ok(()) => {
            auth::bearer::remove_tokens(request.headers_mut());
            next.run(request).await
        }
        Err((code, text)) => (code, text).into_response(),
    }
}

impl Access {
    async fn user(&self, presented: Presented<'_>) -> Option<User> {
        let found = self.authenticator.authenticate(presented).await;
        found.inspect_err(|error| tracing::debug!("credentials refused: {error:#}")).ok()?.map(|identity| identity.user)
    }

    /// One of the request's subresources is enough, the finer ones first.
    async fn decide(&self, user: &User, attributes: &Attributes) -> Result<(), (StatusCode, String)> {
        let Attributes { verb, subresources } = attributes;
        for subresource in *subresources {
            let verdict = self.authorizer.authorize(&self.question(user, verb, subresource)).await;
            if verdict.decision == Decision::Allow {
                return Ok(());
            }
            if !verdict.error.is_empty() {
                let what = format!("user={}, verb={verb}, resource=nodes, subresource={subresource}", user.name);
                tracing::error!("authorization error ({what}): {}", verdict.error);
                return Err((StatusCode::INTERNAL_SERVER_ERROR, format!("Authorization error ({what})")));
            }
        }
        let tried = subresources.join(" ");
        let what = format!("user={}, verb={verb}, resource=nodes, subresource(s)=[{tried}]", user.name);
        Err((StatusCode::FORBIDDEN, format!("Forbidden ({what})\n")))
    }

    fn question<'a>(&'a self, user: &'a User, verb: &'a str, subresource: &'a str) -> auth::Attributes<'a> {
        let node = ResourceAttributes {
            version: "v1".into(),
            resource: "nodes".into(),
            subresource: subresource.into(),
            name: self.node.as_str().into(),
            ..ResourceAttributes::default()
        };
        auth::Attributes { user, verb: verb.into(), target: Target::Resource(node) }
    }
}

#[cfg(test)]
mod tests;
