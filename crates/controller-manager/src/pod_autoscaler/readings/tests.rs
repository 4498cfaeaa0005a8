//! Numbers of replicas, after upstream's rules.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const MINUTE: i64 = 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// An hour after 1970, when everything in these tests happens.
fn now() -> Timestamp {
    at(60 * MINUTE)
}

/// A pod that asks for a processor; `state` is `ready`, `failed`, `pending`, `deleted`, `young` (started half a minute ago
/// and just became ready), `unready` (it has never been ready), or `lost` (it was).
fn pod(number: usize, state: &str) -> Arc<Pod> {
    let time = |seconds: i64| json!(at(seconds).to_string());
    let hour = 60 * MINUTE;
    let (phase, ready, started, changed) = match state {
        "failed" => ("Failed", "False", 0, 0),
        "pending" => ("Pending", "False", 0, 0),
        "young" => ("Running", "True", hour - 30, hour - 5),
        "unready" => ("Running", "False", 0, 10),
        "lost" => ("Running", "False", 0, 40 * MINUTE),
        _ => ("Running", "True", 0, 10),
    };
    let mut pod = json!({
        "metadata": {"name": format!("p{number}"), "namespace": "n"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Ki"}}}]},
        "status": {
            "phase": phase, "startTime": time(started),
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": time(changed)}],
        },
    });
    if state == "deleted" {
        pod["metadata"]["deletionTimestamp"] = time(hour);
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn pods(states: &str) -> Vec<Arc<Pod>> {
    states.split_whitespace().enumerate().map(|(number, state)| pod(number, state)).collect()
}

/// What pods use, in percent of a processor; `-` where nothing is known.
fn metrics(values: &str) -> PodMetrics {
    let metric = |value: &str| {
        let value = value.parse::<i64>().ok()? * 10;
        Some(PodMetric { time: now(), window: Duration::from_secs(30), value })
    };
    let named = values.split_whitespace().enumerate();
    named.filter_map(|(number, value)| Some((format!("p{number}"), metric(value)?))).collect()
}

fn basis(pods: &[Arc<Pod>], current: i32) -> Basis<'_> {
    Basis {
        pods,
        current,
        existing: current,
        tolerances: Tolerances { down: 0.1, up: 0.1 },
        patience: Patience { initialization: Duration::from_secs(300), readiness_delay: Duration::from_secs(30) },
        now: now(),
    }
}

#[test]
fn utilization_makes_replicas() {
    // States, usage in percent, target, replicas now; replicas and percent.
    let cases = [
        ("ready ready ready", "30 50 70", 30, Ok((5, 50))),
        ("ready ready ready", "10 10 10", 50, Ok((1, 10))),
        ("ready ready ready", "50 50 54", 50, Ok((3, 51))),
        ("ready ready", "100 100", 50, Ok((4, 100))),
        // What is not ready counts as idle where there are too few.
        ("ready ready pending", "90 90 -", 50, Ok((4, 90))),
        ("ready ready unready", "90 90 90", 50, Ok((4, 90))),
        ("ready ready young", "90 90 500", 50, Ok((4, 90))),
        // It was ready once, so that what it uses is its own.
        ("ready ready lost", "90 90 90", 50, Ok((6, 90))),
        // Of what nothing is known is busy where there are too many, and idle where there are too few.
        ("ready ready ready", "10 10 -", 50, Ok((3, 10))),
        ("ready ready ready", "90 90 -", 50, Ok((4, 90))),
        ("ready ready ready", "60 60 -", 50, Ok((3, 60))),
        // What ends does not count.
        ("ready failed deleted", "100 100 100", 50, Ok((2, 100))),
        ("", "", 50, Err(NO_PODS)),
        ("ready", "", 50, Err(NO_METRICS)),
        ("pending", "90", 50, Err(NO_METRICS)),
    ];
    for (states, usage, target, expected) in cases {
        let pods = pods(states);
        let basis = basis(&pods, i32::try_from(pods.len()).unwrap());
        let got = by_utilization(&basis, metrics(usage), ("cpu", ""), target);
        let got = got.map(|proposal| (proposal.replicas, proposal.utilization.unwrap()));
        assert_eq!(got, expected.map_err(str::to_owned), "{states}: {usage}");
    }
}

#[test]
fn averages_make_replicas() {
    // Targets are in percent of a processor, too.
    let cases = [
        ("ready ready ready", "30 50 70", 30, 5),
        ("ready ready ready", "10 10 10", 50, 1),
        ("ready ready ready", "10 10 -", 50, 2),
        ("ready ready ready", "90 90 -", 50, 4),
        // Nothing is said of processors, so that it does not matter who is ready.
        ("ready ready unready", "90 90 90", 50, 6),
    ];
    for (states, usage, target, expected) in cases {
        let pods = pods(states);
        let got = by_average(&basis(&pods, 3), metrics(usage), "", target * 10).unwrap();
        assert_eq!(got.replicas, expected, "{states}: {usage}");
    }
}

#[test]
fn values_make_replicas() {
    let three = pods("ready ready unready");
    for (current, value, target, expected) in [(3, 200, 100, 4), (3, 105, 100, 3), (3, 10, 100, 1), (0, 350, 100, 4)] {
        assert_eq!(by_value(&basis(&three, current), value, target).unwrap().replicas, expected, "{value}");
    }
    let none = by_value(&basis(&[], 3), 200, 100).unwrap_err();
    assert_eq!(none, format!("unable to calculate ready pods: {NO_PODS}"));
    for (existing, value, expected) in [(3, 600, (6, 200)), (3, 310, (3, 104)), (3, 150, (2, 50))] {
        let got = by_share(&basis(&three, existing), value, 100);
        assert_eq!((got.replicas, got.value), expected, "{value}");
    }
}

fn asking(spec: Value) -> Arc<Pod> {
    Arc::new(serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
}

#[test]
fn requests_are_of_a_container_or_a_pod() {
    let container = |name: &str, requests: Value| json!({"name": name, "resources": {"requests": requests}});
    let two = json!({
        "containers": [container("a", json!({"cpu": "100m", "memory": "1Ki"})), container("b", json!({"cpu": "1"}))],
        "initContainers": [
            container("once", json!({"cpu": "5"})),
            {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "10m"}}},
        ],
    });
    let mut whole = two.clone();
    whole["resources"] = json!({"requests": {"memory": "4Ki"}});
    let bare = json!({"containers": [{"name": "a"}], "resources": {"requests": {"memory": "4Ki"}}});
    let cases = [
        (&two, "", "cpu", Ok(1110)),
        (&two, "a", "cpu", Ok(100)),
        (&two, "sidecar", "cpu", Ok(10)),
        (&two, "", "memory", Err("missing request for memory in container b of Pod p")),
        (&two, "b", "memory", Err("missing request for memory in container b of Pod p")),
        (&two, "once", "cpu", Err("container once not found in Pod p")),
        (&whole, "", "memory", Ok(4_096_000)),
        (&whole, "a", "memory", Ok(1_024_000)),
        (&whole, "", "cpu", Ok(1110)),
        (&bare, "", "cpu", Err("missing pod-level request for cpu in Pod p")),
    ];
    for (spec, container, resource, expected) in cases {
        let got = requests(&[asking(spec.clone())], container, resource).map(|requests| requests["p"]);
        assert_eq!(got, expected.map_err(str::to_owned), "{container} {resource}");
    }
}

proptest! {
    /// Whatever kubelets and pods say, there is a number, or a reason why there is none.
    #[test]
    fn replicas_follow_usage(
        states in prop::collection::vec(0_usize..7, 1..20),
        usage in prop::collection::vec(prop::option::of(0..i64::MAX), 20),
        current in 0_i32..1000,
        target in 1_i32..1000,
    ) {
        const STATES: [&str; 7] = ["ready", "failed", "pending", "deleted", "young", "unready", "lost"];
        let pods: Vec<_> = states.iter().enumerate().map(|(number, state)| pod(number, STATES[*state])).collect();
        let metric = |value: i64| PodMetric { time: now(), window: Duration::from_secs(30), value };
        let metrics: PodMetrics = usage
            .iter()
            .enumerate()
            .filter_map(|(number, value)| Some((format!("p{number}"), metric((*value)?))))
            .collect();
        let basis = basis(&pods, current);
        if let Ok(got) = by_utilization(&basis, metrics.clone(), ("cpu", ""), target) {
            prop_assert!(got.replicas >= 0);
        }
        let _ = by_average(&basis, metrics, "memory", i64::from(target));
        let _ = by_value(&basis, usage[0].unwrap_or(0), i64::from(target));
        by_share(&basis, usage[0].unwrap_or(0), i64::from(target));
    }

    /// Pods that all use the same, and are ready, become as many as it takes.
    #[test]
    fn enough_is_enough(count in 1_usize..50, percent in 1_i64..1000, target in 1_i32..200) {
        let pods: Vec<_> = (0..count).map(|number| pod(number, "ready")).collect();
        let usage = PodMetric { time: now(), window: Duration::from_secs(30), value: percent * 10 };
        let metrics: PodMetrics = (0..count).map(|number| (format!("p{number}"), usage)).collect();
        let current = i32::try_from(count).unwrap();
        let got = by_utilization(&basis(&pods, current), metrics, ("cpu", ""), target).unwrap().replicas;
        let load = percent * i64::from(current);
        if got != current {
            prop_assert!(i64::from(got) * i64::from(target) >= load, "not enough");
            prop_assert!(i64::from(got - 1) * i64::from(target) <= load, "too many");
        }
    }
}
