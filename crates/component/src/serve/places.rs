//! How many connections there may be at once: as many as leave the process descriptors for everything else.
//!
//! Who holds many connections keeps nobody out: when there is no place, those give way on which nothing is asked,
//! the ones first on which nothing ever was. Only when something is being answered on every one of them is a newcomer
//! turned away. What has been upgraded counts no longer; it takes a right to open such a session.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use super::idle::Requests;

/// At least so many, however few descriptors there are.
const FEWEST: usize = 64;
/// Of the descriptors, connections may take so many in each four.
const SHARE: usize = 3;
/// No more are counted on, however many there are: a connection costs memory, too.
const MOST: usize = 1 << 15;
/// When there is no place, one in so many gives way, so that the next newcomers need not look for one.
const GIVE_WAY: usize = 16;

/// The places of this process.
pub(super) static PLACES: LazyLock<Arc<Places>> = LazyLock::new(|| Arc::new(Places::new(most())));

/// Raises the limit of open files as far as may be, as Go's programs do when they start.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!("raising the limit of open files: {error}");
    }
}

fn most() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    (descriptors.unwrap_or(MOST).min(MOST) / 4 * SHARE).max(FEWEST)
}

/// A bounded number of connections.
pub(super) struct Places {
    most: usize,
    taken: Mutex<HashMap<u64, Connection>>,
    next: AtomicU64,
}

struct Connection {
    requests: Arc<Requests>,
    end: CancellationToken,
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    /// What is asked on it.
    pub(super) requests: Arc<Requests>,
    /// Cancelled when it has to give way.
    pub(super) end: CancellationToken,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// A place for a new connection, if there is one or can be made.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken.lock();
        if taken.len() >= self.most {
            give_way(&mut taken);
        }
        if taken.len() >= self.most {
            return None;
        }
        let (requests, end) = (Requests::new(), CancellationToken::new());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        taken.insert(number, Connection { requests: requests.clone(), end: end.clone() });
        Some(Place { places: self.clone(), number, requests, end })
    }
}

/// Ends some of those on which nothing is asked.
fn give_way(taken: &mut HashMap<u64, Connection>) {
    let idle = |(number, connection): (&u64, &Connection)| Some((connection.requests.idle_since()?, *number));
    let mut idle: Vec<_> = taken.iter().filter_map(idle).collect();
    let some = (taken.len() / GIVE_WAY).max(1);
    if idle.len() > some {
        idle.select_nth_unstable(some);
        idle.truncate(some);
    }
    for (_, number) in idle {
        if let Some(connection) = taken.remove(&number) {
            connection.end.cancel();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_gives_way() {
        let places = Arc::new(Places::new(4));
        let later = async || tokio::time::advance(std::time::Duration::from_millis(10)).await;
        let asked = places.take().unwrap();
        drop(asked.requests.begin());
        later().await;
        let silent = places.take().unwrap();
        later().await;
        let busy: Vec<_> = (0..2).map(|_| places.take().unwrap()).collect();
        let open: Vec<_> = busy.iter().map(|place| place.requests.begin()).collect();
        let first = places.take().unwrap();
        assert!(silent.end.is_cancelled() && !asked.end.is_cancelled(), "who never asked goes first");
        let first_open = first.requests.begin();
        let second = places.take().unwrap();
        assert!(asked.end.is_cancelled() && !second.end.is_cancelled());
        let _second_open = second.requests.begin();
        assert!(places.take().is_none(), "something is being answered everywhere");
        drop((first_open, first));
        assert!(places.take().is_some());
        assert!(busy.iter().all(|place| !place.end.is_cancelled()));
        drop(open);
    }
}
