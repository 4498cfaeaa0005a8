//! Bounds how many requests run at once, so that overload is refused early instead of exhausting memory.

use std::sync::Arc;

use api_types::status::StatusError;
use futures::future::BoxFuture;
use parking_lot::Mutex;
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

/// What a body may take, on average, of those that are read while their requests have no place, in bytes.
const BODY: usize = 3 << 20;

/// A place among the requests that run at once, among a request's extensions. Whoever works for the request holds it, so
/// that it is not given to others when the client has gone and the work goes on. Whoever waits for the client does not
/// need it: clients that send slowly keep nobody from anything.
pub struct Place {
    places: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
    /// Bytes of bodies that may be read without a place, together as many as could be with one.
    room: Arc<Semaphore>,
}

impl Place {
    fn take(places: &Arc<Semaphore>, room: &Arc<Semaphore>) -> Result<Arc<Self>, StatusError> {
        let held = Mutex::new(Some(permit(places, 1)?));
        Ok(Arc::new(Self { places: places.clone(), held, room: room.clone() }))
    }

    /// Lets others have it.
    pub fn leave(&self) {
        self.held.lock().take();
    }

    /// Takes it again.
    ///
    /// # Errors
    /// 429 when others have all places.
    pub fn enter(&self) -> Result<(), StatusError> {
        let permit = permit(&self.places, 1)?;
        *self.held.lock() = Some(permit);
        Ok(())
    }

    /// Makes room for so many bytes of a body, until what is given back is dropped.
    ///
    /// # Errors
    /// 429 when others have taken all.
    pub fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StatusError> {
        permit(&self.room, bytes)
    }
}

fn permit(of: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, StatusError> {
    let permit = u32::try_from(count).ok().and_then(|count| of.clone().try_acquire_many_owned(count).ok());
    permit.ok_or_else(|| StatusError::too_many_requests("too many requests, please try again later", 1))
}

pub(super) struct InFlight {
    reading: Arc<Semaphore>,
    mutating: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl InFlight {
    pub(super) fn new(limits: Limits) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let room = limits.mutating.saturating_mul(BODY);
        Self { reading: semaphore(limits.reading), mutating: semaphore(limits.mutating), room: semaphore(room) }
    }
}

impl Filter for InFlight {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        if request.long_running() {
            return next.run(request);
        }
        let places = if request.info.verb.mutates() { &self.mutating } else { &self.reading };
        let place = match Place::take(places, &self.room) {
            Ok(place) => place,
            Err(error) => return Box::pin(async move { respond::error(&error) }),
        };
        request.http.extensions_mut().insert(place.clone());
        let answer = next.run(request);
        Box::pin(async move {
            let response = answer.await;
            drop(place);
            response
        })
    }
}
