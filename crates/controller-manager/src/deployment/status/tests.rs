//! Conditions in the course of a rollout.

use serde_json::{Value, json};

use super::*;

fn deployment(status: &Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "generation": 2},
        "spec": {
            "replicas": 2, "progressDeadlineSeconds": 600, "selector": {},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {},
        },
        "status": status,
    }))
    .unwrap()
}

fn set(name: &str, spec: i32, replicas: i32, available: i32) -> Arc<ReplicaSet> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"replicas": spec, "selector": {}},
            "status": {"replicas": replicas, "readyReplicas": available, "availableReplicas": available},
        }))
        .unwrap(),
    )
}

fn progressing(reason: &str, update: &str) -> Value {
    json!({"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": update, "lastTransitionTime": update})
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const START: &str = "1970-01-01T00:00:00Z";

#[test]
fn counts_come_from_the_sets() {
    let sets = Sets { new: Some(set("new", 1, 1, 0)), old: vec![set("old", 2, 2, 2)] };
    let status = calculate(&deployment(&json!({})), &sets, at(0));
    assert_eq!(status.replicas, Some(3));
    assert_eq!(status.updated_replicas, Some(1));
    assert_eq!(status.available_replicas, Some(2));
    assert_eq!(status.unavailable_replicas, Some(1));
    let available = condition(&status, AVAILABLE).unwrap();
    assert_eq!((available.status.as_str(), available.reason.as_deref()), ("True", Some("MinimumReplicasAvailable")));
}

#[test]
fn progress_is_judged() {
    let complete = Sets { new: Some(set("new", 2, 2, 2)), old: vec![] };
    let stuck = Sets { new: Some(set("new", 1, 1, 0)), old: vec![set("old", 2, 2, 2)] };
    let before = json!({"replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2,
        "conditions": [progressing("ReplicaSetUpdated", START)]});
    let done = json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        "conditions": [progressing("NewReplicaSetAvailable", START)]});
    let failing = Sets { new: Some(set("new", 2, 2, 0)), old: vec![] };
    let cases = [
        (&before, &complete, 10, "True", "NewReplicaSetAvailable", r#"ReplicaSet "new" has successfully progressed."#),
        (&before, &stuck, 10, "True", "ReplicaSetUpdated", ""),
        (&before, &stuck, 601, "False", "ProgressDeadlineExceeded", r#"ReplicaSet "new" has timed out progressing."#),
        (&done, &failing, 9000, "True", "NewReplicaSetAvailable", ""),
    ];
    for (status, sets, now, expected, reason, message) in cases {
        let status = rollout(&deployment(status), sets, at(now));
        let progressing = condition(&status, PROGRESSING).unwrap();
        assert_eq!((progressing.status.as_str(), progressing.reason.as_deref()), (expected, Some(reason)));
        assert!(message.is_empty() || progressing.message.as_deref() == Some(message), "{progressing:?}");
    }
}

#[test]
fn progress_moves_the_update_time_only() {
    let before = json!({"replicas": 2, "conditions": [progressing("ReplicaSetUpdated", START)]});
    let sets = Sets { new: Some(set("new", 2, 2, 1)), old: vec![] };
    let status = rollout(&deployment(&before), &sets, at(30));
    let progressing = condition(&status, PROGRESSING).unwrap();
    assert_eq!(progressing.last_update_time, Some(Time(at(30))));
    assert_eq!(progressing.last_transition_time, Some(Time(at(0))));
}

#[test]
fn a_stuck_rollout_is_looked_at_when_it_times_out() {
    let before = json!({"replicas": 3, "updatedReplicas": 1, "conditions": [progressing("ReplicaSetUpdated", START)]});
    let deployment = deployment(&before);
    let status = deployment.status.clone().unwrap();
    assert_eq!(next_judgement(&deployment, &status, at(100)), Some(Duration::from_secs(501)));
    // Whoever writes statuses may write any time; the rest of all time is long enough.
    let mut timeless = deployment;
    timeless.status = serde_json::from_value(json!({
        "replicas": 3, "conditions": [progressing("ReplicaSetUpdated", "9999-12-30T22:00:00Z")],
    }))
    .unwrap();
    assert!(next_judgement(&timeless, &timeless.status.clone().unwrap(), at(100)).is_some());
}
