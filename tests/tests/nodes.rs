//! Three nodes, joined by flannel: pods, names and services across them, while daemons are killed and a link is cut.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, process::Command, time::Duration};

use e2e::{Client, Cluster, enabled, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// A node that is silent counts as lost after 40 s.
const LOST: Duration = Duration::from_secs(100);
const NODE_PORT: u16 = 30080;

fn column(ctl: &Client, what: &str, path: &str) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&ctl.run(&format!("get {what} -o json"))).unwrap();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item.pointer(path).and_then(|v| v.as_str()).unwrap_or_default().to_owned()).collect()
}

/// What pods of `web` answer each other, at their addresses and by the service's name.
fn everybody_is_reached(ctl: &Client, when: &str) {
    let (names, addresses) =
        (column(ctl, "pods -l app=web", "/metadata/name"), column(ctl, "pods -l app=web", "/status/podIP"));
    for name in &names {
        for (other, address) in names.iter().zip(&addresses) {
            let ask = format!("exec {name} -- timeout 5 wget -qO- http://{address}:8080");
            let reached = || String::from_utf8_lossy(&ctl.try_run(&ask).stdout).contains(other.as_str());
            wait_for(&format!("{when}: {name} reaches {other}"), SOON, reached);
        }
        let ask = format!("exec {name} -- timeout 5 wget -qO- http://web");
        wait_for(&format!("{when}: {name} reaches web by name"), SOON, || ctl.try_run(&ask).status.success());
    }
}

/// Every node's port answers who is on no node, time after time.
fn answers_outside(cluster: &Cluster, nodes: &[u8]) -> bool {
    let ask = |node: &u8| cluster.node(&format!("outside exec curl -sf -m 5 http://172.30.99.{node}:{NODE_PORT}"));
    nodes.iter().all(|node| (0..6).all(|_| ask(node).status.success()))
}

fn readiness(ctl: &Client, node: &str) -> String {
    let node: serde_json::Value = serde_json::from_str(&ctl.run(&format!("get node {node} -o json"))).unwrap();
    let conditions = node["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|c| c["type"] == "Ready").unwrap()["status"].as_str().unwrap().to_owned()
}

fn apply(ctl: &Client, manifest: &str) {
    let file = std::env::temp_dir().join(format!("ferrokube-nodes-{}.yaml", std::process::id()));
    std::fs::write(&file, manifest).unwrap();
    ctl.run(&format!("apply -f {}", file.display()));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn three_nodes_are_one_cluster() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up_with(&["--nodes", "3"]);
    let ctl = cluster.ctl();
    ctl.run("create deployment web --image=ferrokube/demo:v1 --replicas=6");
    ctl.run("rollout status deployment/web --timeout=60s");
    let on: BTreeSet<String> = column(&ctl, "pods -l app=web", "/spec/nodeName").into_iter().collect();
    assert_eq!(on.len(), 3, "{on:?}");
    apply(
        &ctl,
        "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, selector: {app: web}, \
         ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}}",
    );
    everybody_is_reached(&ctl, "at first");
    wait_for("the ports of nodes", SOON, || answers_outside(&cluster, &[1, 2, 3]));
    policies_are_enforced(&cluster, &ctl);

    for daemon in ["kubelet", "kube-proxy", "flanneld"] {
        assert!(cluster.node(&format!("node-2 kill {daemon}")).status.success());
    }
    assert!(answers_outside(&cluster, &[1, 2, 3]), "while daemons start again");
    ctl.run("scale deployment/web --replicas=9");
    ctl.run("rollout status deployment/web --timeout=60s");
    everybody_is_reached(&ctl, "after daemons were killed");

    assert!(cluster.node("node-3 cut").status.success());
    wait_for("node-3 to count as lost", LOST, || readiness(&ctl, "node-3") == "Unknown");
    let is_left_alone = || {
        let list: serde_json::Value = serde_json::from_str(&ctl.run("get endpointslices -o json")).unwrap();
        let slices = list["items"].as_array().unwrap().iter();
        let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array()).flatten();
        !endpoints.into_iter().any(|e| e["nodeName"] == "node-3" && e["conditions"]["ready"] == true)
    };
    wait_for("its endpoints to leave", SOON, is_left_alone);
    wait_for("the proxies to know", SOON, || answers_outside(&cluster, &[1, 2]));
    assert!(cluster.node("node-3 heal").status.success());
    wait_for("node-3 to be back", SOON, || readiness(&ctl, "node-3") == "True");
    ctl.run("rollout status deployment/web --timeout=60s");
    everybody_is_reached(&ctl, "after a link was cut");
    wait_for("the ports of nodes again", SOON, || answers_outside(&cluster, &[1, 2, 3]));

    drop(cluster);
    let output = Command::new("ip").args(["netns"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("fk-node-"), "a node is left");
}

fn policies_are_enforced(cluster: &Cluster, ctl: &Client) {
    let ask = |node: u8| cluster.node(&format!("outside exec curl -sf -m 2 http://172.30.99.{node}:{NODE_PORT}"));
    apply(
        ctl,
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, \
         spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]}}",
    );
    let (name, address) = (
        column(ctl, "pods -l app=web", "/metadata/name").remove(0),
        column(ctl, "pods -l app=web", "/status/podIP").pop().unwrap(),
    );
    let from_web = format!("exec {name} -- timeout 3 wget -qO- http://{address}:8080");
    wait_for("a policy to be enforced", SOON, || !ctl.try_run(&from_web).status.success());
    ctl.run("run friend --image=ferrokube/demo:v1 --labels=app=friend");
    let from_friend = format!("exec friend -- timeout 3 wget -qO- http://{address}:8080");
    wait_for("a friend to be let in", SOON, || ctl.try_run(&from_friend).status.success());
    ctl.run("delete pod friend");
    ctl.run("delete networkpolicy web");
    wait_for("the policy to be lifted", SOON, || (1..=3).all(|node| ask(node).status.success()));
}
