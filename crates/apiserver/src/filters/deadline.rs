//! Requests that are not long-running end in time.

use std::time::Duration;

use api_types::status::StatusError;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{Filter, Next};
use crate::{
    catalogue::Request,
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
        let end = Instant::now() + self.0;
        request.http.extensions_mut().insert(EndsAt(end));
        let answer = tokio::time::timeout_at(end, next.run(request));
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                respond::error(&StatusError::timeout("request did not complete within the allotted timeout", 0))
            })
        })
    }
}
