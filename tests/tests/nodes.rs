//! Three nodes, joined by flannel: pods, names and services across them, while daemons are killed and a link is cut.
#![allow(clippy::unwrap_used)]

use std::{process::Command, time::Duration};

use e2e::{Askers, Cluster, Web, enabled, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// A node that is silent counts as lost after 40 s.
const LOST: Duration = Duration::from_secs(100);
/// What runs on every node beside Docker.
const DAEMONS: [&str; 3] = ["kubelet", "kube-proxy", "flanneld"];

/// Three nodes, and servers on each.
fn deploy(cluster: &Cluster) -> Web<'_> {
    let web = Web::deploy(cluster, 6);
    assert_eq!(web.nodes().len(), 3, "{:?}", web.nodes());
    web
}

#[test]
fn three_nodes_are_one_cluster() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up_with(&["--nodes", "3"]);
    let (ctl, web) = (cluster.ctl(), deploy(&cluster));
    web.everybody_is_reached("at first", &[1, 2, 3]);
    policies_are_enforced(&web);

    for daemon in DAEMONS {
        assert!(cluster.node(&format!("node-2 kill {daemon}")).status.success());
    }
    assert!(web.answers_outside(&[1, 2, 3]), "while daemons start again");
    ctl.run("scale deployment/web --replicas=9");
    ctl.run("rollout status deployment/web --timeout=60s");
    web.everybody_is_reached("after daemons were killed", &[1, 2, 3]);

    assert!(cluster.node("node-3 cut").status.success());
    wait_for("node-3 to count as lost", LOST, || web.readiness("node-3") == "Unknown");
    let is_left_alone = || {
        let list: serde_json::Value = serde_json::from_str(&ctl.run("get endpointslices -o json")).unwrap();
        let slices = list["items"].as_array().unwrap().iter();
        let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array()).flatten();
        !endpoints.into_iter().any(|e| e["nodeName"] == "node-3" && e["conditions"]["ready"] == true)
    };
    wait_for("its endpoints to leave", SOON, is_left_alone);
    wait_for("the proxies to know", SOON, || web.answers_outside(&[1, 2]));
    assert!(cluster.node("node-3 heal").status.success());
    wait_for("node-3 to be back", SOON, || web.readiness("node-3") == "True");
    ctl.run("rollout status deployment/web --timeout=60s");
    web.everybody_is_reached("after a link was cut", &[1, 2, 3]);

    drop(cluster);
    let output = Command::new("ip").args(["netns"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("fk-node-"), "a node is left");
}

/// The same by another backend: all daemons killed, one node after the other, a link cut for 60 s, a node deleted and joined again.
fn joined_by(backend: &str) {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up_with(&["--nodes", "3", "--backend", backend]);
    let (ctl, web) = (cluster.ctl(), deploy(&cluster));
    web.everybody_is_reached("at first", &[1, 2, 3]);
    for daemon in DAEMONS {
        cluster.kill(daemon);
    }
    for (node, daemon) in [2, 3].into_iter().flat_map(|node| DAEMONS.map(|daemon| (node, daemon))) {
        assert!(cluster.node(&format!("node-{node} kill {daemon}")).status.success());
    }
    web.everybody_is_reached("after daemons were killed", &[1, 2, 3]);

    assert!(cluster.node("node-3 cut").status.success());
    std::thread::sleep(Duration::from_secs(60));
    assert!(cluster.node("node-3 heal").status.success());
    wait_for("node-3 to be back", SOON, || web.readiness("node-3") == "True");
    ctl.run("rollout status deployment/web --timeout=60s");
    web.everybody_is_reached("after a link was cut", &[1, 2, 3]);

    assert!(cluster.node("node-2 stop").status.success());
    ctl.run("delete node node-2");
    wait_for("its pods to go", SOON, || !web.nodes().contains("node-2"));
    ctl.run("rollout status deployment/web --timeout=120s");
    web.everybody_is_reached("without a node", &[1, 3]);
    assert!(cluster.node("node-2 start").status.success());
    wait_for("node-2 to be there again", SOON, || web.column("nodes", "/metadata/name").contains(&"node-2".to_owned()));
    wait_for("node-2 to be ready", SOON, || web.readiness("node-2") == "True");
    ctl.run("rollout restart deployment/web");
    ctl.run("rollout status deployment/web --timeout=120s");
    wait_for("the old servers to go", SOON, || web.column("pods -l app=web", "/metadata/name").len() == 6);
    assert!(web.nodes().contains("node-2"), "{:?}", web.nodes());
    web.everybody_is_reached("after a node joined again", &[1, 2, 3]);
}

