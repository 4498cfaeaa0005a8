use serde_json::{Value, json};

use crate::{
    framework::{Change, Hint},
    testing::{Cluster, hint, in_zone, labelled, node, shared},
};

const NOT_NEAR: &str = "node(s) didn't match pod affinity rules (NeverHere)";
const NEAR: &str = "node(s) didn't match pod anti-affinity rules (NotNow)";
const UNWELCOME: &str = "node(s) didn't satisfy existing pods anti-affinity rules (NotNow)";

fn term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn required(terms: &[Value]) -> Value {
    json!({"requiredDuringSchedulingIgnoredDuringExecution": terms})
}

fn preferred(weight: i32, term: &Value) -> Value {
    json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]})
}

fn near(affinity: Value) -> Value {
    json!({"affinity": {"podAffinity": affinity}})
}

fn far(affinity: Value) -> Value {
    json!({"affinity": {"podAntiAffinity": affinity}})
}

fn pod(spec: Value) -> Value {
    labelled("u", json!({"app": "web"}), spec)
}

/// A database in the first of two zones.
fn cluster() -> Cluster {
    let mut cluster = Cluster::of(&[in_zone("a1", "a"), in_zone("a2", "a"), in_zone("b1", "b")]);
    cluster.place(&labelled("db", json!({"app": "db"}), json!({})), "a1");
    cluster
}

fn check(cluster: &mut Cluster, spec: Value, expected: [&str; 3]) {
    let names = ["a1", "a2", "b1"];
    let expected: Vec<String> = names.iter().zip(expected).map(|(name, said)| format!("{name}: {said}")).collect();
    assert_eq!(cluster.fits(&pod(spec.clone())), expected, "{spec}");
}

#[test]
fn near_and_far() {
    let (zone, host) = (term("zone", "db"), term("kubernetes.io/hostname", "db"));
    check(&mut cluster(), near(required(std::slice::from_ref(&zone))), ["yes", "yes", NOT_NEAR]);
    check(&mut cluster(), near(required(std::slice::from_ref(&host))), ["yes", NOT_NEAR, NOT_NEAR]);
    check(&mut cluster(), near(required(&[zone.clone(), host.clone()])), ["yes", NOT_NEAR, NOT_NEAR]);
    check(&mut cluster(), near(required(&[zone.clone(), term("zone", "cache")])), [NOT_NEAR; 3]);
    check(&mut cluster(), far(required(std::slice::from_ref(&zone))), [NEAR, NEAR, "yes"]);
    check(&mut cluster(), far(required(&[host])), [NEAR, "yes", "yes"]);
    check(&mut cluster(), far(required(&[term("zone", "cache")])), ["yes"; 3]);
}

#[test]
fn the_first_of_a_series_goes_anywhere() {
    check(&mut cluster(), near(required(&[term("zone", "web")])), ["yes"; 3]);
    // Where the label is missing there is no domain to be near in.
    let mut plain = Cluster::of(&[node("n", json!({}))]);
    let said = plain.fits(&pod(near(required(&[term("zone", "web")]))));
    assert_eq!(said, [format!("n: {NOT_NEAR}")]);
    let mut second = cluster();
    second.place(&labelled("web", json!({"app": "web"}), json!({})), "b1");
    check(&mut second, near(required(&[term("zone", "web")])), [NOT_NEAR, NOT_NEAR, "yes"]);
}

#[test]
fn pods_that_are_there_may_object() {
    let mut cluster = cluster();
    let shy = labelled("shy", json!({"app": "cache"}), far(required(&[term("zone", "web")])));
    cluster.place(&shy, "b1");
    check(&mut cluster, json!({}), ["yes", "yes", UNWELCOME]);
    let without = cluster.fits_without(&pod(json!({})), "b1", |pod| pod.terms.is_some());
    assert_eq!(without, ["a1: yes", "a2: yes", "b1: yes"]);
    cluster.cache.remove_pod("shy");
    check(&mut cluster, json!({}), ["yes"; 3]);
}

