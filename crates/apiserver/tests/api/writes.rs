//! Create, update and patch of plain objects.

use http::Method;
use serde_json::{Value, json};

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

#[tokio::test]
async fn an_object_lives() {
    let api = Api::start().await;
    let created = api.post(MAPS, &map("a")).await;
    assert_eq!(created.code, 201);
    let created = created.json();
    let meta = &created["metadata"];
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        assert!(!meta[field].is_null(), "{field}");
    }
    assert_eq!(meta["namespace"], "default");
    let path = format!("{MAPS}/a");
    assert_eq!(api.get(&path).await.ok(), created);

    let mut changed = created.clone();
    changed["data"]["k"] = "w".into();
    let updated = api.put(&path, &changed).await.ok();
    assert_eq!(updated["data"]["k"], "w");
    assert_ne!(updated["metadata"]["resourceVersion"], meta["resourceVersion"]);
    let stale = api.put(&path, &changed).await.failure();
    assert_eq!((stale.0, stale.1.as_str()), (409, "Conflict"));
    assert_eq!(
        stale.2,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );

    let patched = api.merge(&path, &json!({"data": {"k": null, "n": "1"}})).await.ok();
    assert_eq!(patched["data"], json!({"n": "1"}));
    let again = api.merge(&path, &json!({"data": {"n": "1"}})).await.ok();
    assert_eq!(again, patched, "a patch that changes nothing writes nothing");

    let deleted = api.delete(&path).await.ok();
    assert_eq!((deleted["kind"].as_str(), deleted["status"].as_str()), (Some("Status"), Some("Success")));
    assert_eq!(deleted["details"]["kind"], "configmaps");
    assert_eq!(api.get(&path).await.failure().2, "configmaps \"a\" not found");
}

#[tokio::test]
async fn names_are_generated() {
    let api = Api::start().await;
    let mut object = map("");
    object["metadata"] = json!({"generateName": "made-"});
    let name = api.post(MAPS, &object).await.ok()["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("made-") && name.len() == 10, "{name}");
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let api = Api::start().await;
    let tried = api.post(&format!("{MAPS}?dryRun=All"), &map("a")).await;
    assert_eq!((tried.code, tried.json()["metadata"]["name"].as_str()), (201, Some("a")));
    assert_eq!(api.get(&format!("{MAPS}/a")).await.code, 404);
    api.post(MAPS, &map("a")).await.ok();
    let tried = api.merge(&format!("{MAPS}/a?dryRun=All"), &json!({"data": {"x": "y"}})).await.ok();
    assert_eq!(tried["data"]["x"], "y");
    api.delete(&format!("{MAPS}/a?dryRun=All")).await.ok();
    assert_eq!(api.get(&format!("{MAPS}/a")).await.ok()["data"], json!({"k": "v"}));
    let refused = api.post(&format!("{MAPS}?dryRun=Some"), &map("b")).await.failure();
    assert!(refused.2.contains("dryRun: Unsupported value: \"Some\""), "{}", refused.2);
}

#[tokio::test]
async fn unknown_fields_are_told_as_the_client_asks() {
    let api = Api::start().await;
    let mut object = map("a");
    object["foo"] = 1.into();
    let strict = api.post(&format!("{MAPS}?fieldValidation=Strict"), &object).await.failure();
    let words =
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\"";
    assert_eq!((strict.0, strict.2.as_str()), (400, words));
    let warned = api.post(&format!("{MAPS}?fieldValidation=Warn"), &object).await;
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"foo\\\"\"");
    let silent = api.put(&format!("{MAPS}/a?fieldValidation=Ignore"), &object).await;
    assert_eq!((silent.code, silent.headers.get("warning")), (200, None));
}

#[tokio::test]
async fn bodies_may_be_yaml() {
    let api = Api::start().await;
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {k: v}\n".to_vec();
    let created = api.raw(Method::POST, MAPS, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!(created.ok()["data"]["k"], "v");
    let read = api.accept(&format!("{MAPS}/a"), "application/yaml").await;
    assert_eq!(read.headers["content-type"], "application/yaml");
    assert!(String::from_utf8(read.bytes).unwrap().contains("kind: ConfigMap"));
}

#[tokio::test]
async fn writers_that_race_all_win() {
    let api = Api::start().await;
    api.post(MAPS, &map("a")).await.ok();
    let path = format!("{MAPS}/a");
    let bodies: Vec<Value> = (0..20).map(|i| json!({"data": {format!("k{i}"): "v"}})).collect();
    futures::future::join_all(bodies.iter().map(|body| async { api.merge(&path, body).await.ok() })).await;
    assert_eq!(api.get(&path).await.ok()["data"].as_object().unwrap().len(), 21);
}

#[tokio::test]
async fn secrets_take_texts_and_keep_bytes() {
    let api = Api::start().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}});
    let created = api.post(secrets, &secret).await.ok();
    assert_eq!((created["data"]["a"].as_str(), created["stringData"].is_null()), (Some("Yg=="), true));
    assert_eq!(created["type"], "Opaque");
}

