use std::sync::Arc;
use std::time::Duration;

use api_types::core::Pod;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::manager::message;
use super::rank::{Candidate, may_go, rank};
use super::settings::pairs;
use super::tracker::{Step, Tracker};
use super::*;

fn settings(hard: &str, soft: &str, grace: &str) -> Result<Settings, Vec<String>> {
    let list = |text: &str, between| pairs(text, between).unwrap();
    Settings::new(&Given {
        hard: Some(list(hard, '<')),
        soft: list(soft, '<'),
        soft_grace: list(grace, '='),
        ..Given::default()
    })
}

#[test]
fn settings_are_read_or_refused() {
    assert_eq!(Settings::new(&Given::default()).unwrap().thresholds.len(), 5, "upstream's");
    let read = settings("memory.available<1Gi,nodefs.available<10%,imagefs.available<0%", "", "").unwrap();
    let least: Vec<u64> = read.thresholds.iter().map(|threshold| threshold.least(1000)).collect();
    assert_eq!(least, [1 << 30, 100]);
    for (hard, soft, grace) in [
        ("disk<1", "", ""),
        ("memory.available<x", "", ""),
        ("memory.available<-1", "", ""),
        ("memory.available<101%", "", ""),
        ("memory.available<NaN%", "", ""),
        ("", "memory.available<1Gi", ""),
        ("", "memory.available<1Gi", "memory.available=x"),
    ] {
        assert!(settings(hard, soft, grace).is_err(), "{hard} {soft} {grace}");
    }
    assert!(pairs("memory.available", '<').is_err());
}

#[test]
fn pressure_comes_at_once_and_goes_slowly() {
    let settings = settings(
        "memory.available<100",
        "memory.available<200,pid.available<5",
        "memory.available=30s,pid.available=1m",
    )
    .unwrap();
    let mut tracker = Tracker::new(settings.thresholds, Duration::from_secs(60));
    let start = Instant::now();
    // Second, memory left, pressure of memory, and whether a pod goes, for which threshold.
    for (second, left, pressed, urgent) in [
        (0, 500, false, None),
        (10, 150, true, None),
        (39, 150, true, None),
        (40, 150, true, Some(200)),
        (50, 50, true, Some(100)),
        (60, 500, true, None),
        (109, 500, true, None),
        (110, 500, false, None),
        (120, 150, true, None),
    ] {
        let seen = Observations::from([(Signal::Memory, Amount { available: left, capacity: 1000 })]);
        let Step { pressures, urgent: got } = tracker.step(&seen, start + Duration::from_secs(second));
        assert_eq!(pressures.contains(&Pressure::Memory), pressed, "at {second}");
        assert_eq!(got.map(|(threshold, _)| threshold.least(1000)), urgent, "at {second}");
    }
}

fn candidate(name: &str, priority: i32, request: u64, used: u64) -> Candidate {
    let resources: Value = json!({"requests": {"memory": request.to_string()}});
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name},
        "spec": {"priority": priority, "containers": [{"name": "c", "resources": resources}]}}))
    .unwrap();
    Candidate { pod: Arc::new(pod), memory: vec![("c".to_owned(), used)], disk: used, processes: used }
}

#[test]
fn who_takes_more_than_was_asked_for_goes_first() {
    let mut candidates = [
        candidate("modest", 0, 100, 90),
        candidate("greedy", 0, 100, 300),
        candidate("important", 9, 0, 900),
        candidate("greedier", 0, 0, 400),
    ];
    let names = |candidates: &[Candidate]| -> Vec<String> {
        candidates.iter().map(|candidate| candidate.pod.metadata.name.clone().unwrap()).collect()
    };
    rank(&mut candidates, Signal::Memory);
    assert_eq!(names(&candidates), ["greedier", "greedy", "important", "modest"]);
    rank(&mut candidates, Signal::Pid);
    assert_eq!(names(&candidates), ["greedier", "greedy", "modest", "important"]);
}

#[test]
fn what_the_node_is_made_of_stays() {
    for (pod, expected) in [
        (json!({}), true),
        (json!({"spec": {"priority": 2_000_000_000, "containers": []}}), false),
        (json!({"metadata": {"annotations": {"kubernetes.io/config.source": "file"}}}), false),
        (json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}), false),
    ] {
        assert_eq!(may_go(&serde_json::from_value(pod.clone()).unwrap()), expected, "{pod}");
    }
}

#[test]
fn messages_are_upstreams() {
    let threshold = Threshold::parse("memory.available", "100Mi").unwrap().unwrap();
    let amount = Amount { available: 50 << 20, capacity: 1 << 30 };
    assert_eq!(
        message(threshold, amount, &candidate("p", 0, 0, 7 << 20)),
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. \
         Container c was using 7Mi, request is 0, has larger consumption of memory. "
    );
}
