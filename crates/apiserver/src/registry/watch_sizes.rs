//! How long the events of watches are.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upstream's bounds, in bytes; longer ones are beyond them.
const BOUNDS: [usize; 8] = [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10];

/// How many events of which length were sent to those who watch a resource in one version. Counted without a lock: of all
/// that happens here, this happens most often.
#[derive(Debug, Default)]
pub struct WatchSizes {
    counts: [AtomicU64; BOUNDS.len() + 1],
    bytes: AtomicU64,
}

impl WatchSizes {
    /// Counts events of these lengths.
    pub fn add(&self, lengths: impl Iterator<Item = usize>) {
        let mut counts = [0; BOUNDS.len() + 1];
        let mut bytes = 0;
        for length in lengths {
            counts[BOUNDS.partition_point(|bound| *bound < length)] += 1;
            bytes += length as u64;
        }
        for (all, more) in self.counts.iter().zip(counts).filter(|(_, more)| *more > 0) {
            all.fetch_add(more, Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes there were, and how many events up to each bound beyond the one before.
    #[must_use]
    pub fn told(&self) -> (u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        (self.bytes.load(Ordering::Relaxed), bounds.zip(counts).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_what_is_below() {
        let sizes = WatchSizes::default();
        sizes.add([1, 1024, 1025, 128 << 10, (128 << 10) + 1].into_iter());
        let (bytes, counts) = sizes.told();
        assert_eq!(bytes, 1 + 1024 + 1025 + (256 << 10) + 1);
        let counts: Vec<u64> = counts.into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 1, 1]);
    }
}
