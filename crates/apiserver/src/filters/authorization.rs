//! What clients may do.

use std::sync::Arc;

use component::auth::{Authorizer, Decision, Verdict};
use futures::future::BoxFuture;
use http::StatusCode;

use super::{Filter, Next};
use crate::{
    authorization::attributes,
    catalogue::Request,
    serving::{Response, respond},
};

pub(super) struct Authorize(Arc<dyn Authorizer>);

impl Authorize {
    pub(super) fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self(authorizer)
    }

    /// The refusal, if there is to be one.
    async fn refusal(&self, request: &Request) -> Option<Response> {
        let attributes = attributes(&request.user, request.method(), &request.info, &request.query);
        let verdict = self.0.authorize(&attributes).await;
        note(request, &verdict);
        match verdict {
            Verdict { decision: Decision::Allow, .. } => None,
            Verdict { error, .. } if !error.is_empty() => {
                tracing::error!(path = request.info.path, "authorization: {error}");
                let text = format!("Internal Server Error: {:?}: {error}\n", request.info.path);
                Some(respond::text(StatusCode::INTERNAL_SERVER_ERROR, text))
            }
            Verdict { reason, .. } => Some(respond::error(&attributes.forbidden(&reason))),
        }
    }
}

/// What the audit log says of a verdict.
fn note(request: &Request, verdict: &Verdict) {
    let Some(record) = &request.audit else { return };
    let allowed = verdict.decision == Decision::Allow;
    if !allowed && !verdict.error.is_empty() {
        return record.annotate("authorization.k8s.io/reason", "internal error");
    }
    record.annotate("authorization.k8s.io/decision", if allowed { "allow" } else { "forbid" });
    record.annotate("authorization.k8s.io/reason", &verdict.reason);
}

impl Filter for Authorize {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match self.refusal(&request).await {
                Some(refusal) => refusal,
                None => next.run(request).await,
            }
        })
    }
}
