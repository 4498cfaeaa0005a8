use serde_json::{Value, json};

use super::*;
use crate::{
    framework::{Failure, Sampling, schedule, unschedulable_message},
    model::PodDisruptionBudget,
    testing::{Cluster, in_zone, labelled, node, profile, with_candidate},
};

/// A pod that asks for CPUs.
fn pod(uid: &str, priority: i32, cpu: &str) -> Value {
    let spec = json!({"priority": priority, "containers": [{"resources": {"requests": {"cpu": cpu}}}]});
    labelled(uid, json!({"app": uid.split('-').next()}), spec)
}

fn started(mut pod: Value, hour: u32) -> Value {
    pod["status"]["startTime"] = format!("2026-01-01T{hour:02}:00:00Z").into();
    pod
}

fn failure(cluster: &mut Cluster, own: &Value) -> Failure {
    cluster.cache.refresh(&mut cluster.snapshot);
    let tie = &mut |_: usize| 0;
    with_candidate(own, |own| schedule(&profile(), &cluster.snapshot, own, Sampling::default(), tie).unwrap_err())
}

/// `node: victims`, or what is said.
fn rescue(cluster: &mut Cluster, own: &Value) -> String {
    let failure = failure(cluster, own);
    match failure.rescue.clone() {
        Rescue::Possible(candidates) => {
            let victims = best(candidates).unwrap();
            let names: Vec<&str> = victims.pods.iter().map(|pod| pod.uid()).collect();
            format!("{}: {}", victims.node, names.join(" "))
        }
        _ => unschedulable_message(&failure),
    }
}

fn budget(cluster: &mut Cluster, app: &str, allowed: i32) {
    let budget = json!({"metadata": {"name": app, "namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"app": app}}}, "status": {"disruptionsAllowed": allowed}});
    let budget: PodDisruptionBudget = serde_json::from_value(budget).unwrap();
    cluster.snapshot.directory().add_budget(budget);
}

#[test]
fn the_fewest_and_least_important_go() {
    let mut cluster = Cluster::of(&[node("a", json!({}))]);
    for (uid, priority, cpu) in [("low-1", 1, "1"), ("low-2", 1, "2"), ("mid", 5, "1")] {
        cluster.place(&pod(uid, priority, cpu), "a");
    }
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "1")), "a: low-2", "all but it can stay");
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "3")), "a: low-1 low-2");
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "4")), "a: mid low-1 low-2", "the most important first");
    assert_eq!(
        rescue(&mut cluster, &pod("u", 1, "1")),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
         1 No preemption victims found for incoming pod."
    );
    assert_eq!(
        rescue(&mut cluster, &pod("u", 5, "4")),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu."
    );
    assert_eq!(
        rescue(&mut cluster, &pod("u", 9, "5")),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
         1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn who_has_run_for_longer_stays() {
    let mut cluster = Cluster::of(&[node("a", json!({}))]);
    cluster.place(&started(pod("old", 1, "2"), 1), "a");
    cluster.place(&started(pod("new", 1, "2"), 2), "a");
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "1")), "a: new");
    cluster.place(&pod("new", 1, "2"), "a");
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "1")), "a: new", "what has not started is the newest");
}

#[test]
fn budgets_protect_as_far_as_can_be() {
    let mut cluster = Cluster::of(&[node("a", json!({})), node("b", json!({}))]);
    cluster.place(&started(pod("kept-1", 1, "2"), 9), "a");
    cluster.place(&started(pod("free-1", 1, "2"), 1), "a");
    cluster.place(&started(pod("kept-2", 1, "4"), 2), "b");
    budget(&mut cluster, "kept", 0);
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "2")), "a: free-1", "though it is older");
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "4")), "b: kept-2", "if it must be, the fewest violations");
    budget(&mut cluster, "kept", 1);
    assert_eq!(rescue(&mut cluster, &pod("u", 9, "2")), "a: kept-1", "one may go");
}

#[test]
fn where_it_hurts_least() {
    // What decides, who is where, and who goes.
    type Case = (&'static str, Vec<(&'static str, Value)>, &'static str);
    let cases: [Case; 5] = [
        ("the highest priority", vec![("a", pod("x", 3, "4")), ("b", pod("y", 2, "4"))], "b: y"),
        (
            "the sum",
            vec![
                ("a", pod("x-1", 3, "2")),
                ("a", pod("x-2", 3, "2")),
                ("b", pod("y-1", 3, "2")),
                ("b", pod("y-2", 2, "2")),
            ],
            "b: y-1 y-2",
        ),
        (
            "few with negative priorities",
            vec![("a", pod("x-1", -3, "2")), ("a", pod("x-2", -3, "2")), ("b", pod("y", -3, "4"))],
            "b: y",
        ),
        ("who came last", vec![("a", started(pod("x", 3, "4"), 1)), ("b", started(pod("y", 3, "4"), 2))], "b: y"),
        ("the first", vec![("a", started(pod("x", 3, "4"), 1)), ("b", started(pod("y", 3, "4"), 1))], "a: x"),
    ];
    for (what, placed, expected) in cases {
        let mut cluster = Cluster::of(&[node("a", json!({})), node("b", json!({}))]);
        placed.iter().for_each(|(node, pod)| cluster.place(pod, node));
        assert_eq!(rescue(&mut cluster, &pod("u", 9, "4")), expected, "{what}");
    }
}