#[test]
fn trying_out_moves_neighbours() {
    let mut cluster = cluster();
    let without = |cluster: &mut Cluster, spec: Value| cluster.fits_without(&pod(spec), "a1", |_| true);
    assert_eq!(without(&mut cluster, far(required(&[term("zone", "db")]))), ["a1: yes", "a2: yes", "b1: yes"]);
    let gone = without(&mut cluster, near(required(&[term("zone", "db")])));
    assert!(gone.iter().all(|said| said.ends_with(NOT_NEAR)), "{gone:?}");
}

#[test]
fn namespaces() {
    let mut cluster = cluster();
    cluster.place(&json!({"metadata": {"uid": "o", "namespace": "other", "labels": {"app": "db"}}}), "b1");
    let with = |field: &str, value: Value| {
        let mut term = term("zone", "db");
        term[field] = value;
        near(required(&[term]))
    };
    check(&mut cluster, with("namespaces", json!(["other"])), [NOT_NEAR, NOT_NEAR, "yes"]);
    check(&mut cluster, with("namespaces", json!(["ns", "other"])), ["yes"; 3]);
    check(&mut cluster, with("namespaceSelector", json!({})), ["yes"; 3]);
    check(&mut cluster, with("namespaceSelector", json!({"matchLabels": {"team": "x"}})), [NOT_NEAR; 3]);
}

#[test]
fn preferences_choose_among_what_fits() {
    let mut cluster = cluster();
    let decide = |cluster: &mut Cluster, spec: Value| cluster.decide(&pod(spec)).unwrap();
    assert_eq!(decide(&mut cluster, near(preferred(100, &term("kubernetes.io/hostname", "db")))), "a1");
    assert_eq!(decide(&mut cluster, far(preferred(100, &term("zone", "db")))), "b1");
    // One that is there wants the pod near: a requirement counts a little, a preference its weight.
    let fond = labelled("fond", json!({"app": "cache"}), near(required(&[term("zone", "web")])));
    cluster.place(&fond, "b1");
    assert_eq!(decide(&mut cluster, json!({})), "b1");
    let fonder =
        labelled("fonder", json!({"app": "cache"}), near(preferred(50, &term("kubernetes.io/hostname", "web"))));
    cluster.place(&fonder, "a2");
    assert_eq!(decide(&mut cluster, json!({})), "a2");
}

#[test]
fn hints() {
    let wants = pod(near(required(&[term("zone", "db")])));
    let shuns = pod(far(required(&[term("zone", "db")])));
    let plain = pod(json!({}));
    let on = |app: &str, spec: Value| shared(labelled("x", json!({"app": app}), spec));
    let pods = |old, new| Change::Pod { old, new };
    let shy = || on("cache", far(required(&[term("zone", "web")])));
    let cases = [
        (&wants, pods(None, on("db", json!({}))), Hint::Queue),
        (&wants, pods(None, on("cache", json!({}))), Hint::Skip),
        (&wants, pods(on("db", json!({})), None), Hint::Skip),
        (&shuns, pods(on("db", json!({})), None), Hint::Queue),
        (&shuns, pods(on("db", json!({})), on("cache", json!({}))), Hint::Queue),
        (&shuns, pods(None, on("db", json!({}))), Hint::Skip),
        (&plain, pods(shy(), None), Hint::Queue),
        (&plain, pods(on("cache", json!({})), None), Hint::Skip),
        (&wants, Change::Node { old: None, new: shared(in_zone("n", "a")) }, Hint::Queue),
        (&wants, Change::Node { old: None, new: shared(node("n", json!({}))) }, Hint::Skip),
    ];
    for (at, (own, change, expected)) in cases.iter().enumerate() {
        assert_eq!(hint("InterPodAffinity", own, change), *expected, "{at}");
    }
}
