//! Requests that are not long-running end in time: the server's, or a shorter one that the client gives.

use std::time::Duration;

use api_types::status::StatusError;
use component::flags::duration;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    metrics::SelfDefence,
    serving::{Response, respond},
};

pub(super) struct Deadline(Duration);

/// When a request's client has been told that it took too long, among the request's extensions. What goes on then must not
/// wait for the client.
#[derive(Clone, Copy)]
pub struct EndsAt(pub Instant);

impl Deadline {
    pub(super) fn new(timeout: Duration) -> Self {
        Self(timeout)
    }
}

impl Filter for Deadline {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        if request.long_running() {
            return next.run(request);
        }
        let asked = request.query.get("timeout").map(duration).transpose();
        let own = match asked {
            Ok(own) => own.filter(|own| !own.is_zero() && *own < self.0),
            Err(_) => {
                let text = request.query.get("timeout").unwrap_or_default();
                let why = format!("invalid timeout specified in the request URL - time: invalid duration {text:?}");
                return Box::pin(async move { respond::error(&StatusError::bad_request(why)) });
            }
        };
        let end = Instant::now() + own.unwrap_or(self.0);
        request.http.extensions_mut().insert(EndsAt(end));
        let answer = tokio::time::timeout_at(end, next.run(request));
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let error = StatusError::timeout("request did not complete within the allotted timeout", 0);
                let mut response = respond::error(&error);
                response.extensions_mut().insert(SelfDefence);
                response
            })
        })
    }
}
