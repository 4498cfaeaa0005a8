//! Evictions and disruption budgets; ephemeral containers and resizing, which are doors of pods, too.

use serde_json::{Value, json};

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

fn pod(name: &str) -> Value {
    let resources = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        // It stays to be looked at.
        "metadata": {"name": name, "labels": {"a": "b"}, "finalizers": ["example.com/kept"]},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    })
}

fn ready(status: &str) -> Value {
    json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}})
}

async fn with_pods(names: &[&str]) -> Api {
    let api = Api::start().await;
    for name in names {
        api.post(PODS, &pod(name)).await.ok();
        api.merge(&format!("{PODS}/{name}/status"), &ready("True")).await.ok();
    }
    api
}

/// A budget that allows so many disruptions, once its controller has looked at it.
async fn budget(api: &Api, name: &str, allowed: i32) {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
    });
    api.post(BUDGETS, &budget).await.ok();
    let status = json!({"status": {
        "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 2, "expectedPods": 2,
    }});
    api.merge(&format!("{BUDGETS}/{name}/status"), &status).await.ok();
}

async fn evict(api: &Api, name: &str) -> crate::client::Reply {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    api.post(&format!("{PODS}/{name}/eviction"), &eviction).await
}

#[tokio::test]
async fn an_eviction_names_its_pod() {
    let api = with_pods(&["p"]).await;
    let refused = api.post(&format!("{PODS}/p/eviction"), &json!({})).await.failure();
    assert_eq!((refused.0, refused.2.as_str()), (400, "name in URL does not match name in Eviction object"));
}

#[tokio::test]
async fn an_evicted_pod_tells_why() {
    let api = with_pods(&["p"]).await;
    let tried = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}});
    assert_eq!(api.post(&format!("{PODS}/p/eviction"), &tried).await.code, 201);
    assert!(api.get(&format!("{PODS}/p")).await.ok()["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(evict(&api, "p").await.ok()["status"], "Success");
    let pod = api.get(&format!("{PODS}/p")).await.ok();
    assert!(!pod["metadata"]["deletionTimestamp"].is_null());
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|own| own["type"] == "DisruptionTarget").unwrap();
    assert_eq!(
        (&condition["status"], &condition["reason"], &condition["message"]),
        (&json!("True"), &json!("EvictionByEvictionAPI"), &json!("Eviction API: evicting"))
    );
}

#[tokio::test]
async fn the_last_disruption_is_given_away_once() {
    let names = ["p0", "p1", "p2", "p3", "p4"];
    let api = with_pods(&names).await;
    budget(&api, "b", 2).await;
    let replies = futures::future::join_all(names.iter().map(|name| evict(&api, name))).await;
    let (done, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.code == 201);
    assert_eq!((done.len(), refused.len()), (2, 3));
    for reply in refused {
        let status = reply.json();
        assert_eq!((reply.code, status["reason"].as_str()), (429, Some("TooManyRequests")));
        assert_eq!(status["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
        let cause = json!([{
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 2 healthy pods and has 1 currently",
        }]);
        assert_eq!(status["details"]["causes"], cause);
    }
    let status = &api.get(&format!("{BUDGETS}/b")).await.ok()["status"];
    assert_eq!((&status["disruptionsAllowed"], status["disruptedPods"].as_object().unwrap().len()), (&json!(0), 2));
    assert_eq!(status["conditions"][0]["reason"], "InsufficientPods");
}

#[tokio::test]
async fn a_budget_that_is_behind_lets_nobody_go() {
    let api = with_pods(&["p"]).await;
    budget(&api, "b", 1).await;
    api.merge(&format!("{BUDGETS}/b"), &json!({"spec": {"minAvailable": 2}})).await.ok();
    let refused = evict(&api, "p").await;
    assert_eq!((refused.code, refused.headers["retry-after"].to_str().unwrap()), (429, "10"));
    let why = "The disruption budget b is still being processed by the server.";
    assert_eq!(refused.json()["details"]["causes"][0]["message"], why);
    budget(&api, "c", 1).await;
    let ambiguous = evict(&api, "p").await;
    let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!((ambiguous.code, ambiguous.json()["message"].as_str()), (500, Some(message)));
}

#[tokio::test]
async fn unhealthy_pods_may_go() {
    let api = with_pods(&["p"]).await;
    budget(&api, "b", 0).await;
    api.merge(&format!("{PODS}/p/status"), &ready("False")).await.ok();
    assert_eq!(evict(&api, "p").await.code, 429);
    api.merge(&format!("{BUDGETS}/b"), &json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})).await.ok();
    assert_eq!(evict(&api, "p").await.code, 201);
}

#[tokio::test]
async fn ephemeral_containers_come_to_stay() {
    let api = with_pods(&["p"]).await;
    let path = format!("{PODS}/p/ephemeralcontainers");
    let strategic = "application/strategic-merge-patch+json";
    let container = json!({"name": "d", "image": "i", "targetContainerName": "c"});
    let patch = json!({"spec": {"ephemeralContainers": [container], "nodeName": "n"}});
    let patched = api.patch(&path, strategic, &patch).await.ok();
    let added = &patched["spec"]["ephemeralContainers"][0];
    assert_eq!((&added["name"], &added["imagePullPolicy"]), (&json!("d"), &json!("Always")));
    assert!(patched["spec"]["nodeName"].is_null(), "this door writes nothing else");
    assert_eq!(patched["metadata"]["generation"], 2);
    assert_eq!(api.get(&path).await.ok(), patched);
    let mut without = patched.clone();
    without["spec"]["ephemeralContainers"] = json!([]);
    let refused = api.put(&path, &without).await.failure();
    assert!(refused.2.contains(r#"existing ephemeral containers "d" may not be removed"#), "{}", refused.2);
    let through_main = api.put(&format!("{PODS}/p"), &without).await.failure();
    assert!(
        through_main.2.contains("spec: Forbidden: pod updates may not change fields other than"),
        "{}",
        through_main.2
    );
    let mut new = pod("q");
    new["spec"]["ephemeralContainers"] = json!([container]);
    let refused = api.post(PODS, &new).await.failure();
    assert!(refused.2.ends_with("spec.ephemeralContainers: Forbidden: cannot be set on create"), "{}", refused.2);
}

#[tokio::test]
async fn a_pod_gets_more_of_what_it_has() {
    let api = with_pods(&["p"]).await;
    let path = format!("{PODS}/p/resize");
    let strategic = "application/strategic-merge-patch+json";
    let resources = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "1Gi"}});
    let patch = |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": resources(cpu)}]}});
    let resized = api.patch(&path, strategic, &patch("2")).await.ok();
    assert_eq!(resized["spec"]["containers"][0]["resources"], resources("2"));
    let image = json!({"spec": {"containers": [{"name": "c", "image": "j"}]}});
    assert_eq!(api.patch(&path, strategic, &image).await.ok()["spec"]["containers"][0]["image"], "i");
    let refused = api.patch(&format!("{PODS}/p"), strategic, &patch("3")).await.failure();
    assert!(refused.2.contains("pod updates may not change fields other than"), "{}", refused.2);
}
