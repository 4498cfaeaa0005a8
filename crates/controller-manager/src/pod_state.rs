//! Active, ready, available.

use api_types::{
    jiff::{SignedDuration, Timestamp},
    meta::Time,
};
use serde_json::{Value, json};

use crate::slim::Pod;

/// Succeeded or failed: it will never run again.
#[must_use]
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// Neither finished nor being deleted: it counts as a replica.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Being deleted, and not finished yet.
#[must_use]
pub fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// Whether its Ready condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Since when it has been ready, if it is and says so.
#[must_use]
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let condition = pod.status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (condition.status == "True").then_some(condition.last_transition_time.as_ref()?.0)
}

/// Whether a pod has been ready for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not ready.
    No,
    /// Ready, and available at this time if it stays so.
    At(Timestamp),
    /// Available.
    Now,
}

/// Whether the pod has been ready for `min_ready_seconds`.
#[must_use]
pub fn availability(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Availability {
    match ready_since(pod) {
        _ if !is_ready(pod) => Availability::No,
        _ if min_ready_seconds <= 0 => Availability::Now,
        None => Availability::No,
        Some(since) => {
            let ready_for = SignedDuration::from_secs(min_ready_seconds.into());
            let at = since.checked_add(ready_for).unwrap_or(Timestamp::MAX);
            if at <= now { Availability::Now } else { Availability::At(at) }
        }
    }
}

/// A strategic patch of a pod's status that says why it is taken away, and puts it into `phase`
/// when one is given.
#[must_use]
pub fn disruption_patch(pod: &Pod, reason: &str, message: &str, phase: Option<&str>) -> Value {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "observedGeneration": pod.metadata.generation,
        "lastTransitionTime": Time(Timestamp::now()),
    });
    let mut status = json!({"conditions": [condition]});
    if let Some(phase) = phase {
        status["phase"] = phase.into();
    }
    json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ready: &str, since: i64) -> Pod {
        let time = Timestamp::from_second(since).unwrap().to_string();
        serde_json::from_value(serde_json::json!({
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": time}]},
        }))
        .unwrap()
    }

    #[test]
    fn availability_needs_time() {
        let now = Timestamp::from_second(100).unwrap();
        let cases = [
            (pod("False", 0), 0, Availability::No),
            (pod("True", 99), 0, Availability::Now),
            (pod("True", 90), 10, Availability::Now),
            (pod("True", 95), 10, Availability::At(Timestamp::from_second(105).unwrap())),
            (pod("True", Timestamp::MAX.as_second()), i32::MAX, Availability::At(Timestamp::MAX)),
            (Pod::default(), 0, Availability::No),
        ];
        for (pod, min_ready_seconds, expected) in cases {
            assert_eq!(availability(&pod, min_ready_seconds, now), expected, "{pod:?}");
        }
    }
}
