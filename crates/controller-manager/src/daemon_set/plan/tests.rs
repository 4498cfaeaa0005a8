use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{daemon_set::status::next_available, history::REVISION_LABEL};

/// A pod of revision `hash`, created at this second.
fn pod(name: &str, hash: &str, state: &str, created: i64) -> Arc<Pod> {
    let phase = match state {
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        _ => "Running",
    };
    let ready = if state == "ready" || state == "going" { "True" } else { "False" };
    let time = |second| Timestamp::from_second(second).unwrap().to_string();
    let pod = json!({
        "metadata": {
            "name": name, "uid": name, "labels": {REVISION_LABEL: hash}, "creationTimestamp": time(created),
            "deletionTimestamp": (state == "going").then(|| time(50)),
        },
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": time(0)}]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn node(presence: Presence, pods: &[(&str, &str)]) -> NodeState {
    let pods = pods
        .iter()
        .enumerate()
        .map(|(i, (hash, state))| pod(&format!("{hash}-{state}-{i}"), hash, state, i64::try_from(i).unwrap()));
    NodeState { presence, exists: true, pods: pods.collect() }
}

fn observed(update: Update, nodes: Vec<NodeState>) -> Observed<'static> {
    Observed {
        nodes: nodes.into_iter().enumerate().map(|(i, node)| (i.to_string(), node)).collect(),
        version: Version { hash: "new", generation: None },
        update,
        min_ready_seconds: 0,
        now: Timestamp::from_second(100).unwrap(),
    }
}

const UPDATES: [Update; 3] =
    [Update::OnDelete, Update::Rolling { unavailable: 1, surge: 0 }, Update::Rolling { unavailable: 0, surge: 1 }];

#[test]
fn every_node_has_one_pod() {
    let wanted = |pods: &[(&str, &str)]| node(Presence::Wanted, pods);
    let (yes, no, surging) = ((true, true), (false, false), (false, true));
    // A node; whether it gets a pod, and whether it does when it may have two; whose pods go.
    let cases: [(NodeState, (bool, bool), &[&str]); 10] = [
        (wanted(&[]), yes, &[]),
        (wanted(&[("new", "ready")]), no, &[]),
        (wanted(&[("new", "going")]), surging, &[]),
        (wanted(&[("new", "going"), ("new", "unready")]), no, &[]),
        (wanted(&[("new", "ready"), ("new", "ready")]), no, &["new-ready-1"]),
        (wanted(&[("new", "succeeded")]), surging, &["new-succeeded-0"]),
        (wanted(&[("new", "failed")]), surging, &["new-failed-0"]),
        (node(Presence::Tolerated, &[("new", "going")]), no, &[]),
        (node(Presence::Tolerated, &[("new", "ready")]), no, &[]),
        (node(Presence::Unwanted, &[("new", "ready"), ("new", "going")]), no, &["new-ready-0"]),
    ];
    for update in UPDATES {
        for (node, (creates, creates_when_surging), deletes) in &cases {
            let creates = if update.surges() { creates_when_surging } else { creates };
            let plan = plan(&observed(update.clone(), vec![node.clone()]));
            assert_eq!(plan.create.len(), usize::from(*creates), "{node:?}");
            let failed = plan.failed.iter().map(|(_, pod)| pod);
            let gone: Vec<&str> =
                plan.delete.iter().chain(failed).chain(&plan.succeeded).map(|pod| pod.uid()).collect();
            assert_eq!(gone, *deletes, "{node:?}");
        }
    }
}

#[test]
fn a_new_pod_is_waited_for_beside_an_old_one() {
    let surge = Update::Rolling { unavailable: 0, surge: 1 };
    let mut observed = observed(surge, vec![node(Presence::Wanted, &[("old", "ready"), ("new", "ready")])]);
    observed.min_ready_seconds = 130;
    assert_eq!(next_available(&observed), Timestamp::from_second(130).ok(), "ready since 0");
    assert!(plan(&observed).is_empty(), "neither is available");
    observed.now = Timestamp::from_second(130).unwrap();
    assert_eq!(next_available(&observed), None);
    let gone: Vec<String> = plan(&observed).delete.iter().map(|pod| pod.uid().to_owned()).collect();
    assert_eq!(gone, ["old-ready-0"]);
}

#[test]
fn what_waits_for_a_node_that_is_gone_goes() {
    let mut gone = node(Presence::Unwanted, &[("new", "ready"), ("new", "unready")]);
    gone.exists = false;
    let mut waiting = (*gone.pods[1]).clone();
    waiting.spec.node_name = None;
    gone.pods[1] = Arc::new(waiting);
    let plan = plan(&observed(Update::OnDelete, vec![gone]));
    assert_eq!(plan.delete.iter().map(|pod| pod.uid()).collect::<Vec<_>>(), ["new-unready-1"]);
}

#[test]
fn a_failed_pod_of_old_does_not_stop_the_others() {
    let nodes = vec![
        node(Presence::Wanted, &[("new", "failed")]),
        node(Presence::Wanted, &[("old", "ready")]),
        node(Presence::Wanted, &[("old", "failed")]),
    ];
    let plan = plan(&observed(Update::Rolling { unavailable: 3, surge: 0 }, nodes));
    assert_eq!(plan.failed.len(), 1, "the old one is replaced at once");
    assert_eq!(plan.delete.iter().map(|pod| pod.uid()).collect::<Vec<_>>(), ["old-failed-0", "old-ready-0"]);
}

#[test]
fn where_it_should_not_run_it_stays_until_it_runs_elsewhere() {
    let tolerated = || node(Presence::Tolerated, &[("old", "ready")]);
    let surge = Update::Rolling { unavailable: 0, surge: 1 };
    let before = plan(&observed(surge.clone(), vec![tolerated(), node(Presence::Wanted, &[("new", "unready")])]));
    assert!(before.is_empty(), "{before:?}");
    let after = plan(&observed(surge, vec![tolerated(), node(Presence::Wanted, &[("new", "ready")])]));
    assert_eq!(after.delete.len(), 1);
}

#[test]
fn strategies_are_read() {
    let cases = [
        (json!({"type": "OnDelete"}), Update::OnDelete),
        (json!({"type": "RollingUpdate"}), Update::Rolling { unavailable: 1, surge: 0 }),
        (
            json!({"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 0}}),
            Update::Rolling { unavailable: 3, surge: 0 },
        ),
        (
            json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "1%"}}),
            Update::Rolling { unavailable: 0, surge: 1 },
        ),
    ];
    for (strategy, expected) in cases {
        let strategy: DaemonSetUpdateStrategy = serde_json::from_value(strategy).unwrap();
        assert_eq!(Update::of(Some(&strategy), 10), expected);
    }
}

