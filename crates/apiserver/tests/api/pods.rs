//! Pods: defaults, binding, status, graceful deletion, eviction.

use serde_json::{Value, json};

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn binding(pod: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": {"kind": "Node", "name": node}})
}

async fn with_bound_pod() -> Api {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await.ok();
    api.post(&format!("{PODS}/p/binding"), &binding("p", "n1")).await.ok();
    api
}

#[tokio::test]
async fn admission_fills_pods_in() {
    let api = Api::start().await;
    let created = api.post(PODS, &pod("p")).await.ok();
    let spec = &created["spec"];
    assert_eq!((spec["serviceAccountName"].as_str(), spec["priority"].as_i64()), (Some("default"), Some(0)));
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(
        (created["status"]["phase"].as_str(), created["status"]["qosClass"].as_str()),
        (Some("Pending"), Some("BestEffort"))
    );
    assert_eq!(created["metadata"]["generation"], 1);
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let api = with_bound_pod().await;
    let bound = api.get(&format!("{PODS}/p")).await.ok();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["metadata"]["generation"], 1, "a binding is no change of what is wanted");
    let condition = &bound["status"]["conditions"][0];
    assert_eq!((condition["type"].as_str(), condition["status"].as_str()), (Some("PodScheduled"), Some("True")));
    let again = api.post(&format!("{PODS}/p/binding"), &binding("p", "n2")).await.failure();
    assert_eq!(again.0, 409);
    assert_eq!(
        again.2,
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
    let on_node = api.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.ok();
    assert_eq!(on_node["items"].as_array().unwrap().len(), 1);
    api.post(PODS, &pod("q")).await.ok();
    let by_collection = api.post("/api/v1/namespaces/default/bindings", &binding("q", "n1")).await;
    assert_eq!(by_collection.code, 201);
}

#[tokio::test]
async fn the_status_is_written_apart() {
    let api = with_bound_pod().await;
    let status = json!({"status": {"phase": "Running", "podIP": "1.2.3.4"}, "spec": {"nodeName": "other"}});
    let written = api.patch(&format!("{PODS}/p/status"), "application/strategic-merge-patch+json", &status).await.ok();
    assert_eq!(
        (written["status"]["phase"].as_str(), written["spec"]["nodeName"].as_str()),
        (Some("Running"), Some("n1"))
    );
    let through_main = api
        .merge(&format!("{PODS}/p"), &json!({"status": {"phase": "Failed"}, "metadata": {"labels": {"a": "b"}}}))
        .await
        .ok();
    assert_eq!(
        (through_main["status"]["phase"].as_str(), through_main["metadata"]["labels"]["a"].as_str()),
        (Some("Running"), Some("b"))
    );
}

