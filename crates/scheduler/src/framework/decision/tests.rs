use serde_json::{Value, json};

use super::*;
use crate::{
    cache::PodInfo,
    framework::unschedulable_message,
    model::{Node, Pod},
};

fn cluster(nodes: &[Value]) -> Cache {
    let mut cache = Cache::default();
    for node in nodes {
        let node: Node = serde_json::from_value(node.clone()).unwrap();
        cache.set_node(&node);
    }
    cache
}

fn node(name: &str, patch: Value) -> Value {
    let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
    json_patch::merge(&mut node, &patch);
    node
}

fn decide(cache: &Cache, spec: Value) -> Result<String, String> {
    let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).unwrap();
    let info = PodInfo::of(&pod);
    schedule(cache, Candidate { pod: &pod, info: &info }, Sampling::default(), &mut |_| 0)
        .map(|decision| decision.node)
        .map_err(|failure| unschedulable_message(&failure))
}

fn check(cache: &Cache, spec: Value, expected: Result<&str, &str>) {
    assert_eq!(decide(cache, spec.clone()), expected.map(Into::into).map_err(Into::into), "{spec}");
}

fn requests(cpu: &str) -> Value {
    json!([{"resources": {"requests": {"cpu": cpu}}}])
}

#[test]
fn filters_say_why() {
    let cache = cluster(&[
        node("small", json!({"status": {"allocatable": {"cpu": "1"}}})),
        node("tainted", json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}})),
        node("cordoned", json!({"spec": {"unschedulable": true}})),
    ]);
    check(&cache, json!({"containers": requests("500m")}), Ok("small"));
    check(
        &cache,
        json!({"containers": requests("2")}),
        Err(
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable.",
        ),
    );
    check(
        &cache,
        json!({"containers": requests("2"), "tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        Ok("tainted"),
    );
    check(
        &cache,
        json!({"containers": requests("1"), "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}]}),
        Err("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."),
    );
}

#[test]
fn least_allocated_wins() {
    let mut cache = cluster(&[node("a", json!({})), node("b", json!({}))]);
    check(&cache, json!({"containers": requests("1")}), Ok("a"));
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"uid": "x"}, "spec": {"containers": requests("1")}})).unwrap();
    cache.set_pod(&pod, "a");
    check(&cache, json!({"containers": requests("1")}), Ok("b"));
}

#[test]
fn preferences_outweigh_room() {
    let cache = cluster(&[
        node("a", json!({})),
        node("b", json!({"metadata": {"labels": {"zone": "z"}}, "status": {"allocatable": {"cpu": "3"}}})),
    ]);
    let prefer = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z"]}]}}]}});
    check(&cache, json!({"containers": requests("1"), "affinity": prefer}), Ok("b"));
    let by_name = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]}}});
    check(&cache, json!({"containers": requests("1"), "affinity": by_name}), Ok("b"));
}

#[test]
fn soft_taints_repel_gently() {
    let cache = cluster(&[
        node("a", json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}})),
        node("b", json!({"status": {"allocatable": {"cpu": "2"}}})),
    ]);
    check(&cache, json!({"containers": requests("1")}), Ok("b"));
}

#[test]
fn host_ports_and_pod_slots_run_out() {
    let mut cache = cluster(&[node("a", json!({"status": {"allocatable": {"pods": "1"}}})), node("b", json!({}))]);
    let with_port = json!([{"ports": [{"containerPort": 80, "hostPort": 80}]}]);
    for (uid, name) in [("x", "a"), ("y", "b")] {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {"containers": with_port}})).unwrap();
        cache.set_pod(&pod, name);
    }
    check(
        &cache,
        json!({"containers": with_port}),
        Err("0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."),
    );
    check(
        &cache,
        json!({"containers": requests("1"), "nodeName": "a"}),
        Err("0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match the requested node name."),
    );
}

#[test]
fn sampling_goes_round() {
    let nodes: Vec<Value> = (0..300).map(|i| node(&format!("n{i:03}"), json!({}))).collect();
    let cache = cluster(&nodes);
    let pod = Pod::default();
    let info = PodInfo::of(&pod);
    let decision = schedule(&cache, Candidate { pod: &pod, info: &info }, Sampling { start: 250 }, &mut |_| 0).unwrap();
    assert_eq!((decision.node.as_str(), decision.next_start), ("n250", (250 + 144) % 300));
}
