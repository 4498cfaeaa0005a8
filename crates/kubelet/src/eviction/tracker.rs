//! Which thresholds have been met for how long: pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::{Amount, Observations, Pressure, Pressures, Threshold};

/// What follows from a look at the node.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    /// What the node says of itself.
    pub(super) pressures: Pressures,
    /// What must be dealt with first, and how much is left of it.
    pub(super) urgent: Option<(Threshold, Amount)>,
}

/// Remembers what earlier looks have seen.
pub(super) struct Tracker {
    thresholds: Vec<Threshold>,
    transition: Duration,
    /// Since when a threshold has been met without a break, by its place.
    met_since: HashMap<usize, Instant>,
    /// When a pressure was last seen.
    seen_at: BTreeMap<Pressure, Instant>,
}

impl Tracker {
    pub(super) fn new(thresholds: Vec<Threshold>, transition: Duration) -> Self {
        Self { thresholds, transition, met_since: HashMap::new(), seen_at: BTreeMap::new() }
    }

    pub(super) fn step(&mut self, seen: &Observations, now: Instant) -> Step {
        let mut urgent: Option<(Threshold, Amount)> = None;
        for (place, threshold) in self.thresholds.iter().enumerate() {
            let Some(amount) = seen.get(&threshold.signal).copied().filter(|amount| threshold.is_met(*amount)) else {
                self.met_since.remove(&place);
                continue;
            };
            let since = *self.met_since.entry(place).or_insert(now);
            self.seen_at.insert(threshold.signal.pressure(), now);
            let due = now.duration_since(since) >= threshold.grace.unwrap_or_default();
            // Of one signal the hard threshold counts, which leaves pods no time.
            let order = |of: &Threshold| (of.signal, of.grace);
            if due && urgent.as_ref().is_none_or(|(first, _)| order(threshold) < order(first)) {
                urgent = Some((*threshold, amount));
            }
        }
        let lasting = self.seen_at.iter().filter(|(_, at)| now.duration_since(**at) < self.transition || **at == now);
        Step { pressures: lasting.map(|(pressure, _)| *pressure).collect(), urgent }
    }
}
