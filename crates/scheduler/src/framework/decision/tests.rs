use serde_json::{Value, json};

use super::*;
use crate::{
    framework::{Change, Hint},
    model::Pod,
    testing::{Cluster, hint, node, profile, shared},
};

fn check(cluster: &mut Cluster, spec: Value, expected: Result<&str, &str>) {
    let pod = json!({"metadata": {"uid": "u"}, "spec": spec});
    assert_eq!(cluster.decide(&pod), expected.map(Into::into).map_err(Into::into), "{spec}");
}

fn requests(cpu: &str) -> Value {
    json!([{"resources": {"requests": {"cpu": cpu}}}])
}

#[test]
fn filters_say_why() {
    let mut cache = Cluster::of(&[
        node("small", json!({"status": {"allocatable": {"cpu": "1"}}})),
        node("tainted", json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}})),
        node("cordoned", json!({"spec": {"unschedulable": true}})),
    ]);
    check(&mut cache, json!({"containers": requests("500m")}), Ok("small"));
    check(
        &mut cache,
        json!({"containers": requests("2")}),
        Err(
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable.",
        ),
    );
    check(
        &mut cache,
        json!({"containers": requests("2"), "tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        Ok("tainted"),
    );
    check(
        &mut cache,
        json!({"containers": requests("1"), "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}]}),
        Err("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
    );
}

#[test]
fn least_allocated_wins() {
    let mut cache = Cluster::of(&[node("a", json!({})), node("b", json!({}))]);
    check(&mut cache, json!({"containers": requests("1")}), Ok("a"));
    cache.place(&json!({"metadata": {"uid": "x"}, "spec": {"containers": requests("1")}}), "a");
    check(&mut cache, json!({"containers": requests("1")}), Ok("b"));
}

#[test]
fn preferences_outweigh_room() {
    let mut cache = Cluster::of(&[
        node("a", json!({})),
        node("b", json!({"metadata": {"labels": {"zone": "z"}}, "status": {"allocatable": {"cpu": "3"}}})),
    ]);
    let prefer = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z"]}]}}]}});
    check(&mut cache, json!({"containers": requests("1"), "affinity": prefer}), Ok("b"));
    let by_name = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]}}});
    check(&mut cache, json!({"containers": requests("1"), "affinity": by_name}), Ok("b"));
}

#[test]
fn soft_taints_repel_gently() {
    let mut cache = Cluster::of(&[
        node("a", json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}})),
        node("b", json!({"status": {"allocatable": {"cpu": "2"}}})),
    ]);
    check(&mut cache, json!({"containers": requests("1")}), Ok("b"));
}

#[test]
fn host_ports_and_pod_slots_run_out() {
    let mut cache = Cluster::of(&[node("a", json!({"status": {"allocatable": {"pods": "1"}}})), node("b", json!({}))]);
    let with_port = json!([{"ports": [{"containerPort": 80, "hostPort": 80}]}]);
    for (uid, name) in [("x", "a"), ("y", "b")] {
        cache.place(&json!({"metadata": {"uid": uid}, "spec": {"containers": with_port}}), name);
    }
    check(
        &mut cache,
        json!({"containers": with_port}),
        Err("0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."),
    );
    check(
        &mut cache,
        json!({"containers": requests("1"), "nodeName": "a"}),
        Err("0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match the requested node name."),
    );
}

#[test]
fn sampling_goes_round() {
    let nodes: Vec<Value> = (0..300).map(|i| node(&format!("n{i:03}"), json!({}))).collect();
    let mut cluster = Cluster::of(&nodes);
    cluster.cache.refresh(&mut cluster.snapshot);
    let pod = Pod::default();
    let candidate = Candidate { pod: &pod, info: &pod.info };
    let decide = |profile: &Profile, start: usize| {
        let decision = schedule(profile, &cluster.snapshot, candidate, Sampling { start }, &mut |_| 0).unwrap();
        (decision.node.to_string(), decision.next_start)
    };
    assert_eq!(decide(&profile(), 250), ("n250".to_owned(), (250 + 144) % 300));
    let all = Profile { percentage: Some(100), ..profile() };
    assert_eq!(decide(&all, 250), ("n250".to_owned(), 250));
}

