use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    framework::{Change, Hint},
    testing::{Cluster, hint, in_zone, labelled, node, shared},
};

fn spread(constraints: Value) -> Value {
    labelled("u", json!({"app": "web"}), json!({"topologySpreadConstraints": constraints}))
}

fn constraint(key: &str, max_skew: i32, when: &str) -> Value {
    json!({"topologyKey": key, "maxSkew": max_skew, "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"app": "web"}}})
}

fn hard(key: &str, max_skew: i32) -> Value {
    constraint(key, max_skew, "DoNotSchedule")
}

fn with(mut constraint: Value, field: &str, value: Value) -> Value {
    constraint[field] = value;
    constraint
}

/// Two zones, of two nodes and one; two pods in the first zone, none in the second.
fn cluster() -> Cluster {
    let mut cluster = Cluster::of(&[in_zone("a1", "a"), in_zone("a2", "a"), in_zone("b1", "b")]);
    for (uid, node) in [("1", "a1"), ("2", "a2")] {
        cluster.place(&labelled(uid, json!({"app": "web"}), json!({})), node);
    }
    // Others do not count: another app, another namespace, one on its way out.
    cluster.place(&labelled("3", json!({"app": "db"}), json!({})), "b1");
    cluster.place(&json!({"metadata": {"uid": "4", "namespace": "other", "labels": {"app": "web"}}}), "b1");
    let mut leaving = labelled("5", json!({"app": "web"}), json!({}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    cluster.place(&leaving, "b1");
    cluster
}

fn fitting(cluster: &mut Cluster, constraints: Value) -> Vec<String> {
    let said = cluster.fits(&spread(constraints));
    said.iter().filter_map(|said| said.strip_suffix(": yes")).map(str::to_owned).collect()
}

#[test]
fn the_emptiest_domain_takes_the_pod() {
    let cases = [
        (json!([hard("zone", 1)]), vec!["b1"]),
        (json!([hard("zone", 2)]), vec!["b1"]),
        (json!([hard("zone", 3)]), vec!["a1", "a2", "b1"]),
        (json!([hard("kubernetes.io/hostname", 1)]), vec!["b1"]),
        (json!([hard("kubernetes.io/hostname", 2)]), vec!["a1", "a2", "b1"]),
        // With fewer than three zones there might as well be an empty one.
        (json!([with(hard("zone", 2), "minDomains", json!(3))]), vec!["b1"]),
        (json!([with(hard("zone", 1), "labelSelector", json!(null))]), vec!["a1", "a2", "b1"]),
        (json!([with(hard("zone", 1), "labelSelector", json!({}))]), vec!["a1", "a2", "b1"]),
        (
            json!([with(hard("zone", 1), "labelSelector", json!({"matchLabels": {"app": "db"}}))]),
            vec!["a1", "a2", "b1"],
        ),
        (json!([constraint("zone", 1, "ScheduleAnyway")]), vec!["a1", "a2", "b1"]),
        (json!([hard("zone", 3), hard("kubernetes.io/hostname", 1)]), vec!["b1"]),
    ];
    for (constraints, expected) in cases {
        assert_eq!(fitting(&mut cluster(), constraints.clone()), expected, "{constraints}");
    }
}

#[test]
fn a_node_without_the_label_never_does() {
    let mut cluster = Cluster::of(&[in_zone("a1", "a"), node("plain", json!({}))]);
    let missing = "plain: node(s) didn't match pod topology spread constraints (missing required label) (NeverHere)";
    assert_eq!(cluster.fits(&spread(json!([hard("zone", 1)]))), ["a1: yes", missing]);
}

#[test]
fn nodes_that_do_not_count_hold_no_domain_down() {
    let tainted = node(
        "b1",
        json!({"metadata": {"labels": {"zone": "b"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
    );
    let mut cluster = Cluster::of(&[in_zone("a1", "a"), tainted]);
    cluster.place(&labelled("1", json!({"app": "web"}), json!({})), "a1");
    assert!(fitting(&mut cluster, json!([hard("zone", 1)])).is_empty());
    assert_eq!(fitting(&mut cluster, json!([with(hard("zone", 1), "nodeTaintsPolicy", json!("Honor"))])), ["a1"]);
    let mut picky = spread(json!([hard("zone", 1)]));
    picky["spec"]["nodeSelector"] = json!({"zone": "a"});
    assert_eq!(cluster.fits(&picky)[0], "a1: yes");
    picky["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
    assert!(cluster.fits(&picky)[0].contains("NotNow"));
}

#[test]
fn only_pods_with_the_same_values_count() {
    let mut cluster = cluster();
    let mut pod = spread(json!([with(hard("zone", 1), "matchLabelKeys", json!(["version", "absent"]))]));
    pod["metadata"]["labels"]["version"] = json!("2");
    assert!(cluster.fits(&pod).iter().all(|said| said.ends_with("yes")));
}

#[test]
fn a_pod_that_goes_makes_room() {
    let mut cluster = cluster();
    let pod = spread(json!([hard("kubernetes.io/hostname", 1)]));
    let without = cluster.fits_without(&pod, "a1", |pod| pod.kin.labels["app"] == "web");
    assert_eq!(without, ["a1: yes", "a2: node(s) didn't match pod topology spread constraints (NotNow)", "b1: yes"]);
}

#[test]
fn soft_constraints_choose_among_what_fits() {
    let mut cluster = cluster();
    assert_eq!(cluster.decide(&spread(json!([constraint("zone", 1, "ScheduleAnyway")]))).unwrap(), "b1");
    assert_eq!(
        cluster.decide(&spread(json!([constraint("kubernetes.io/hostname", 1, "ScheduleAnyway")]))).unwrap(),
        "b1"
    );
}

#[test]
fn hints() {
    let own = spread(json!([hard("zone", 1)]));
    let pod = |labels: Value| shared(labelled("x", labels, json!({"nodeName": "n"})));
    let pods = |old, new| Change::Pod { old, new };
    let nodes =
        |old: Option<Value>, new: Option<Value>| Change::Node { old: old.and_then(shared), new: new.and_then(shared) };
    let (web, db) = (json!({"app": "web"}), json!({"app": "db"}));
    let cases = [
        (pods(None, pod(web.clone())), Hint::Queue),
        (pods(pod(web.clone()), None), Hint::Queue),
        (pods(pod(web), pod(db.clone())), Hint::Queue),
        (pods(pod(db), None), Hint::Skip),
        (nodes(None, Some(in_zone("n", "a"))), Hint::Queue),
        (nodes(Some(in_zone("n", "a")), None), Hint::Queue),
        (nodes(None, Some(node("n", json!({})))), Hint::Skip),
        (nodes(Some(in_zone("n", "a")), Some(in_zone("n", "b"))), Hint::Queue),
        (nodes(Some(in_zone("n", "a")), Some(in_zone("n", "a"))), Hint::Skip),
    ];
    for (at, (change, expected)) in cases.iter().enumerate() {
        assert_eq!(hint("PodTopologySpread", &own, change), *expected, "{at}");
    }
}

/// A cluster that nobody thought of.
#[derive(Clone, Debug)]
struct Case {
    /// The zone of each node.
    nodes: Vec<usize>,
    /// Pods that are there: on which node, and whether they are spread, too.
    placed: Vec<(usize, bool)>,
    max_skew: i32,
    min_domains: Option<i32>,
    by_host: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let placed = prop::collection::vec((0..9usize, any::<bool>()), 0..20);
    let nodes = prop::collection::vec(0..4usize, 1..9);
    (nodes, placed, 1..4i32, prop::option::of(1..6i32), any::<bool>()).prop_map(
        |(nodes, placed, max_skew, min_domains, by_host)| Case { nodes, placed, max_skew, min_domains, by_host },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_decision_exceeds_the_skew(case in cases()) {
        let name = |at: usize| format!("n{at}");
        let zone = |at: usize| format!("z{}", case.nodes[at]);
        let nodes: Vec<Value> = (0..case.nodes.len()).map(|at| in_zone(&name(at), &zone(at))).collect();
        let mut cluster = Cluster::of(&nodes);
        let domain = |at: usize| if case.by_host { name(at) } else { zone(at) };
        let mut counts: BTreeMap<String, i32> = (0..case.nodes.len()).map(|at| (domain(at), 0)).collect();
        for (uid, (at, spread)) in case.placed.iter().enumerate() {
            let at = at % case.nodes.len();
            let app = if *spread { "web" } else { "db" };
            cluster.place(&labelled(&format!("there-{uid}"), json!({"app": app}), json!({})), &name(at));
            *counts.get_mut(&domain(at)).unwrap() += i32::from(*spread);
        }
        let key = if case.by_host { "kubernetes.io/hostname" } else { "zone" };
        let constraint = with(hard(key, case.max_skew), "minDomains", json!(case.min_domains));
        for round in 0..12 {
            let mut pod = spread(json!([constraint]));
            pod["metadata"]["uid"] = format!("new-{round}").into();
            let Ok(node) = cluster.decide(&pod) else { break };
            let at: usize = node[1..].parse().unwrap();
            let too_few = case.min_domains.is_some_and(|least| i32::try_from(counts.len()).unwrap() < least);
            let least = if too_few { 0 } else { *counts.values().min().unwrap() };
            let count = counts.get_mut(&domain(at)).unwrap();
            *count += 1;
            prop_assert!(*count - least <= case.max_skew, "{node}: {counts:?}");
            cluster.place(&pod, &node);
        }
    }
}
