//! A panic becomes a 500.

use std::panic::AssertUnwindSafe;

use api_types::status::StatusError;
use futures::{FutureExt, future::BoxFuture};

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    serving::{Response, respond},
};

pub(super) struct CatchPanics;

impl Filter for CatchPanics {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        let path = request.info.path.clone();
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        Box::pin(async move {
            answer.await.unwrap_or_else(|panic| {
                let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(path, panic = words, "request handler panicked");
                respond::error(&StatusError::internal(
                    "This request caused apiserver to panic. Look in the logs for details.",
                ))
            })
        })
    }
}
