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

async fn wait_initially(target: &Target) {
    let delay = i64::from(target.probe.initial_delay_seconds.unwrap_or(0));
    let age = Timestamp::now().duration_since(target.started_at).as_secs();
    let left = u64::try_from(delay - age).unwrap_or(0);
    if left > 0 {
        tokio::time::sleep(Duration::from_secs(left)).await;
    }
}

/// `None` when the probe itself did not work, which says nothing about the container.
async fn probe_once(context: &ProbeContext, target: &Target) -> Option<Verdict> {
    let kind = target.kind.as_str();
    let (verdict, message) = match check(context.runtime.as_ref(), target).await {
        Finding::Success => return Some(Verdict::Success),
        Finding::Failure(output) => (Some(Verdict::Failure), format!("{kind} probe failed: {output}")),
        Finding::Unknown(error) => (None, format!("{kind} probe errored and resulted in unknown state: {error}")),
    };
    context.events.container(&target.pod, &target.container.name, EventType::Warning, "Unhealthy", &message);
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
    fn only_equal_findings_in_a_row_count() {
        let mut streak = Streak::default();
        let findings = [Verdict::Failure, Verdict::Failure, Verdict::Success, Verdict::Failure, Verdict::Failure];
        let lengths: Vec<i32> = findings.into_iter().map(|finding| streak.count(finding)).collect();
        assert_eq!(lengths, [1, 2, 1, 1, 2]);
    }
}
