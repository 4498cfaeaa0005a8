//! Bounds how many requests run at once, so that overload is refused early instead of exhausting memory.

use std::sync::{Arc, OnceLock};

use api_types::status::StatusError;
use component::auth::user::MASTERS;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Filter, Next,
    room::{Room, Share, Taken},
};
use crate::{
    catalogue::Request,
    metrics::{Kind, Requests, SelfDefence},
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

/// The longest body that is read of requests that have no place meanwhile, in bytes; upstream's limit for all.
pub const LONGEST_BODY: usize = 3 << 20;

/// A place among the requests that run at once, among a request's extensions. Whoever works for the request holds it, so
/// that it is not given to others when the client has gone and the work goes on. Whoever waits for the client does not
/// need it: clients that send slowly keep nobody from anything.
pub struct Place {
    places: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
    room: Arc<Room>,
    user: String,
    /// The user's share, once a body takes of it.
    share: OnceLock<Arc<Share>>,
}

impl Place {
    /// Lets others have it.
    pub fn leave(&self) {
        self.held.lock().take();
    }

    /// Takes it again, as soon as there is one.
    pub async fn enter(&self) {
        // Nobody closes the semaphore.
        let permit = self.places.clone().acquire_owned().await.ok();
        *self.held.lock() = permit;
    }

    /// Makes room for so many bytes of a body, until what is given back is dropped.
    ///
    /// # Errors
    /// 429 when the user, or all together, have taken theirs.
    pub fn room(&self, bytes: usize) -> Result<Taken, StatusError> {
        self.share.get_or_init(|| self.room.of(&self.user)).take(bytes).ok_or_else(busy)
    }
}

fn busy() -> StatusError {
    StatusError::too_many_requests("too many requests, please try again later", 1)
}

/// What is known of the requests of a kind.
struct Lane {
    places: Arc<Semaphore>,
    /// How many there are, those that need no place among them.
    count: Gauge,
}

/// Counts a request as long as it is there.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn refused(error: &StatusError) -> Response {
    let mut response = respond::error(error);
    response.extensions_mut().insert(SelfDefence);
    response
}

pub(super) struct InFlight {
    reading: Lane,
    mutating: Lane,
    /// As many bytes of bodies may be read without a place as could be with one.
    room: Arc<Room>,
}

impl InFlight {
    pub(super) fn new(limits: Limits, metrics: &Requests) -> Self {
        let lane = |kind: Kind, limit: usize| Lane {
            places: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            count: metrics.in_flight(kind),
        };
        let room = Room::new(limits.mutating.saturating_mul(LONGEST_BODY), LONGEST_BODY);
        Self { reading: lane(Kind::Reading, limits.reading), mutating: lane(Kind::Mutating, limits.mutating), room }
    }

    fn lane(&self, request: &Request) -> &Lane {
        if request.info.verb.mutates() { &self.mutating } else { &self.reading }
    }

    /// A place for a request; `None` for those of whoever is to mend an overload, which are never refused.
    fn place(&self, request: &Request) -> Result<Option<Arc<Place>>, StatusError> {
        if request.user.is_in(MASTERS) {
            return Ok(None);
        }
        let places = &self.lane(request).places;
        let held = places.clone().try_acquire_owned().map_err(|_| busy())?;
        Ok(Some(Arc::new(Place {
            places: places.clone(),
            held: Mutex::new(Some(held)),
            room: self.room.clone(),
            user: request.user.name.clone(),
            share: OnceLock::new(),
        })))
    }
}

impl Filter for InFlight {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        if request.long_running() {
            return next.run(request);
        }
        let place = match self.place(&request) {
            Ok(place) => place,
            Err(error) => return Box::pin(async move { refused(&error) }),
        };
        let counted = Counted::new(&self.lane(&request).count);
        if let Some(place) = &place {
            request.http.extensions_mut().insert(place.clone());
        }
        let answer = next.run(request);
        Box::pin(async move {
            let response = answer.await;
            drop((place, counted));
            response
        })
    }
}
