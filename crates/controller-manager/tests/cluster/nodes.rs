//! Nodes that come, fall silent and go.

use api_types::{
    core::{Node, Pod},
    jiff::Timestamp,
    meta::Time,
};
use component::informer::{ObjectKey, Store};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::harness::{Cluster, key, template};

async fn join(cluster: &Cluster, name: &str) {
    cluster.create::<Node>(json!({"metadata": {"name": name}})).await;
    beat(cluster, name).await;
}

/// What a kubelet posts.
async fn beat(cluster: &Cluster, name: &str) {
    let condition = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": Time(Timestamp::now())});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

fn node(nodes: &Store<Node>, name: &str) -> Node {
    nodes.get(&ObjectKey::new("", name)).map(|node| Node::clone(&node)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_get_pod_cidrs_in_order() {
    let cluster = Cluster::start("--allocate-node-cidrs --cluster-cidr=10.10.0.0/16 --controllers=nodeipam").await;
    for (name, cidr) in [("a", "10.10.0.0/24"), ("b", "10.10.1.0/24"), ("c", "10.10.2.0/24")] {
        cluster.create::<Node>(json!({"metadata": {"name": name}})).await;
        cluster
            .until::<Node>("a Pod CIDR", |nodes| {
                node(nodes, name).spec.is_some_and(|spec| {
                    spec.pod_cidr.as_deref() == Some(cidr) && spec.pod_cidrs.as_deref() == Some(&[cidr.to_owned()])
                })
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toleration_of_a_taint_without_a_time_runs_out() {
    let cluster = Cluster::start("--controllers=taint-eviction-controller --leader-elect=false").await;
    cluster.create::<Node>(json!({"metadata": {"name": "n"}})).await;
    for (name, seconds) in [("short", Some(1)), ("long", Some(600)), ("ever", None)] {
        let mut pod = template("v1");
        pod["metadata"] = json!({"name": name, "namespace": "default"});
        pod["spec"]["nodeName"] = "n".into();
        pod["spec"]["tolerations"] =
            json!([{"key": "by-hand", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
        cluster.create::<Pod>(pod).await;
    }
    let taint = Patch::Merge(json!({"spec": {"taints": [{"key": "by-hand", "effect": "NoExecute"}]}}));
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.patch("n", &PatchParams::default(), &taint).await.unwrap();
    cluster
        .until::<Pod>("the pod whose time is over to leave", |pods| {
            pods.get(&key("short")).is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
        })
        .await;
    nodes.patch("n", &PatchParams::default(), &Patch::Merge(json!({"spec": {"taints": null}}))).await.unwrap();
    let kept = |message: &str| message == "Cancelling deletion of Pod default/long";
    cluster.until_event("TaintManagerEviction", kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_tainted_and_its_pods_leave() {
    let cluster = Cluster::start("--node-monitor-grace-period=3s --leader-elect=false").await;
    join(&cluster, "silent").await;
    let mut pod = template("v1");
    pod["metadata"] = json!({"name": "p", "namespace": "default"});
    pod["spec"]["nodeName"] = "silent".into();
    pod["spec"]["tolerations"] = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]);
    cluster.create::<Pod>(pod).await;
    cluster
        .until::<Node>("the node is unknown", |nodes| {
            let conditions = node(nodes, "silent").status.and_then(|status| status.conditions).unwrap_or_default();
            conditions.iter().any(|c| {
                c.type_ == "Ready" && c.status == "Unknown" && c.reason.as_deref() == Some("NodeStatusUnknown")
            })
        })
        .await;
    // One node that is ready shows that the fault is not here.
    join(&cluster, "live").await;
    let taints = |nodes: &Store<Node>| -> Vec<String> {
        let taints = node(nodes, "silent").spec.and_then(|spec| spec.taints).unwrap_or_default();
        taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
    };
    cluster
        .until("both taints", |nodes| {
            let taints = taints(nodes);
            ["NoSchedule", "NoExecute"]
                .iter()
                .all(|effect| taints.contains(&format!("node.kubernetes.io/unreachable:{effect}")))
        })
        .await;
    cluster.until::<Pod>("the pod leaves", |pods| pods.get(&key("p")).is_none()).await;
    cluster.until_event("TaintManagerEviction", |message| message == "Marking for deletion Pod default/p").await;
    beat(&cluster, "silent").await;
    cluster.until("the taints go", |nodes| taints(nodes).is_empty()).await;
}