#[test]
fn nodes_joined_by_routes() {
    joined_by("host-gw");
}

#[test]
fn nodes_joined_by_a_tunnel_of_ours() {
    joined_by("udp");
}

/// Nobody who asks notices that servers are replaced, and that a node is drained.
#[test]
fn no_request_is_lost() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up_with(&["--nodes", "3"]);
    // ctl drains no nodes.
    let Some(ctl) = test_needs::need("a kubectl", cluster.kubectls().pop().ok_or("there is none on the path")) else {
        return;
    };
    let web = deploy(&cluster);
    web.everybody_is_reached("at first", &[1, 2, 3]);
    let askers = Askers::start(&web, &["node-2"], &[1, 2, 3]);
    ctl.run("set image deployment/web demo=ferrokube/demo:v2");
    ctl.run("rollout status deployment/web --timeout=120s");
    ctl.run("drain node-3 --ignore-daemonsets --timeout=120s");
    assert!(!web.nodes().contains("node-3"), "{:?}", web.nodes());
    ctl.run("rollout status deployment/web --timeout=120s");
    ctl.run("uncordon node-3");
    ctl.run("rollout undo deployment/web");
    ctl.run("rollout status deployment/web --timeout=120s");
    let (failures, asked) = askers.stop();
    assert!(failures.is_empty() && asked > 100, "{} of {asked} requests failed: {failures:#?}", failures.len());
}

/// Services of type LoadBalancer have addresses, at which who is on no node reaches them, by TCP and UDP on one port.
#[test]
fn load_balancers() {
    if !enabled() {
        return;
    }
    let cluster = Cluster::up_with(&["--nodes", "3"]);
    let web = deploy(&cluster);
    let of_nodes = ["172.30.99.1", "172.30.99.2", "172.30.99.3"];
    balanced(&web, &of_nodes.map(ToOwned::to_owned), 8081);
    for node in of_nodes {
        answers_both(&cluster, node, 8081);
    }
    drop(cluster);

    // Out of a range that somebody routes to a node.
    let cluster = Cluster::up_with(&["--nodes", "3", "--load-balancers", "172.30.98.0/30"]);
    let web = deploy(&cluster);
    assert!(cluster.node("outside exec ip route add 172.30.98.0/30 via 172.30.99.2").status.success());
    balanced(&web, &["172.30.98.1".to_owned()], 80);
    answers_both(&cluster, "172.30.98.1", 80);
}

/// Makes the service, and waits until everybody sees its addresses.
fn balanced(web: &Web<'_>, addresses: &[String], port: u16) {
    web.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: balanced}}, spec: {{type: LoadBalancer, selector: {{app: web}}, ports: \
         [{{name: tcp, port: {port}, targetPort: 8080}}, {{name: udp, protocol: UDP, port: {port}, targetPort: 8080}}]}}}}"
    ));
    for client in web.cluster.kubectls().into_iter().chain([web.cluster.ctl()]) {
        let seen = || client.run("get service balanced -o wide");
        wait_for("the addresses", SOON, || addresses.iter().all(|address| seen().contains(address.as_str())));
        assert!(
            seen().contains(&format!("{port}:")) && seen().contains("/TCP") && seen().contains("/UDP"),
            "{}",
            seen()
        );
    }
}

fn answers_both(cluster: &Cluster, address: &str, port: u16) {
    let ask = format!("outside exec curl -sf -m 2 http://{address}:{port}");
    let datagram = format!("exec 3<>/dev/udp/{address}/{port}; echo >&3; timeout 2 head -n 1 <&3 | grep web-");
    let by_udp = || {
        let mut command = Command::new(e2e::root().join("hack/node"));
        command.args(["outside", "exec", "bash", "-c", &datagram]).output().unwrap().status.success()
    };
    wait_for(&format!("{address} to answer by TCP"), SOON, || cluster.node(&ask).status.success());
    wait_for(&format!("{address} to answer by UDP"), SOON, by_udp);
}

fn policies_are_enforced(web: &Web<'_>) {
    let (cluster, ctl) = (web.cluster, web.cluster.ctl());
    let ask =
        |node: u8| cluster.node(&format!("outside exec curl -sf -m 2 http://172.30.99.{node}:{}", Web::NODE_PORT));
    web.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, \
         spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]}}",
    );
    let (name, address) = (
        web.column("pods -l app=web", "/metadata/name").remove(0),
        web.column("pods -l app=web", "/status/podIP").pop().unwrap(),
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
