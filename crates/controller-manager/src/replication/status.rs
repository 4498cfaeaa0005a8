//! The status of a set of pods.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{jiff::Timestamp, meta::Time};

use crate::{
    pod_state::{Availability, availability, is_active, is_ready, is_terminating},
    slim::Pod,
};

/// How many pods are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Active pods.
    pub replicas: i32,
    /// Active pods that have all labels of the template.
    pub fully_labeled: i32,
    /// Ready ones.
    pub ready: i32,
    /// Ready for long enough.
    pub available: i32,
    /// Being deleted.
    pub terminating: i32,
}

/// Why there are fewer or more pods than wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `FailedCreate` or `FailedDelete`.
    pub reason: String,
    /// The server's words.
    pub message: String,
    /// Since when; `None` for now.
    pub since: Option<Time>,
}

/// Counts the claimed pods, and says when a ready pod will become available.
pub(super) fn count(
    pods: &[Arc<Pod>],
    template_labels: Option<&BTreeMap<String, String>>,
    min_ready_seconds: i32,
    now: Timestamp,
) -> (Counts, Option<Timestamp>) {
    let mut counts = Counts::default();
    let mut next: Option<Timestamp> = None;
    counts.terminating += pods.iter().map(|pod| i32::from(is_terminating(pod))).sum::<i32>();
    for pod in pods.iter().filter(|pod| is_active(pod)) {
        counts.replicas += 1;
        counts.fully_labeled += i32::from(has_labels(pod, template_labels));
        counts.ready += i32::from(is_ready(pod));
        match availability(pod, min_ready_seconds, now) {
            Availability::Now => counts.available += 1,
            Availability::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
            Availability::No => {}
        }
    }
    (counts, next)
}

fn has_labels(pod: &Pod, wanted: Option<&BTreeMap<String, String>>) -> bool {
    let labels = pod.metadata.labels.as_ref();
    wanted.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(phase: &str, labels: Value, ready_since: Option<&str>, deleted: Option<&str>) -> Arc<Pod> {
        let conditions: Vec<Value> = ready_since
            .map(|at| json!({"type": "Ready", "status": "True", "lastTransitionTime": at}))
            .into_iter()
            .collect();
        let pod = json!({
            "metadata": {"labels": labels, "deletionTimestamp": deleted},
            "status": {"phase": phase, "conditions": conditions},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn pods_are_counted() {
        let start = "1970-01-01T00:00:00Z";
        let late = "1970-01-01T00:01:35Z";
        let pods = [
            pod("Running", json!({"app": "web", "v": "1"}), Some(start), None),
            pod("Running", json!({"app": "web"}), Some(late), None),
            pod("Pending", json!({"app": "web"}), None, None),
            pod("Failed", json!({"app": "web"}), None, None),
            pod("Running", json!({"app": "web"}), Some(start), Some(late)),
        ];
        let labels = [("app", "web"), ("v", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let now = Timestamp::from_second(100).unwrap();
        let (counts, next) = count(&pods, Some(&labels), 10, now);
        let expected = Counts { replicas: 3, fully_labeled: 1, ready: 2, available: 1, terminating: 1 };
        assert_eq!(counts, expected);
        assert_eq!(next, Some(Timestamp::from_second(105).unwrap()));
    }
}
