//! Which pods go first when there are too many.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use api_types::jiff::Timestamp;

use crate::{
    pod_state::{is_active, is_ready, ready_since},
    slim::{POD_DELETION_COST, Pod},
};

/// The `count` pods to delete first, after upstream's `ActivePodsWithRanks`: not scheduled before
/// scheduled, pending before running, not ready before ready, cheap before expensive, those on nodes
/// that have more of the `related` pods, those ready for a shorter time, those that restarted
/// more often, the younger. Ages are compared by their order of magnitude, so that a rolling
/// update does not always take its youngest pods away again.
#[must_use]
pub fn first_to_delete(mut pods: Vec<Arc<Pod>>, related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    if 0 < count && count < pods.len() {
        let mut per_node: HashMap<&str, usize> = HashMap::new();
        for pod in related.iter().filter(|pod| is_active(pod)) {
            *per_node.entry(pod.node_name()).or_default() += 1;
        }
        let rank = |pod: &Pod| per_node.get(pod.node_name()).copied().unwrap_or(0);
        pods.sort_by(|a, b| compare(a, b, &rank, now));
    }
    pods.truncate(count);
    pods
}

fn compare(a: &Pod, b: &Pod, rank: &dyn Fn(&Pod) -> usize, now: Timestamp) -> Ordering {
    let scheduled = |pod: &Pod| !pod.node_name().is_empty();
    scheduled(a)
        .cmp(&scheduled(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| rank(b).cmp(&rank(a)))
        .then_with(|| match (is_ready(a), is_ready(b)) {
            (true, true) => younger_first(ready_since(a), ready_since(b), now),
            _ => Ordering::Equal,
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| younger_first(created(a), created(b), now))
        .then_with(|| a.uid().cmp(b.uid()))
}

fn phase(pod: &Pod) -> u8 {
    match pod.status.phase.as_str() {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    }
}

fn cost(pod: &Pod) -> i32 {
    let annotation = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(POD_DELETION_COST));
    annotation.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// No time at all is younger than any; otherwise powers of two decide.
fn younger_first(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |time: Timestamp| match now.duration_since(time).as_nanos() {
        age if age > 0 => i64::from(age.ilog2()),
        _ => -1,
    };
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => magnitude(a).cmp(&magnitude(b)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A running, ready pod on node `n`, created at second 0 and ready since then, with changes.
    fn pod(uid: &str, changes: &Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {"uid": uid, "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}]},
        });
        for (section, fields) in changes.as_object().unwrap() {
            for (name, value) in fields.as_object().unwrap() {
                pod[section][name] = value.clone();
            }
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn ready_at(time: &str) -> Value {
        json!([{"type": "Ready", "status": "True", "lastTransitionTime": time}])
    }

    #[test]
    fn one_criterion_after_the_other() {
        let ordered = [
            pod("unscheduled", &json!({"spec": {"nodeName": ""}, "status": {"phase": "Pending", "conditions": []}})),
            pod("pending", &json!({"status": {"phase": "Pending", "conditions": []}})),
            pod("unknown", &json!({"status": {"phase": "Unknown", "conditions": []}})),
            pod("unready", &json!({"status": {"conditions": []}})),
            pod("cheap", &json!({"metadata": {"annotations": {POD_DELETION_COST: "-5"}}})),
            pod("crowded", &json!({"spec": {"nodeName": "crowd"}})),
            pod("ready for a second", &json!({"status": {"conditions": ready_at("1970-01-01T00:16:39Z")}})),
            pod("restarted", &json!({"status": {"containerStatuses": [{"restartCount": 3}]}})),
            pod("young", &json!({"metadata": {"creationTimestamp": "1970-01-01T00:16:30Z"}})),
            pod("old", &json!({})),
            pod("dear", &json!({"metadata": {"annotations": {POD_DELETION_COST: "5"}}})),
        ];
        let mut related = ordered.to_vec();
        related.extend((0..20).map(|i| pod(&format!("other {i}"), &json!({"spec": {"nodeName": "crowd"}}))));
        let now = Timestamp::from_second(1000).unwrap();
        let mut shuffled = ordered.to_vec();
        shuffled.reverse();
        for count in 1..ordered.len() {
            let chosen = first_to_delete(shuffled.clone(), &related, count, now);
            let uids: Vec<&str> = chosen.iter().map(|pod| pod.uid()).collect();
            let expected: Vec<&str> = ordered[..count].iter().map(|pod| pod.uid()).collect();
            assert_eq!(uids, expected);
        }
    }

    #[test]
    fn ages_of_one_magnitude_are_equal() {
        let now = Timestamp::from_second(1000).unwrap();
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        assert_eq!(younger_first(at(0), at(100), now), Ordering::Equal);
        assert_eq!(younger_first(at(990), at(0), now), Ordering::Less);
        assert_eq!(younger_first(None, at(0), now), Ordering::Less);
        assert_eq!(younger_first(at(2000), at(990), now), Ordering::Less);
    }
}
