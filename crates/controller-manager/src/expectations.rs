//! What a controller has asked of the server and its informer has not shown yet.
//!
//! A controller that counts pods in a cache that lags would create too many. So before it creates
//! or deletes it says how many events it expects, the pod handler ticks them off, and until all
//! are seen the controller scales nothing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// After this an event that did not come is no longer waited for, as upstream.
const EXPIRE: Duration = Duration::from_secs(300);

/// Expectations by the uid of the owner.
#[derive(Debug, Default)]
pub struct Expectations {
    by_owner: Mutex<HashMap<String, Expected>>,
}

#[derive(Debug)]
struct Expected {
    /// Pods created and not seen.
    creations: usize,
    /// Uids of pods deleted and not seen to go.
    deletions: HashSet<String>,
    /// When this was expected.
    since: Instant,
}

/// Whether an owner may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Everything expected was seen, or too long ago.
    No,
    /// Not before this time has passed, unless events come.
    For(Duration),
}

impl Expectations {
    /// `count` pods are about to be created for the owner.
    pub fn expect_creations(&self, owner: &str, count: usize) {
        self.expect(owner, count, []);
    }

    /// These pods are about to be deleted for the owner.
    pub fn expect_deletions(&self, owner: &str, pods: impl IntoIterator<Item = String>) {
        self.expect(owner, 0, pods);
    }

    /// So many pods are about to be created for the owner, and these to be deleted.
    pub fn expect(&self, owner: &str, creations: usize, deletions: impl IntoIterator<Item = String>) {
        let expected = Expected { creations, deletions: deletions.into_iter().collect(), since: Instant::now() };
        self.by_owner.lock().insert(owner.to_owned(), expected);
    }

    /// A pod was seen, or will never be: creating it failed.
    pub fn creation_observed(&self, owner: &str) {
        if let Some(expected) = self.by_owner.lock().get_mut(owner) {
            expected.creations = expected.creations.saturating_sub(1);
        }
    }

    /// A pod was seen to go, or will not go: deleting it failed.
    pub fn deletion_observed(&self, owner: &str, pod: &str) {
        if let Some(expected) = self.by_owner.lock().get_mut(owner) {
            expected.deletions.remove(pod);
        }
    }

    /// The owner is gone.
    pub fn forget(&self, owner: &str) {
        self.by_owner.lock().remove(owner);
    }

    /// Whether the owner has to wait for events.
    #[must_use]
    pub fn waiting(&self, owner: &str) -> Waiting {
        let by_owner = self.by_owner.lock();
        let open = by_owner.get(owner).filter(|e| e.creations > 0 || !e.deletions.is_empty());
        match open.map(|expected| EXPIRE.saturating_sub(expected.since.elapsed())) {
            None | Some(Duration::ZERO) => Waiting::No,
            Some(rest) => Waiting::For(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_owner_waits_for_what_it_did() {
        let expectations = Expectations::default();
        assert_eq!(expectations.waiting("rs"), Waiting::No);
        expectations.expect_creations("rs", 2);
        expectations.creation_observed("rs");
        assert_ne!(expectations.waiting("rs"), Waiting::No);
        expectations.creation_observed("rs");
        expectations.creation_observed("rs");
        assert_eq!(expectations.waiting("rs"), Waiting::No);

        expectations.expect_deletions("rs", ["a".to_owned(), "b".to_owned()]);
        expectations.deletion_observed("rs", "a");
        expectations.deletion_observed("rs", "c");
        assert_ne!(expectations.waiting("rs"), Waiting::No);
        expectations.deletion_observed("rs", "b");
        assert_eq!(expectations.waiting("rs"), Waiting::No);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_event_is_not_waited_for_for_ever() {
        let expectations = Expectations::default();
        expectations.expect_creations("rs", 1);
        tokio::time::advance(EXPIRE / 2).await;
        assert_eq!(expectations.waiting("rs"), Waiting::For(EXPIRE / 2));
        tokio::time::advance(EXPIRE / 2).await;
        assert_eq!(expectations.waiting("rs"), Waiting::No);
    }
}
