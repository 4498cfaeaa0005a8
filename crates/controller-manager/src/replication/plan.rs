//! How many pods to create, or which to delete.

use std::sync::Arc;

use api_types::jiff::Timestamp;

use crate::{pod_rank::first_to_delete, pod_state::is_active, slim::Pod};

/// No more creations or deletions than this in one go; upstream's `BurstReplicas`.
const BURST: usize = 500;

/// What to do about the number of pods.
#[derive(Debug)]
pub(super) enum Scaling {
    /// There are as many as wanted.
    Nothing,
    /// Create so many.
    Create(usize),
    /// Delete these.
    Delete(Vec<Arc<Pod>>),
}

/// Compares the active ones of the claimed pods with the number that is wanted. `related` are the
/// pods of all that share the owner's own controller: where they crowd a node, pods go first.
pub(super) fn scaling(replicas: i32, pods: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Scaling {
    let active: Vec<Arc<Pod>> = pods.iter().filter(|pod| is_active(pod)).cloned().collect();
    let wanted = usize::try_from(replicas).unwrap_or(0);
    match (active.len(), wanted) {
        (have, wanted) if have < wanted => Scaling::Create((wanted - have).min(BURST)),
        (have, wanted) if have > wanted => {
            Scaling::Delete(first_to_delete(active, related, (have - wanted).min(BURST), now))
        }
        _ => Scaling::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods(phases: &[&str]) -> Vec<Arc<Pod>> {
        let pod = |(i, phase): (usize, &&str)| {
            Arc::new(
                serde_json::from_value(json!({"metadata": {"uid": i.to_string()}, "status": {"phase": phase}}))
                    .unwrap(),
            )
        };
        phases.iter().enumerate().map(pod).collect()
    }

    #[test]
    fn only_active_pods_count() {
        let now = Timestamp::UNIX_EPOCH;
        let cases: &[(i32, &[&str], i64)] = &[
            (3, &[], 3),
            (2, &["Running", "Failed", "Succeeded"], 1),
            (1, &["Running"], 0),
            (0, &["Running", "Pending"], -2),
            (1000, &[], 500),
        ];
        for (replicas, phases, expected) in cases {
            let pods = pods(phases);
            let change = match scaling(*replicas, &pods, &pods, now) {
                Scaling::Nothing => 0,
                Scaling::Create(count) => i64::try_from(count).unwrap(),
                Scaling::Delete(pods) => -i64::try_from(pods.len()).unwrap(),
            };
            assert_eq!(change, *expected, "{replicas} of {phases:?}");
        }
    }
}
