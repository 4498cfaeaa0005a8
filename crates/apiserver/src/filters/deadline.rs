//! Requests that are not long-running end in time.

use std::time::Duration;

use api_types::status::StatusError;
use futures::future::BoxFuture;

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    serving::{Response, respond},
};

pub(super) struct Deadline(Duration);

impl Deadline {
    pub(super) fn new(timeout: Duration) -> Self {
        Self(timeout)
    }
}

impl Filter for Deadline {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        if request.long_running() {
            return next.run(request);
        }
        let answer = tokio::time::timeout(self.0, next.run(request));
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                respond::error(&StatusError::timeout("request did not complete within the allotted timeout", 0))
            })
        })
    }
}