#[tokio::test]
async fn a_running_pod_is_deleted_gracefully() {
    let api = with_bound_pod().await;
    let path = format!("{PODS}/p");
    let marked = api.delete(&path).await.ok();
    assert_eq!(
        (marked["kind"].as_str(), marked["metadata"]["deletionGracePeriodSeconds"].as_i64()),
        (Some("Pod"), Some(30))
    );
    let longer = api.delete_with(&path, &json!({"gracePeriodSeconds": 60})).await.ok();
    assert_eq!(longer["metadata"], marked["metadata"], "it can only be hurried");
    let shorter = api.delete_with(&path, &json!({"gracePeriodSeconds": 5})).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(api.delete_with(&path, &json!({"gracePeriodSeconds": 0})).await.ok()["kind"], "Pod");
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_pod_that_nobody_runs_disappears_at_once() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await.ok();
    api.delete(&format!("{PODS}/p")).await.ok();
    assert_eq!(api.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn periods_beyond_all_time_are_as_long_as_time() {
    let api = Api::start().await;
    let mut patient = pod("patient");
    patient["spec"]["terminationGracePeriodSeconds"] = i64::MAX.into();
    patient["spec"]["nodeName"] = "n1".into();
    let path = format!("{PODS}/patient");
    api.post(PODS, &patient).await.ok();
    let marked = api.delete(&path).await.ok();
    assert_eq!(marked["metadata"]["deletionTimestamp"], "9999-12-30T22:00:00Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], i64::MAX);
    let hurried = api.delete_with(&path, &json!({"gracePeriodSeconds": 5})).await.ok();
    assert!(hurried["metadata"]["deletionTimestamp"].as_str().unwrap() < "3000", "{hurried}");
    api.delete_with(&path, &json!({"gracePeriodSeconds": 0})).await.ok();
    assert_eq!(api.get(&path).await.code, 404);
    api.post(PODS, &patient).await.ok();
    for period in [i64::MAX, i64::MAX - 1, 300_000_000_000] {
        assert_eq!(api.delete(&format!("{path}?gracePeriodSeconds={period}")).await.code, 200, "{period}");
    }
    let refused = api.delete(&format!("{path}?gracePeriodSeconds=9223372036854775808")).await.failure();
    assert_eq!(
        (refused.0, refused.2.as_str()),
        (400, "strconv.ParseInt: parsing \"9223372036854775808\": value out of range")
    );
    api.delete(&format!("{path}?gracePeriodSeconds=-1")).await.ok();
    api.delete(&format!("{path}?gracePeriodSeconds=0")).await.ok();
    assert_eq!(api.get(&path).await.code, 404);
    // A whole namespace of them can be emptied.
    api.post(PODS, &patient).await.ok();
    patient["metadata"]["name"] = "waiting".into();
    patient["spec"]["nodeName"] = Value::Null;
    api.post(PODS, &patient).await.ok();
    api.delete(PODS).await.ok();
    let left = api.get(PODS).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["deletionTimestamp"], "9999-12-30T22:00:00Z");
}

#[tokio::test]
async fn eviction_deletes() {
    let api = with_bound_pod().await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let path = format!("{PODS}/p/eviction");
    let tries = [
        (path.clone(), json!({"dryRun": ["All"]})),
        (format!("{path}?dryRun=All"), json!({})),
        (format!("{path}?dryRun=All"), json!({"dryRun": ["All"]})),
    ];
    for (path, options) in tries {
        let mut eviction = eviction.clone();
        eviction["deleteOptions"] = options;
        assert_eq!(api.post(&path, &eviction).await.code, 201);
        assert!(
            api.get(&format!("{PODS}/p")).await.ok()["metadata"]["deletionTimestamp"].is_null(),
            "{path} {eviction}"
        );
    }
    let nameless = api.post(&path, &json!({})).await.failure();
    assert_eq!((nameless.0, nameless.2.as_str()), (400, "name in URL does not match name in Eviction object"));
    assert_eq!(api.post(&path, &eviction).await.code, 201);
    assert!(!api.get(&format!("{PODS}/p")).await.ok()["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test]
async fn deployments_scale() {
    let api = Api::start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    });
    api.post(deployments, &deployment).await.ok();
    let path = format!("{deployments}/d/scale");
    let mut scale = api.get(&path).await.ok();
    assert_eq!((scale["kind"].as_str(), scale["spec"]["replicas"].as_i64()), (Some("Scale"), Some(1)));
    assert_eq!(scale["status"]["selector"], "a=b");
    scale["spec"]["replicas"] = 3.into();
    assert_eq!(api.put(&path, &scale).await.ok()["spec"]["replicas"], 3);
    assert_eq!(api.merge(&path, &json!({"spec": {"replicas": 5}})).await.ok()["spec"]["replicas"], 5);
    assert_eq!(api.put(&path, &scale).await.code, 409);
    let another = |metadata| json!({"metadata": metadata, "spec": {"replicas": 7}});
    assert_eq!(api.merge(&path, &another(json!({"uid": "of another d"}))).await.code, 409);
    assert_eq!(api.put(&path, &another(json!({"name": "e"}))).await.code, 400);
    let scaled = api.get(&format!("{deployments}/d")).await.ok();
    assert_eq!((scaled["spec"]["replicas"].as_i64(), scaled["metadata"]["generation"].as_i64()), (Some(5), Some(3)));
}
