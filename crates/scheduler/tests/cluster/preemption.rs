use api_types::{core::Pod, policy::PodDisruptionBudget, scheduling::PriorityClass};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;

use crate::harness::Cluster;

/// A cluster with one node for each number of CPUs.
async fn cluster(cpus: &[&str]) -> Cluster {
    let cluster = Cluster::start().await;
    for (i, cpu) in cpus.iter().enumerate() {
        cluster.node(&format!("n{i}"), "a", cpu).await;
    }
    for (name, value) in [("low", 1), ("middle", 50), ("high", 100)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        create::<PriorityClass>(&Api::all(cluster.client.clone()), class).await;
    }
    cluster.schedule(cluster.client.clone(), &[]).await;
    cluster
}

async fn create<T>(api: &Api<T>, object: Value)
where
    T: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// Asks for CPUs. It goes at once, or stays until somebody ends it.
fn asks(class: &str, cpu: &str, goes_at_once: bool) -> Value {
    json!({"priorityClassName": class, "terminationGracePeriodSeconds": if goes_at_once { 0 } else { 3600 },
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]})
}

async fn place(cluster: &Cluster, name: &str, spec: Value) -> String {
    cluster.pod(name, spec).await;
    cluster.until_placed(name).await
}

fn nominated(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.nominated_node_name.as_deref()
}

fn is_going(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let why = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget");
    pod.metadata.deletion_timestamp.is_some()
        && why.is_some_and(|why| {
            let message = "default-scheduler: preempting to accommodate a higher priority pod";
            why.status == "True"
                && why.reason.as_deref() == Some("PreemptionByScheduler")
                && why.message.as_deref() == Some(message)
        })
}

#[tokio::test]
async fn less_important_pods_go_and_are_waited_for() {
    let cluster = cluster(&["2", "2"]).await;
    let there = place(&cluster, "low", asks("low", "2", false)).await;
    place(&cluster, "high-1", asks("high", "2", false)).await;
    cluster.pod("high-2", asks("high", "2", false)).await;
    cluster.until_pod("low", "makes room", is_going).await;
    cluster.until_pod("high-2", "is nominated", |pod| nominated(pod) == Some(&*there)).await;
    cluster.until_rejected("high-2", "0/2 nodes are available: 2 Insufficient cpu.").await;
    cluster.until_event("Preempted", "low").await;
    // The room is kept from less important pods, even for a pod that needs less than is there.
    cluster.pod("low-2", asks("low", "1", true)).await;
    let message = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
                   2 No preemption victims found for incoming pod.";
    cluster.until_rejected("low-2", message).await;
    cluster.delete("low").await;
    assert_eq!(cluster.until_placed("high-2").await, there);
    cluster.until_pod("high-2", "is nominated no more", |pod| nominated(pod).is_none()).await;
}

#[tokio::test]
async fn who_may_not_make_others_go_waits() {
    let cluster = cluster(&["2"]).await;
    place(&cluster, "low", asks("low", "2", true)).await;
    let class = json!({"metadata": {"name": "polite"}, "value": 100, "preemptionPolicy": "Never"});
    create::<PriorityClass>(&Api::all(cluster.client.clone()), class).await;
    cluster.pod("polite", asks("polite", "2", true)).await;
    let message =
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.";
    cluster.until_rejected("polite", message).await;
    place(&cluster, "high", asks("high", "2", true)).await;
}

#[tokio::test]
async fn budgets_are_respected_where_there_is_a_choice() {
    let cluster = cluster(&["2", "2"]).await;
    let label = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    let protected = place(&cluster, "protected", asks("low", "2", true)).await;
    let other = place(&cluster, "other", asks("middle", "2", true)).await;
    cluster.pods().patch("other", &PatchParams::default(), &Patch::Merge(label("other"))).await.unwrap();
    let budgets = Api::<PodDisruptionBudget>::namespaced(cluster.client.clone(), "default");
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    create(&budgets, json!({"metadata": {"name": "web"}, "spec": spec})).await;
    let mut spec = asks("high", "2", true);
    spec["nodeSelector"] = json!({"made": "later"});
    cluster.pod("high", spec).await;
    cluster
        .until_rejected("high", "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
        .await;
    let nodes: Api<api_types::core::Node> = Api::all(cluster.client.clone());
    // In this order there is no moment at which the wrong node is the only choice.
    for node in [&other, &protected] {
        let patch = json!({"metadata": {"labels": {"made": "later"}}});
        nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    assert_eq!(cluster.until_placed("high").await, other, "though its priority is higher");
}

/// The room that is made for a pod is taken by a more important one; the first then looks elsewhere.
#[tokio::test]
async fn a_more_important_pod_takes_room_that_is_kept() {
    let cluster = cluster(&["2", "2"]).await;
    place(&cluster, "low-1", asks("low", "2", false)).await;
    let other = place(&cluster, "blocker", asks("high", "2", true)).await;
    cluster.pod("middle", asks("middle", "2", true)).await;
    cluster.until_pod("middle", "is nominated", |pod| nominated(pod).is_some()).await;
    cluster.pod("high", asks("high", "2", true)).await;
    cluster.until_pod("high", "is nominated", |pod| nominated(pod).is_some()).await;
    cluster.until_pod("middle", "is nominated no more", |pod| nominated(pod).is_none()).await;
    cluster.delete("blocker").await;
    assert_eq!(cluster.until_placed("high").await, other);
    cluster.delete("low-1").await;
    cluster.until_placed("middle").await;
}
