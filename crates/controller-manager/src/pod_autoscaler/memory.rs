//! What is remembered of each autoscaler: what was recommended, and what was done. It is lost with the process, as
//! upstream's; then scaling down waits for a whole window again.

use std::time::Duration;

use api_types::jiff::{SignedDuration, Timestamp};

/// So much is remembered of each at most; a window is an hour at most, and a sync takes a second at least.
const MOST: usize = 4096;

/// Something that happened, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At<T> {
    time: Timestamp,
    what: T,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// How many replicas the metrics asked for, oldest first.
    recommendations: Vec<At<i32>>,
    /// How many replicas came, oldest first.
    added: Vec<At<i32>>,
    /// How many went, oldest first.
    removed: Vec<At<i32>>,
}

/// A time before another.
fn before(now: Timestamp, window: Duration) -> Timestamp {
    let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(window).unwrap_or(Timestamp::MIN)
}

fn push<T>(list: &mut Vec<At<T>>, at: At<T>, oldest: Timestamp) {
    list.retain(|other| other.time >= oldest);
    if list.len() == MOST {
        list.remove(0);
    }
    list.push(at);
}

fn sum(list: &[At<i32>], since: Timestamp) -> i32 {
    list.iter().filter(|at| at.time > since).fold(0, |sum: i32, at| sum.saturating_add(at.what))
}

impl Memory {
    /// Of an autoscaler of which nothing is known yet, the replicas that there are count as recommended.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push(At { time: now, what: current });
        }
    }

    /// What was recommended within a window.
    pub(super) fn recommended(&self, window: Duration, now: Timestamp) -> impl Iterator<Item = i32> {
        let since = before(now, window);
        self.recommendations.iter().filter(move |at| at.time > since).map(|at| at.what)
    }

    /// Remembers a recommendation, and forgets those that are older than the window.
    pub(super) fn recommend(&mut self, replicas: i32, window: Duration, now: Timestamp) {
        push(&mut self.recommendations, At { time: now, what: replicas }, before(now, window));
    }

    /// How many replicas there were before a period began.
    pub(super) fn at_start(&self, current: i32, period: Duration, now: Timestamp) -> i32 {
        let since = before(now, period);
        current.saturating_sub(sum(&self.added, since)).saturating_add(sum(&self.removed, since))
    }

    /// Remembers that the number of replicas was changed, and forgets what happened before the longest period.
    pub(super) fn scaled(&mut self, from: i32, to: i32, longest: Duration, now: Timestamp) {
        let change = to.saturating_sub(from);
        let (list, what) =
            if change > 0 { (&mut self.added, change) } else { (&mut self.removed, change.saturating_neg()) };
        push(list, At { time: now, what }, before(now, longest));
    }
}
