//! Bounds how many requests run at once, so that overload is refused early instead of exhausting memory.

use std::sync::Arc;

use api_types::status::StatusError;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    serving::{Response, respond},
};

/// How many requests may run at once; long-running ones are not counted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that only read.
    pub reading: usize,
    /// Requests that write.
    pub mutating: usize,
}

impl Default for Limits {
    /// Upstream's `--max-requests-inflight` and `--max-mutating-requests-inflight`.
    fn default() -> Self {
        Self { reading: 400, mutating: 200 }
    }
}

/// A place among the requests that run at once, among a request's extensions. Whoever works for the request holds it, so
/// that it is not given to others when the client has gone and the work goes on.
pub type Place = Arc<OwnedSemaphorePermit>;

pub(super) struct InFlight {
    reading: Arc<Semaphore>,
    mutating: Arc<Semaphore>,
}

impl InFlight {
    pub(super) fn new(limits: Limits) -> Self {
        Self { reading: Arc::new(Semaphore::new(limits.reading)), mutating: Arc::new(Semaphore::new(limits.mutating)) }
    }
}

impl Filter for InFlight {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        if request.long_running() {
            return next.run(request);
        }
        let places = if request.info.verb.mutates() { &self.mutating } else { &self.reading };
        let Ok(place) = places.clone().try_acquire_owned() else {
            return Box::pin(async {
                respond::error(&StatusError::too_many_requests("too many requests, please try again later", 1))
            });
        };
        let place = Place::new(place);
        request.http.extensions_mut().insert(place.clone());
        let answer = next.run(request);
        Box::pin(async move {
            let response = answer.await;
            drop(place);
            response
        })
    }
}