#[tokio::test]
async fn leases_are_created_by_put() {
    let api = Api::start().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    assert_eq!(api.put(path, &lease).await.code, 201);
    let blind = api.put(path, &lease).await.failure();
    assert!(
        blind.2.contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{}",
        blind.2
    );
    assert_eq!(api.put(&format!("{MAPS}/absent"), &map("absent")).await.code, 404);
}

#[tokio::test]
async fn server_side_apply_creates_and_conflicts() {
    let api = Api::start().await;
    let apply = "application/apply-patch+yaml";
    let path = format!("{MAPS}/a?fieldManager=one");
    assert_eq!(api.patch(&path, apply, &map("a")).await.code, 201);
    let mut other = map("a");
    other["data"]["k"] = "w".into();
    let conflict = api.patch(&format!("{MAPS}/a?fieldManager=two"), apply, &other).await;
    assert_eq!(conflict.failure().0, 409);
    let forced = api.patch(&format!("{MAPS}/a?fieldManager=two&force=true"), apply, &other).await.ok();
    assert_eq!(forced["data"]["k"], "w");
}

/// Leases may not be updated without naming a version; what is applied is merged into the current one.
#[tokio::test]
async fn server_side_apply_needs_no_version() {
    let api = Api::start().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l?fieldManager=one";
    let lease = |holder: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": holder}});
    assert_eq!(api.patch(path, "application/apply-patch+yaml", &lease("a")).await.code, 201);
    let applied = api.patch(path, "application/apply-patch+yaml", &lease("b")).await.ok();
    assert_eq!(applied["spec"]["holderIdentity"], "b");
    let mut stale = lease("c");
    stale["metadata"]["resourceVersion"] = "1".into();
    assert_eq!(api.patch(path, "application/apply-patch+yaml", &stale).await.failure().0, 409);
}

#[tokio::test]
async fn each_door_writes_its_own_part() {
    let api = Api::start().await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let of = |kind: &str, version: &str, selector: &Value| {
        json!({
            "apiVersion": version, "kind": kind, "metadata": {"name": "x"},
            "spec": {"replicas": 2, "selector": selector, "template": template}, "status": {"replicas": 9},
        })
    };
    let kinds = [
        ("/apis/apps/v1/namespaces/default/deployments", of("Deployment", "apps/v1", &selector), Value::Null),
        ("/apis/apps/v1/namespaces/default/replicasets", of("ReplicaSet", "apps/v1", &selector), "d".into()),
        (
            "/api/v1/namespaces/default/replicationcontrollers",
            of("ReplicationController", "v1", &json!({"a": "b"})),
            "d".into(),
        ),
    ];
    for (path, object, label) in kinds {
        let created = api.post(path, &object).await.ok();
        assert_eq!(
            (created["status"]["replicas"].as_i64().unwrap_or(0), &created["metadata"]["generation"]),
            (0, &json!(1))
        );
        let path = format!("{path}/x");
        let change = json!({"metadata": {"labels": {"c": "d"}}, "spec": {"replicas": 3}, "status": {"replicas": 7}});
        let status = api.merge(&format!("{path}/status"), &change).await.ok();
        assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(2), &json!(7)), "{path}");
        // Only the status of a deployment leaves its labels alone.
        assert_eq!(status["metadata"]["labels"]["c"], label, "{path}");
        assert_eq!(status["metadata"]["generation"], 1);
        let change = json!({"spec": {"replicas": 3}, "status": {"replicas": 5}});
        let changed = api.merge(&path, &change).await.ok();
        assert_eq!((&changed["spec"]["replicas"], &changed["status"]["replicas"]), (&json!(3), &json!(7)), "{path}");
        assert_eq!(changed["metadata"]["generation"], 2);
        let annotated = api.merge(&path, &json!({"metadata": {"annotations": {"e": "f"}}})).await.ok();
        let expected = if label.is_null() { 3 } else { 2 };
        assert_eq!(
            annotated["metadata"]["generation"], expected,
            "a deployment's controller reads annotations: {path}"
        );
    }
}
