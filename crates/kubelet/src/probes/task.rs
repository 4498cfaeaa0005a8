//! The task behind one probe.

use std::sync::Arc;
use std::time::Duration;

use api_types::jiff::Timestamp;
use component::recorder::EventType;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use super::check::{Finding, check};
use super::{ProbeContext, ProbeKind, ProbeResults, Target, Verdict};
use crate::workers::Nudge;

/// The API server's defaults, for pods that never met it.
const PERIOD: i32 = 10;
const FAILURES: i32 = 3;

/// Counts equal findings until they are enough for a verdict.
#[derive(Debug, Default)]
struct Streak {
    last: Option<Verdict>,
    length: i32,
}

impl Streak {
    fn count(&mut self, verdict: Verdict) -> i32 {
        self.length = if self.last == Some(verdict) { self.length.saturating_add(1) } else { 1 };
        self.last = Some(verdict);
        self.length
    }
}

/// Probes until aborted, or until a verdict that ends the probe.
pub(super) async fn run(context: ProbeContext, target: Target, results: Arc<Mutex<ProbeResults>>, nudge: Nudge) {
    wait_initially(&target).await;
    let mut ticks = tokio::time::interval(seconds(target.probe.period_seconds, PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let Some(verdict) = probe_once(&context, &target).await else { continue };
        if streak.count(verdict) < threshold(&target, verdict) {
            continue;
        }
        if results.lock().set(&target.id, target.kind, verdict) {
            nudge.now();
        }
        if is_final(target.kind, verdict) {
            return;
        }
    }
}

/// The reason of events about containers that are not well.
const UNHEALTHY: &str = "Unhealthy";

async fn wait_initially(target: &Target) {
    let age = Timestamp::now().duration_since(target.started_at).as_secs();
    let left = initial_delay(target.probe.initial_delay_seconds, age);
    if !left.is_zero() {
        tokio::time::sleep(left).await;
    }
}

/// How long a container that is `age` seconds old is left alone. One that starts in the future, by a clock that was
/// set back, is new.
fn initial_delay(given: Option<i32>, age: i64) -> Duration {
    let left = i64::from(given.unwrap_or(0)).saturating_sub(age.max(0));
    Duration::from_secs(u64::try_from(left).unwrap_or(0))
}

/// `None` when the probe itself did not work, which says nothing about the container.
async fn probe_once(context: &ProbeContext, target: &Target) -> Option<Verdict> {
    let kind = target.kind.as_str();
    let (verdict, reason, message) = match check(context.runtime.as_ref(), target).await {
        Finding::Success => return Some(Verdict::Success),
        Finding::Warning(what) => (Some(Verdict::Success), "ProbeWarning", format!("{kind} probe warning: {what}")),
        Finding::Failure(output) => (Some(Verdict::Failure), UNHEALTHY, format!("{kind} probe failed: {output}")),
        Finding::Unknown(error) => {
            (None, UNHEALTHY, format!("{kind} probe errored and resulted in unknown state: {error}"))
        }
    };
    context.events.container(&target.pod, &target.container.name, EventType::Warning, reason, &message);
    verdict
}

fn threshold(target: &Target, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Success => target.probe.success_threshold.unwrap_or(1),
        Verdict::Failure => target.probe.failure_threshold.unwrap_or(FAILURES),
    }
}

/// A container that failed is about to be restarted, and one that has started is not asked again.
fn is_final(kind: ProbeKind, verdict: Verdict) -> bool {
    match kind {
        ProbeKind::Startup => true,
        ProbeKind::Liveness => verdict == Verdict::Failure,
        ProbeKind::Readiness => false,
    }
}

fn seconds(given: Option<i32>, default: i32) -> Duration {
    Duration::from_secs(u64::try_from(given.unwrap_or(default)).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_the_wire_saturate() {
        let most = u64::from(i32::MAX.unsigned_abs());
        for (given, expected) in [(None, 10), (Some(1), 1), (Some(0), 1), (Some(i32::MIN), 1), (Some(i32::MAX), most)] {
            assert_eq!(seconds(given, PERIOD).as_secs(), expected, "{given:?}");
        }
        let cases = [
            (None, 0, 0),
            (Some(10), 4, 6),
            (Some(10), 40, 0),
            (Some(10), -5, 10),
            (Some(i32::MAX), i64::MIN, most),
            (Some(i32::MIN), i64::MAX, 0),
        ];
        for (given, age, expected) in cases {
            assert_eq!(initial_delay(given, age).as_secs(), expected, "{given:?} at {age}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_takes_the_longest_periods() {
        let mut ticks = tokio::time::interval(seconds(Some(i32::MAX), PERIOD));
        ticks.tick().await;
        let next = tokio::time::timeout(Duration::from_secs(3600), ticks.tick()).await;
        assert!(next.is_err());
    }

    #[test]
    fn only_equal_findings_in_a_row_count() {
        let mut streak = Streak::default();
        let findings = [Verdict::Failure, Verdict::Failure, Verdict::Success, Verdict::Failure, Verdict::Failure];
        let lengths: Vec<i32> = findings.into_iter().map(|finding| streak.count(finding)).collect();
        assert_eq!(lengths, [1, 2, 1, 1, 2]);
    }
}
