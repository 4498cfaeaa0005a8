//! What is counted of one cache.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::histogram::Histogram;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// So many more.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upstream's buckets, in seconds.
const WAITS: [f64; 13] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0];

/// What is counted of one cache.
#[derive(Debug)]
pub struct Counts {
    /// Lists that it answered.
    pub lists: Count,
    /// Objects that were looked at for these.
    pub examined: Count,
    /// Objects that were in their answers.
    pub returned: Count,
    /// Lists for which the store was asked, because they were of the past.
    pub stored_lists: Count,
    /// Objects that were in their answers.
    pub stored_returned: Count,
    /// How often the cache was filled.
    pub fills: Count,
    /// Objects that it was filled with.
    pub filled: Count,
    /// Changes that the store has told.
    pub received: Count,
    /// Consistent reads that were answered.
    pub consistent: Count,
    /// Those for which the cache was not fresh enough in time.
    pub stale: Count,
    /// Watches that were ended because they were further behind than the history reaches.
    pub too_slow: Count,
    /// How long reads have waited until the cache was fresh enough, in seconds.
    pub waits: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            lists: Count::default(),
            examined: Count::default(),
            returned: Count::default(),
            stored_lists: Count::default(),
            stored_returned: Count::default(),
            fills: Count::default(),
            filled: Count::default(),
            received: Count::default(),
            consistent: Count::default(),
            stale: Count::default(),
            too_slow: Count::default(),
            waits: Histogram::new(WAITS),
        }
    }
}
