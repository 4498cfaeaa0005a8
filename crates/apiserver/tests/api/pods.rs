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
    assert_eq!(spec["priority"].as_i64(), Some(0));
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
    let of_old = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}});
    assert_eq!(api.post(&format!("{path}?dryRun=All"), &of_old).await.code, 201);
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

#[tokio::test]
async fn watchers_see_how_a_pod_ends() {
    let api = with_bound_pod().await;
    api.post(PODS, &pod("waiting")).await.ok();
    let mut watch = api.watch(&format!("{PODS}?watch=true")).await;
    assert_eq!((watch.event().await.0, watch.event().await.0), ("ADDED".into(), "ADDED".into()));
    let ends = |object: &Value| {
        let meta = &object["metadata"];
        let marked = meta["deletionTimestamp"].is_string();
        (marked, meta["deletionGracePeriodSeconds"].as_i64(), meta["generation"].as_i64().unwrap())
    };
    // Nobody runs the first, the other is hurried.
    let answer = api.delete(&format!("{PODS}/waiting")).await.ok();
    assert_eq!(ends(&answer), (true, Some(0), 2));
    api.delete(&format!("{PODS}/p")).await.ok();
    let answer = api.delete_with(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.ok();
    assert_eq!(ends(&answer), (true, Some(0), 2));
    let mut seen = Vec::new();
    let mut last = 0;
    for _ in 0..5 {
        let event = watch.next().await.unwrap();
        let version: u64 = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(version > last, "each event is of its own version");
        last = version;
        let name = event["object"]["metadata"]["name"].as_str().unwrap().to_owned();
        seen.push((event["type"].as_str().unwrap().to_owned(), name, ends(&event["object"])));
    }
    let event = |kind: &str, name: &str, grace| (kind.to_owned(), name.to_owned(), (true, Some(grace), 2));
    let expected = [
        event("MODIFIED", "waiting", 0),
        event("DELETED", "waiting", 0),
        event("MODIFIED", "p", 30),
        event("MODIFIED", "p", 0),
        event("DELETED", "p", 0),
    ];
    assert_eq!(seen, expected);
    api.post(PODS, &pod("waiting")).await.ok();
    let dry = api.delete(&format!("{PODS}/waiting?dryRun=All")).await.ok();
    assert_eq!(ends(&dry), (true, Some(0), 2));
    assert!(api.get(&format!("{PODS}/waiting")).await.ok()["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test]
async fn gates_are_told_and_only_get_fewer_and_stricter() {
    let api = Api::start().await;
    let mut gated = pod("p");
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/a"}]);
    gated["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    let created = api.post(PODS, &gated).await.ok();
    let condition = &created["status"]["conditions"][0];
    let facts = ["type", "status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or_default());
    let message = "Scheduling is blocked due to non-empty scheduling gates";
    assert_eq!(facts, ["PodScheduled", "False", "SchedulingGated", message]);
    let table = api.accept(&format!("{PODS}/p"), "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    assert_eq!(table["rows"][0]["cells"][2], "SchedulingGated");
    let path = format!("{PODS}/p");
    let other = api.merge(&path, &json!({"spec": {"nodeSelector": {"disk": "hdd"}}})).await.failure();
    assert_eq!(
        (other.0, other.2.as_str()),
        (
            422,
            "Pod \"p\" is invalid: spec.nodeSelector: Invalid value: {\"disk\":\"hdd\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        )
    );
    let stricter = api.merge(&path, &json!({"spec": {"nodeSelector": {"zone": "a"}}})).await.ok();
    assert_eq!(stricter["spec"]["nodeSelector"], json!({"disk": "ssd", "zone": "a"}));
    let affinity = |values: Value| {
        let term = json!({"matchExpressions": values});
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}})
    };
    let one = json!({"key": "a", "operator": "Exists"});
    api.merge(&path, &affinity(json!([one]))).await.ok();
    api.merge(&path, &affinity(json!([one, {"key": "b", "operator": "Exists"}]))).await.ok();
    let looser = api.merge(&path, &affinity(json!([one]))).await.failure();
    assert_eq!(looser.0, 422);
    assert!(
        looser.2.contains("nodeSelectorTerms[0]: Invalid value: ")
            && looser.2.ends_with(": only additions are allowed (no mutations or deletions)"),
        "{}",
        looser.2
    );
}

#[tokio::test]
async fn a_new_node_is_not_ready() {
    let api = Api::start().await;
    let taints = |node: Value| node["spec"]["taints"].clone();
    let node =
        |spec: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"generateName": "n"}, "spec": spec});
    let not_ready = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let created = api.post("/api/v1/nodes", &node(json!({}))).await.ok();
    assert_eq!(taints(created.clone()), json!([not_ready]));
    let own = json!({"key": "mine", "effect": "NoExecute"});
    let spec = json!({"taints": [own, not_ready]});
    assert_eq!(taints(api.post("/api/v1/nodes", &node(spec)).await.ok()), json!([own, not_ready]));
    let path = format!("/api/v1/nodes/{}", created["metadata"]["name"].as_str().unwrap());
    assert!(taints(api.merge(&path, &json!({"spec": {"taints": null}})).await.ok()).is_null());
}

#[tokio::test]
async fn what_is_hardly_meant_is_told() {
    let api = Api::start().await;
    let mut strange = pod("a.b");
    strange["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    let created = api.post(PODS, &strange).await;
    assert_eq!(created.code, 201);
    let warnings: Vec<&str> = created.headers.get_all("warning").iter().map(|text| text.to_str().unwrap()).collect();
    let expected = [
        "299 - \"metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]\"",
        "299 - \"spec.containers[0].env[1]: hides previous definition of \\\"A\\\", which may be dropped when using apply\"",
    ];
    assert_eq!(warnings, expected);
    let listed = api.get("/api/v1/endpoints").await;
    let warning = "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
    assert_eq!(listed.headers["warning"], warning);
}