#[test]
fn a_pod_that_names_its_nodes_is_not_asked_for_elsewhere() {
    let mut cluster = Cluster::of(&[node("a", json!({})), node("b", json!({"spec": {"unschedulable": true}}))]);
    let only = |names: &[&str]| {
        let terms: Vec<Value> = names
            .iter()
            .map(|name| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}))
            .collect();
        json!({"containers": requests("1"), "affinity": {"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    };
    check(&mut cluster, only(&["a"]), Ok("a"));
    check(
        &mut cluster,
        only(&["b"]),
        Err(
            "0/2 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) were unschedulable.",
        ),
    );
    check(
        &mut cluster,
        only(&["c"]),
        Err("0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."),
    );
    let mut conflict = only(&["a"]);
    let fields = &mut conflict["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        [0]["matchFields"];
    let more = json!({"key": "metadata.name", "operator": "In", "values": ["b"]});
    fields.as_array_mut().unwrap().push(more);
    check(&mut cluster, conflict, Err("0/2 nodes are available: pod affinity terms conflict."));
}

#[test]
fn what_will_never_do_is_told_from_what_will_not_do_now() {
    let mut cluster =
        Cluster::of(&[node("full", json!({})), node("small", json!({"status": {"allocatable": {"cpu": "1"}}}))]);
    cluster.place(&json!({"metadata": {"uid": "x"}, "spec": {"containers": requests("3")}}), "full");
    let pod = json!({"metadata": {"uid": "u"}, "spec": {"containers": requests("2")}});
    assert_eq!(cluster.fits(&pod), ["full: Insufficient cpu (NotNow)", "small: Insufficient cpu (NeverHere)"]);
    let without = cluster.fits_without(&pod, "full", |_| true);
    assert_eq!(without, ["full: yes", "small: Insufficient cpu (NeverHere)"]);
}

#[test]
fn hints() {
    let asking = json!({"metadata": {"uid": "u"}, "spec": {"containers": requests("2")}});
    let node_change =
        |old: Option<Value>, new: Option<Value>| Change::Node { old: old.and_then(shared), new: new.and_then(shared) };
    let pod_change =
        |old: Option<Value>, new: Option<Value>| Change::Pod { old: old.and_then(shared), new: new.and_then(shared) };
    let cpu = |amount: &str| node("n", json!({"status": {"allocatable": {"cpu": amount}}}));
    let on_node =
        |amount: &str| json!({"metadata": {"uid": "x"}, "spec": {"nodeName": "n", "containers": requests(amount)}});
    let cordoned = node("n", json!({"spec": {"unschedulable": true}}));
    let tainted = node("n", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
    let port = |number: i32| {
        json!({"metadata": {"uid": "x"}, "spec": {"nodeName": "n",
        "containers": [{"ports": [{"containerPort": 1, "hostPort": number}]}]}})
    };
    let ssd = node("n", json!({"metadata": {"labels": {"disk": "ssd"}}}));
    let selecting = json!({"metadata": {"uid": "u"}, "spec": {"nodeSelector": {"disk": "ssd"}}});
    let cases = [
        ("NodeResourcesFit", &asking, node_change(None, Some(cpu("1"))), Hint::Skip),
        ("NodeResourcesFit", &asking, node_change(None, Some(cpu("2"))), Hint::Queue),
        ("NodeResourcesFit", &asking, node_change(Some(cpu("1")), Some(cpu("2"))), Hint::Queue),
        ("NodeResourcesFit", &asking, node_change(Some(cpu("2")), Some(cpu("3"))), Hint::Queue),
        ("NodeResourcesFit", &asking, node_change(Some(cpu("3")), Some(cpu("2"))), Hint::Skip),
        ("NodeResourcesFit", &asking, node_change(Some(cpu("3")), Some(cordoned.clone())), Hint::Queue),
        ("NodeResourcesFit", &asking, pod_change(Some(on_node("1")), None), Hint::Queue),
        ("NodeResourcesFit", &asking, pod_change(None, Some(on_node("1"))), Hint::Skip),
        ("NodeResourcesFit", &asking, pod_change(Some(on_node("2")), Some(on_node("1"))), Hint::Queue),
        ("NodeResourcesFit", &asking, pod_change(Some(on_node("1")), Some(on_node("2"))), Hint::Skip),
        ("NodeUnschedulable", &asking, node_change(Some(cordoned.clone()), Some(cpu("1"))), Hint::Queue),
        ("NodeUnschedulable", &asking, node_change(Some(cpu("1")), Some(cpu("2"))), Hint::Skip),
        ("NodeUnschedulable", &asking, node_change(None, Some(cordoned)), Hint::Skip),
        ("TaintToleration", &asking, node_change(Some(tainted.clone()), Some(cpu("1"))), Hint::Queue),
        ("TaintToleration", &asking, node_change(Some(cpu("1")), Some(tainted)), Hint::Skip),
        ("NodeAffinity", &selecting, node_change(Some(cpu("1")), Some(ssd.clone())), Hint::Queue),
        ("NodeAffinity", &selecting, node_change(Some(ssd.clone()), Some(ssd)), Hint::Skip),
        ("NodePorts", &port(80), pod_change(Some(port(80)), None), Hint::Queue),
        ("NodePorts", &port(80), pod_change(Some(port(81)), None), Hint::Skip),
    ];
    for (at, (plugin, pod, change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(hint(plugin, pod, &change), expected, "{plugin} {at}");
    }
}