#[test]
fn what_no_pod_stands_in_the_way_of_is_not_looked_at() {
    let cordoned = node("cordoned", json!({"spec": {"unschedulable": true}}));
    let mut cluster = Cluster::of(&[node("a", json!({})), cordoned]);
    cluster.place(&pod("x", 9, "4"), "a");
    cluster.place(&pod("y", 1, "4"), "cordoned");
    assert_eq!(
        rescue(&mut cluster, &pod("u", 9, "1")),
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are available: \
         1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn who_may_not_make_others_go() {
    let mut cluster = Cluster::of(&[node("a", json!({}))]);
    let mut victim = pod("x", 1, "4");
    cluster.place(&victim, "a");
    let mut own = pod("u", 9, "1");
    own["spec"]["preemptionPolicy"] = "Never".into();
    assert_eq!(
        rescue(&mut cluster, &own),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    );
    let mut own = pod("u", 9, "1");
    own["status"]["nominatedNodeName"] = "a".into();
    victim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    cluster.place(&victim, "a");
    assert_eq!(rescue(&mut cluster, &own), "a: x", "it goes, but for another reason");
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"});
    victim["status"] = json!({"conditions": [condition]});
    cluster.place(&victim, "a");
    assert_eq!(
        rescue(&mut cluster, &own),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a terminating pod on the \
         nominated node."
    );
    own["status"]["nominatedNodeName"] = "gone".into();
    assert_eq!(rescue(&mut cluster, &own), "a: x");
}

#[test]
fn room_that_is_kept_is_respected() {
    let mut cluster = Cluster::of(&[node("a", json!({})), node("b", json!({}))]);
    cluster.place(&pod("x", 1, "4"), "b");
    cluster.cache.nominate(&crate::testing::pod(&pod("first", 5, "4")).info, "a");
    let message = "0/2 nodes are available: 2 Insufficient cpu.";
    assert!(cluster.decide(&pod("u", 1, "1")).unwrap_err().starts_with(message));
    assert_eq!(rescue(&mut cluster, &pod("u", 5, "1")), "b: x", "one as important takes other room");
    assert_eq!(cluster.decide(&pod("u", 6, "1")), Ok("a".to_owned()), "a more important one takes it");
    let mut own = pod("first", 5, "4");
    own["status"] = json!({"nominatedNodeName": "a"});
    assert_eq!(cluster.decide(&own), Ok("a".to_owned()), "it is kept for this one");
}

#[test]
fn the_node_where_room_was_made_is_asked_first() {
    let mut cluster = Cluster::of(&[node("a", json!({})), node("b", json!({}))]);
    cluster.place(&pod("x", 1, "1"), "b");
    let mut own = pod("u", 9, "1");
    own["status"] = json!({"nominatedNodeName": "b"});
    assert_eq!(cluster.decide(&own), Ok("b".to_owned()));
    cluster.place(&pod("y", 1, "3"), "b");
    assert_eq!(cluster.decide(&own), Ok("a".to_owned()));
}

#[test]
fn who_is_shunned_goes() {
    let shy = json!([{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    let spec = json!({"priority": 9, "affinity":
        {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": shy}}});
    let mut cluster = Cluster::of(&[in_zone("a", "1"), in_zone("b", "2")]);
    cluster.place(&labelled("x-1", json!({"app": "web"}), json!({"priority": 1})), "a");
    cluster.place(&labelled("x-2", json!({"app": "web"}), json!({"priority": 9})), "b");
    cluster.place(&labelled("other", json!({}), json!({"priority": 0})), "a");
    assert_eq!(rescue(&mut cluster, &labelled("u", json!({}), spec)), "a: x-1");
}

#[test]
fn spreading_is_kept_when_pods_go() {
    let constraint = json!([{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}}]);
    let mut cluster = Cluster::of(&[in_zone("a", "1"), in_zone("b", "2")]);
    for (uid, node, priority) in [("web-1", "a", 9), ("web-2", "a", 9), ("web-3", "b", 1), ("other", "b", 0)] {
        cluster.place(&pod(uid, priority, "2"), node);
    }
    let mut own = pod("web-4", 9, "2");
    own["spec"]["topologySpreadConstraints"] = constraint;
    assert_eq!(rescue(&mut cluster, &own), "b: other");
}

#[test]
fn the_search_ends_when_there_is_enough_to_choose_from() {
    let nodes: Vec<Value> = (0..30).map(|i| node(&format!("n{i:02}"), json!({}))).collect();
    let mut cluster = Cluster::of(&nodes);
    for i in 0..30 {
        cluster.place(&pod(&format!("x-{i}"), 1, "4"), &format!("n{i:02}"));
    }
    cluster.cache.refresh(&mut cluster.snapshot);
    let own = crate::testing::pod(&pod("u", 9, "1"));
    let candidate = Candidate { pod: &own, info: &own.info };
    let filters = profile();
    let filters = crate::framework::Filters::prepare(&filters, candidate, &cluster.snapshot).unwrap();
    let failure = Failure { nodes: 30, in_the_way: InTheWay::Everywhere, ..Failure::default() };
    let unplaced =
        Unplaced { candidate, snapshot: &cluster.snapshot, filters: Some(&filters), failure: &failure, turn: 28 };
    let args = Args { min_candidate_nodes_percentage: Some(10), min_candidate_nodes_absolute: Some(2) };
    let found = DefaultPreemption::new(args, &Path::default()).unwrap().candidates(&unplaced).unwrap();
    assert_eq!(found.iter().map(|victims| &*victims.node).collect::<Vec<_>>(), ["n28", "n29", "n00"]);
}

#[test]
fn arguments_are_checked() {
    let wrong = |percentage: i64, absolute: i64| {
        let args =
            Args { min_candidate_nodes_percentage: Some(percentage), min_candidate_nodes_absolute: Some(absolute) };
        DefaultPreemption::new(args, &Path::default()).err().map_or(0, |errors| errors.len())
    };
    assert_eq!((wrong(10, 100), wrong(0, 1), wrong(1, 0)), (0, 0, 0));
    assert_eq!((wrong(101, 1), wrong(-1, -1), wrong(0, 0)), (1, 2, 2));
}