fn is_available(pod: &Pod) -> bool {
    is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
}

fn serves(node: &NodeState) -> bool {
    node.pods.iter().any(|pod| is_available(pod))
}

/// Carries a plan out; new pods are ready when `ready` says so.
fn carry_out(observed: &mut Observed<'_>, plan: &Plan, step: i64, ready: &mut dyn FnMut() -> bool) {
    for node in observed.nodes.values_mut() {
        for own in &mut node.pods {
            if !is_available(own) && own.label(REVISION_LABEL) == Some("new") && ready() {
                *own = pod(own.uid(), "new", "ready", step);
            }
        }
        node.pods.retain(|pod| plan.delete.iter().all(|gone| gone.uid() != pod.uid()));
    }
    for name in &plan.create {
        let new = pod(&format!("created-{step}-{name}"), "new", "unready", step);
        observed.nodes.get_mut(name).unwrap().pods.push(new);
    }
}

proptest! {
    /// However fast pods become ready: never are more nodes without a pod than allowed, unless they were from the start,
    /// never have more two pods; and it comes to an end.
    #[test]
    fn a_rollout_keeps_within_its_limits(
        start in proptest::collection::vec(any::<bool>(), 1..9),
        unavailable in 0_usize..4,
        surge in 0_usize..4,
        luck in proptest::collection::vec(any::<bool>(), 1..40),
    ) {
        prop_assume!(unavailable + surge > 0);
        let nodes = start.iter().map(|ready| node(Presence::Wanted, &[("old", if *ready { "ready" } else { "unready" })]));
        let nodes = nodes.enumerate().map(|(i, mut node)| {
            let state = if serves(&node) { "ready" } else { "unready" };
            node.pods = vec![pod(&format!("old-{i}"), "old", state, 0)];
            node
        });
        let mut observed = observed(Update::Rolling { unavailable, surge }, nodes.collect());
        let mut luck = luck.into_iter();
        for step in 1..200 {
            let before = observed.nodes.values().filter(|node| !serves(node)).count();
            let plan = plan(&observed);
            let taken = plan.delete.iter().filter(|pod| is_available(pod)).count();
            if surge == 0 {
                prop_assert!(taken == 0 || before + taken <= unavailable, "{before} missing, {taken} taken");
            } else {
                for gone in plan.delete.iter().filter(|pod| is_available(pod)) {
                    let node = observed.nodes.values().find(|node| node.pods.iter().any(|pod| pod.uid() == gone.uid()));
                    prop_assert!(node.unwrap().pods.iter().filter(|pod| is_available(pod)).count() > 1);
                }
            }
            // Who runs out of luck is ready at once.
            carry_out(&mut observed, &plan, step, &mut || luck.next().unwrap_or(true));
            let doubled = observed.nodes.values().filter(|node| {
                node.pods.len() > 1 && node.pods.iter().any(|pod| is_available(pod) && pod.label(REVISION_LABEL) == Some("old"))
            });
            prop_assert!(doubled.count() <= surge);
        }
        for node in observed.nodes.values() {
            prop_assert_eq!(node.pods.len(), 1);
            prop_assert_eq!(node.pods[0].label(REVISION_LABEL), Some("new"));
        }
    }
}
