//! Daemon sets.

use api_types::{
    apps::{ControllerRevision, DaemonSet, DaemonSetStatus},
    core::{Node, Pod},
};
use component::informer::Store;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::harness::{Cluster, key, template};

/// The cluster has no kubelets that say they live.
const CONTROLLERS: &str = "--leader-elect=false --controllers=daemonset,garbagecollector";

async fn create_node(cluster: &Cluster, name: &str, labels: Value) {
    cluster.create::<Node>(json!({"metadata": {"name": name, "labels": labels}})).await;
    // A new one is tainted until somebody says that it is ready.
    patch_node(cluster, name, json!({"spec": {"taints": null}})).await;
}

async fn create_set(cluster: &Cluster, strategy: Value) {
    cluster
        .create::<DaemonSet>(json!({
            "metadata": {"name": "agent", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "updateStrategy": strategy, "template": template("v1")},
        }))
        .await;
}

fn status(sets: &Store<DaemonSet>) -> Option<DaemonSetStatus> {
    let set = sets.get(&key("agent"))?;
    set.status.clone().filter(|status| status.observed_generation == set.metadata.generation)
}

/// So many nodes have an available pod of the newest template, and nothing else.
fn rolled_out(nodes: i32) -> impl Fn(&Store<DaemonSet>) -> bool {
    move |sets| {
        status(sets).is_some_and(|status| {
            status.desired_number_scheduled == nodes
                && status.updated_number_scheduled.unwrap_or(0) == nodes
                && status.number_available.unwrap_or(0) == nodes
                && status.number_unavailable.is_none()
                && status.number_misscheduled == 0
        })
    }
}

/// The pods that stay, by the node they want.
fn wanted_nodes(pods: &Store<Pod>) -> Vec<String> {
    let pods = pods.list().into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let node = |pod: &Pod| {
        let affinity = serde_json::to_value(pod.spec.as_ref().unwrap().affinity.as_ref().unwrap()).unwrap();
        let path =
            "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
        affinity.pointer(path).unwrap().as_str().unwrap().to_owned()
    };
    let mut nodes: Vec<String> = pods.map(|pod| node(&pod)).collect();
    nodes.sort();
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_has_a_daemon() {
    let cluster = Cluster::start(CONTROLLERS).await;
    for name in ["a", "b"] {
        create_node(&cluster, name, json!({})).await;
    }
    create_set(&cluster, json!({})).await;
    cluster.until("a daemon on each of two nodes", rolled_out(2)).await;
    cluster.until_event("SuccessfulCreate", |message| message.starts_with("Created pod: agent-")).await;
    create_node(&cluster, "c", json!({"disk": "ssd"})).await;
    cluster.until("a daemon on the third", rolled_out(3)).await;
    cluster.until::<Pod>("one for each", |pods| wanted_nodes(pods) == ["a", "b", "c"]).await;

    // It fails and comes again; and so does one that somebody deletes.
    let pods = cluster.informers.of::<Pod>().store().list();
    let names: Vec<String> = pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
    cluster.patch_pod_status(&names[0], json!({"phase": "Failed"})).await;
    cluster.until_event("FailedDaemonPod", |message| message.contains(&names[0])).await;
    cluster.until::<Pod>("another", |pods| pods.get(&key(&names[0])).is_none()).await;
    cluster.api::<Pod>().delete(&names[1], &DeleteParams::default()).await.unwrap();
    cluster.until::<Pod>("another", |pods| pods.get(&key(&names[1])).is_none()).await;
    cluster.until("all three", rolled_out(3)).await;

    // Only where the selector says, and not where a taint repels; other taints do not.
    cluster
        .patch::<DaemonSet>("agent", json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}))
        .await;
    cluster.until("one node has that label", rolled_out(1)).await;
    cluster.until::<Pod>("one daemon", |pods| wanted_nodes(pods) == ["c"]).await;
    patch_node(&cluster, "a", json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    cluster.until("another node has it", rolled_out(2)).await;
    patch_node(&cluster, "a", json!({"spec": {"taints": [{"key": "broken", "effect": "NoExecute"}]}})).await;
    cluster.until("a taint repels", rolled_out(1)).await;
    Api::<Node>::all(cluster.client.clone()).delete("c", &DeleteParams::default()).await.unwrap();
    cluster.until("no node is left", rolled_out(0)).await;
}

async fn patch_node(cluster: &Cluster, name: &str, patch: Value) {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_are_rolled_and_rolled_back_while_the_controller_dies() {
    let mut cluster = Cluster::start(CONTROLLERS).await;
    for name in ["a", "b", "c", "d", "e"] {
        create_node(&cluster, name, json!({})).await;
    }
    create_set(&cluster, json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}})).await;
    cluster.until_despite_restarts("daemons", rolled_out(5)).await;
    cluster.patch::<DaemonSet>("agent", json!({"spec": {"template": template("v2")}})).await;
    cluster.until_despite_restarts("an update", rolled_out(5)).await;
    let strategy = json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 2}});
    cluster
        .patch::<DaemonSet>("agent", json!({"spec": {"updateStrategy": strategy, "template": template("v1")}}))
        .await;
    cluster.until_despite_restarts("back, by surge", rolled_out(5)).await;
    cluster.until::<Pod>("one for each", |pods| wanted_nodes(pods) == ["a", "b", "c", "d", "e"]).await;
    cluster
        .until::<ControllerRevision>("revisions 2 and 3", |revisions| {
            let mut numbers: Vec<i64> = revisions.list().iter().map(|revision| revision.revision).collect();
            numbers.sort_unstable();
            numbers == [2, 3]
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_delete_waits_for_somebody_to_delete() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_node(&cluster, "a", json!({})).await;
    create_set(&cluster, json!({"type": "OnDelete"})).await;
    cluster.until("a daemon", rolled_out(1)).await;
    cluster.patch::<DaemonSet>("agent", json!({"spec": {"template": template("v2")}})).await;
    cluster
        .until("none is of the new template", |sets| {
            status(sets).is_some_and(|status| status.updated_number_scheduled.is_none())
        })
        .await;
    let name = cluster.informers.of::<Pod>().store().list()[0].metadata.name.clone().unwrap();
    cluster.api::<Pod>().delete(&name, &DeleteParams::default()).await.unwrap();
    cluster.until("a new one", rolled_out(1)).await;
}
