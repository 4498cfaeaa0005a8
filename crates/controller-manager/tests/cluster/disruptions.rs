//! Disruption budgets.

use api_types::{
    core::Pod,
    policy::{PodDisruptionBudget, PodDisruptionBudgetStatus},
};
use component::informer::Store;
use http::Request;
use serde_json::{Value, json};

use crate::harness::{Cluster, key, template};

const CONTROLLERS: &str = "--leader-elect=false --controllers=disruption,deployment,replicaset,job";

async fn create_budget(cluster: &Cluster, spec: Value) {
    cluster
        .create::<PodDisruptionBudget>(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}))
        .await;
}

fn status(budgets: &Store<PodDisruptionBudget>) -> PodDisruptionBudgetStatus {
    let budget = budgets.get(&key("web")).unwrap();
    budget.status.clone().filter(|status| status.observed_generation == budget.metadata.generation).unwrap_or_default()
}

/// Healthy pods, how many there should be, how many are expected, and how many may go.
fn counts(healthy: i32, desired: i32, expected: i32, allowed: i32) -> impl Fn(&Store<PodDisruptionBudget>) -> bool {
    move |budgets| {
        let own = status(budgets);
        (own.current_healthy, own.desired_healthy, own.expected_pods, own.disruptions_allowed)
            == (Some(healthy), Some(desired), Some(expected), Some(allowed))
    }
}

/// Evicts a pod.
async fn evict(cluster: &Cluster, pod: &str) {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    let request = Request::post(format!("/api/v1/namespaces/default/pods/{pod}/eviction"))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&eviction).unwrap());
    cluster.client.request::<Value>(request.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_lets_one_pod_go_after_another() {
    let cluster = Cluster::start(CONTROLLERS).await;
    let selector = json!({"matchLabels": {"app": "web"}});
    create_budget(&cluster, json!({"selector": selector, "maxUnavailable": 1})).await;
    cluster.until_event("NoPods", |message| message == "No matching pods found").await;
    cluster.until("nothing may go", counts(0, 0, 0, 0)).await;
    cluster.create_deployment(json!({})).await;
    cluster.until("one of three may go", counts(3, 2, 3, 1)).await;
    let pods = cluster.informers.of::<Pod>();
    let pod = pods.store().list()[0].metadata.name.clone().unwrap();
    evict(&cluster, &pod).await;
    cluster.until::<Pod>("another comes", |pods| pods.len() == 3 && pods.get(&key(&pod)).is_none()).await;
    cluster.until("one of three may go again", counts(3, 2, 3, 1)).await;
    assert_eq!(status(cluster.informers.of().store()).disrupted_pods, None);

    cluster.patch::<PodDisruptionBudget>("web", json!({"spec": {"maxUnavailable": 0}})).await;
    cluster.until("none may go", counts(3, 3, 3, 0)).await;
    let spec = json!({"spec": {"maxUnavailable": null, "minAvailable": "50%"}});
    cluster.patch::<PodDisruptionBudget>("web", spec).await;
    cluster.until("one more than half", counts(3, 2, 3, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_without_a_size_are_told_of() {
    let cluster = Cluster::start(CONTROLLERS).await;
    let mut single = template("runs");
    single["metadata"]["name"] = "single".into();
    single["metadata"]["namespace"] = "default".into();
    cluster.create::<Pod>(single).await;
    let selector = json!({"matchLabels": {"app": "web"}});
    create_budget(&cluster, json!({"selector": selector, "maxUnavailable": 1})).await;
    let message = "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged.";
    cluster.until_event("UnmanagedPods", |own| own.starts_with(message)).await;
    cluster.patch::<PodDisruptionBudget>("web", json!({"spec": {"maxUnavailable": null, "minAvailable": 1}})).await;
    cluster.until("the pod has to stay", counts(1, 1, 1, 0)).await;

    // A job has no scale.
    let job = json!({
        "metadata": {"name": "pi", "namespace": "default"},
        "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "runs"}],
        }}},
    });
    cluster.create::<api_types::batch::Job>(job).await;
    cluster.until("the pods of both", counts(2, 1, 2, 1)).await;
    cluster.patch::<PodDisruptionBudget>("web", json!({"spec": {"maxUnavailable": 1, "minAvailable": null}})).await;
    cluster
        .until_event("CalculateExpectedPodCountFailed", |message| {
            message.ends_with("jobs.batch does not implement the scale subresource")
        })
        .await;
    cluster
        .until::<PodDisruptionBudget>("none may go", |budgets| {
            let budget = budgets.get(&key("web")).unwrap();
            let status = budget.status.clone().unwrap_or_default();
            status.disruptions_allowed == Some(0)
                && status.conditions.is_some_and(|conditions| conditions[0].reason == "SyncFailed")
        })
        .await;
}
