//! What clients may do.

use std::sync::Arc;

use api_types::status::{GroupResource, StatusError};
use futures::future::BoxFuture;

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    request::{RequestInfo, User},
    serving::{Response, respond},
};

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request may go on.
    Allow,
    /// It may not, for this reason (may be empty).
    Deny(String),
}

/// Decides what clients may do.
pub trait Authorizer: Send + Sync + 'static {
    /// Decides about one request.
    fn decide(&self, user: &User, info: &RequestInfo) -> Decision;
}

/// Allows everything: `--authorization-mode=AlwaysAllow`.
pub struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn decide(&self, _user: &User, _info: &RequestInfo) -> Decision {
        Decision::Allow
    }
}

pub(super) struct Authorize(Arc<dyn Authorizer>);

impl Authorize {
    pub(super) fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self(authorizer)
    }
}

impl Filter for Authorize {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        match self.0.decide(&request.user, &request.info) {
            Decision::Allow => next.run(request),
            Decision::Deny(reason) => {
                let refusal = refusal(&request.user, &request.info, &reason);
                Box::pin(async move { respond::error(&refusal) })
            }
        }
    }
}

/// Upstream's words: who may not do what to which resource where.
fn refusal(user: &User, info: &RequestInfo, reason: &str) -> StatusError {
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let verb = info.verb.as_str();
    let Some(place) = &info.resource else {
        let what = format!("User {:?} cannot {verb} path {:?}{reason}", user.name, info.path);
        return StatusError::forbidden(GroupResource::default(), "", &what);
    };
    let resource = match place.subresource.as_str() {
        "" => place.resource.clone(),
        subresource => format!("{}/{subresource}", place.resource),
    };
    let scope = match place.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let what = format!(
        "User {:?} cannot {verb} resource {resource:?} in API group {:?} {scope}{reason}",
        user.name, place.group
    );
    StatusError::forbidden(GroupResource::new(&place.group, &place.resource), &place.name, &what)
}
