//! What clients may do.

use std::{sync::Arc, time::Instant};

use api_types::{GroupResource, StatusError};
use component::auth::{Attributes, Authorizer, Decision, Target, Verdict};
use futures::future::BoxFuture;
use http::StatusCode;

use super::{Filter, Next};
use crate::{
    authorization::attributes,
    catalogue::Request,
    metrics::Access,
    serving::{Response, respond},
};

pub(super) struct Authorize {
    pub(super) authorizer: Arc<dyn Authorizer>,
    /// Where decisions are counted.
    pub(super) metrics: Arc<Access>,
}

impl Authorize {
    async fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        let begun = Instant::now();
        let verdict = self.authorizer.authorize(attributes).await;
        let result = match &verdict {
            Verdict { decision: Decision::Allow, .. } => "allowed",
            Verdict { error, .. } if !error.is_empty() => "error",
            Verdict { decision: Decision::Deny, .. } => "denied",
            Verdict { decision: Decision::NoOpinion, .. } => "no-opinion",
        };
        self.metrics.decided(result, begun);
        verdict
    }

    /// The refusal, if there is to be one.
    async fn refusal(&self, request: &Request) -> Option<Response> {
        let attributes = attributes(&request.user, request.method(), &request.info, &request.query);
        let verdict = self.decide(&attributes).await;
        note(request, &verdict);
        match verdict {
            Verdict { decision: Decision::Allow, .. } => self.refusal_to_create(attributes).await,
            Verdict { error, .. } if !error.is_empty() => {
                tracing::error!(path = request.info.path, "authorization: {error}");
                let text = format!("Internal Server Error: {:?}: {error}\n", request.info.path);
                Some(respond::text(StatusCode::INTERNAL_SERVER_ERROR, text))
            }
            Verdict { reason, .. } => Some(refused(&attributes.forbidden(&reason))),
        }
    }
}

fn refused(error: &StatusError) -> Response {
    respond::nothing_to_guess(respond::error(error))
}

/// Connections into a pod, which are opened with GET where they go over WebSocket.
const STREAMS: [&str; 3] = ["attach", "exec", "portforward"];

impl Authorize {
    /// Who opens a connection into a pod has to be allowed to create it, whatever the method is: a right to read is none
    /// to run something.
    async fn refusal_to_create(&self, mut attributes: Attributes<'_>) -> Option<Response> {
        let Target::Resource(place) = &attributes.target else { return None };
        let streams = place.group.is_empty() && place.resource == "pods" && STREAMS.contains(&&*place.subresource);
        if !streams || attributes.verb == "create" {
            return None;
        }
        attributes.verb = "create".into();
        let verdict = self.decide(&attributes).await;
        let Target::Resource(place) = &attributes.target else { return None };
        match verdict {
            Verdict { decision: Decision::Allow, .. } => None,
            Verdict { error, .. } if !error.is_empty() => Some(respond::error(&StatusError::internal(error))),
            Verdict { reason, .. } => {
                let pods = GroupResource::new(&place.group, &place.resource);
                Some(refused(&StatusError::forbidden(pods, &place.name, &reason)))
            }
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
