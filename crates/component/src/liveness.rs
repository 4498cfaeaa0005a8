//! Whether a daemon is alive: whether the loops on which everything depends still turn.
//!
//! Alive is not well: a daemon whose API server, etcd or Docker is away is alive, and starting it again mends nothing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::serve::health::Check;

/// A daemon's signs of life. Without any, it is alive as long as its runtime runs tasks.
#[derive(Clone, Default)]
pub struct Liveness {
    checks: Arc<Mutex<Vec<(&'static str, Check)>>>,
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Liveness({} checks)", self.checks.lock().len())
    }
}

impl Liveness {
    /// Adds a sign.
    pub fn add(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.lock().push((name, Arc::new(check)));
    }

    /// Whether all signs are there.
    ///
    /// # Errors
    /// Which are not, and why.
    pub fn check(&self) -> Result<(), String> {
        let checks = self.checks.lock().clone();
        let failed = checks.iter().filter_map(|(name, check)| check().err().map(|why| format!("{name}: {why}")));
        let failed: Vec<String> = failed.collect();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}

/// When a loop last turned. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse {
    origin: Instant,
    /// Milliseconds since `origin`.
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { origin: Instant::now(), last: Arc::default() }
    }
}

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// Whether the loop has turned within `limit`; it counts from when the pulse was made.
    ///
    /// # Errors
    /// How long ago that was, when it is longer.
    pub fn within(&self, limit: Duration) -> Result<(), String> {
        let silent = Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)));
        if silent <= limit { Ok(()) } else { Err(format!("last turned {silent:?} ago")) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_named() {
        let (liveness, pulse) = (Liveness::default(), Pulse::default());
        assert_eq!(liveness.check(), Ok(()));
        let seen = pulse.clone();
        liveness.add("loop", move || seen.within(Duration::from_secs(60)));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(liveness.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(liveness.check(), Err("loop: last turned 61s ago".to_owned()));
        pulse.beat();
        assert_eq!(liveness.check(), Ok(()));
    }
}
