//! Pods that fail again and again are replaced later and later.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// At most; as upstream.
const LAST: Duration = Duration::from_secs(15 * 60);

/// Failures by the uid of the set and the node.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_set: Mutex<HashMap<String, HashMap<String, Failure>>>,
}

#[derive(Debug)]
struct Failure {
    /// Of which generation of the set the pod was.
    generation: Option<i64>,
    /// When it was last replaced.
    at: Instant,
    /// How long to wait after that.
    delay: Duration,
}

impl Failures {
    /// How long the node has to wait for the replacement of a failed pod; zero, and noted, when it may come now. A long
    /// time without failures, or another generation of the set, and they are forgotten.
    pub(super) fn wait(&self, set: &str, generation: Option<i64>, node: &str) -> Duration {
        let mut by_set = self.by_set.lock();
        let nodes = by_set.entry(set.to_owned()).or_default();
        let now = Instant::now();
        let delay = match nodes.get(node).filter(|failure| failure.generation == generation) {
            Some(failure) if now < failure.at + failure.delay => return failure.at + failure.delay - now,
            Some(failure) if now < failure.at + 2 * LAST => (failure.delay * 2).min(LAST),
            _ => FIRST,
        };
        nodes.insert(node.to_owned(), Failure { generation, at: now, delay });
        Duration::ZERO
    }

    /// The set is gone.
    pub(super) fn forget(&self, set: &str) {
        self.by_set.lock().remove(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_time_takes_longer() {
        let failures = Failures::default();
        assert_eq!(failures.wait("s", None, "n"), Duration::ZERO);
        assert_eq!(failures.wait("s", None, "n"), FIRST);
        assert_eq!(failures.wait("s", None, "m"), Duration::ZERO);
        tokio::time::advance(FIRST).await;
        assert_eq!(failures.wait("s", None, "n"), Duration::ZERO);
        assert_eq!(failures.wait("s", None, "n"), 2 * FIRST);
        assert_eq!(failures.wait("s", Some(2), "n"), Duration::ZERO, "another template, another chance");
        tokio::time::advance(2 * LAST + FIRST).await;
        assert_eq!(failures.wait("s", Some(2), "n"), Duration::ZERO);
        assert_eq!(failures.wait("s", Some(2), "n"), FIRST);
    }
}
