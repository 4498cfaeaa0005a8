//! What a write has taken from shared pools, such as cluster IPs, until it is known whether the write succeeds.

use futures::future::BoxFuture;

use crate::storage::StoreError;

/// Gives something back to a pool. Retried inside; what cannot be given back is found again by the pool's repair.
pub trait Release: Send + Sync {
    /// Gives it back.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What a write has taken, and what it makes superfluous.
#[derive(Default)]
pub struct Reservation {
    /// Given back when the write fails.
    pub taken: Vec<Box<dyn Release>>,
    /// Given back when the write succeeds.
    pub superseded: Vec<Box<dyn Release>>,
}

impl Reservation {
    /// The write succeeded.
    pub async fn commit(self) {
        release(self.superseded).await;
    }

    /// The store did not take the write. When it may have taken it, nothing is given back: two objects with one address are
    /// worse than an address that the pool's repair finds unused.
    pub async fn failed(self, error: &StoreError) {
        if !matches!(error, StoreError::Undetermined { .. }) {
            self.cancel().await;
        }
    }

    /// The write failed before it reached the store, or was only tried.
    pub async fn cancel(self) {
        release(self.taken).await;
    }
}

async fn release(all: Vec<Box<dyn Release>>) {
    for one in all {
        one.release().await;
    }
}
