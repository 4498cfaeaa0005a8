//! Finalizers, propagation, preconditions.

use serde_json::{Value, json};

use crate::client::Api;

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

fn set(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    })
}

#[tokio::test]
async fn propagation_becomes_finalizers() {
    let api = Api::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        api.post(SETS, &set(&name)).await.ok();
        let path = format!("{SETS}/{name}");
        let marked = api.delete_with(&path, &json!({"propagationPolicy": policy})).await.ok();
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
        assert!(!marked["metadata"]["deletionTimestamp"].is_null());
        assert_eq!(marked["metadata"]["generation"], 2);
        let again = api.delete_with(&path, &json!({"propagationPolicy": policy})).await.ok();
        assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);
        api.merge(&path, &json!({"metadata": {"finalizers": null}})).await.ok();
        assert_eq!(api.get(&path).await.code, 404, "the last finalizer is gone");
    }
    api.post(SETS, &set("background")).await.ok();
    assert_eq!(
        api.delete_with(&format!("{SETS}/background"), &json!({"propagationPolicy": "Background"})).await.ok()["status"],
        "Success"
    );
    let refused = api
        .delete_with(&format!("{SETS}/x?propagationPolicy=Sideways"), &json!({"propagationPolicy": "Sideways"}))
        .await;
    assert_eq!(refused.code, 422);
}

#[tokio::test]
async fn finalizers_hold_an_object_back() {
    let api = Api::start().await;
    let mut object = set("held");
    object["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    api.post(SETS, &object).await.ok();
    let path = format!("{SETS}/held");
    api.delete(&path).await.ok();
    let added = api
        .merge(&path, &json!({"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}}))
        .await
        .failure();
    assert!(added.2.contains("no new finalizers can be added if the object is being deleted"), "{}", added.2);
    api.merge(&path, &json!({"metadata": {"finalizers": ["example.com/b"]}})).await.ok();
    assert_eq!(api.get(&path).await.code, 200);
    api.merge(&path, &json!({"metadata": {"finalizers": []}})).await.ok();
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test]
async fn only_the_object_that_is_meant_is_deleted() {
    let api = Api::start().await;
    let created = api.post(SETS, &set("a")).await.ok();
    let path = format!("{SETS}/a");
    let wrong = api.delete_with(&path, &json!({"preconditions": {"uid": "other"}})).await.failure();
    assert_eq!(wrong.0, 409);
    assert!(wrong.2.contains("the UID in the precondition (other) does not match the UID in record"), "{}", wrong.2);
    let wrong = api.delete_with(&path, &json!({"preconditions": {"resourceVersion": "1"}})).await.failure();
    assert!(wrong.2.contains("the ResourceVersion in the precondition (1) does not match"), "{}", wrong.2);
    let uid = &created["metadata"]["uid"];
    assert_eq!(api.delete_with(&path, &json!({"preconditions": {"uid": uid}})).await.code, 200);
}

#[tokio::test]
async fn a_deletion_with_another_body_deletes_nothing() {
    let api = Api::start().await;
    api.post(SETS, &set("a")).await.ok();
    let path = format!("{SETS}/a");
    for target in [path.as_str(), SETS] {
        let refused = api.delete_with(target, &set("a")).await.failure();
        assert_eq!(refused.0, 400);
        assert!(refused.2.starts_with("no kind \"ReplicaSet\" is registered for version \"apps/v1\""), "{}", refused.2);
    }
    for query in ["timeoutSeconds=x", "limit=x"] {
        assert_eq!(api.delete(&format!("{SETS}?{query}")).await.failure().0, 400, "{query}");
    }
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]});
    for target in [path.as_str(), SETS] {
        api.delete_with(target, &options).await.ok();
        api.delete(&format!("{target}?dryRun=All")).await.ok();
    }
    assert_eq!(api.get(&path).await.code, 200);
}

#[tokio::test]
async fn nothing_is_deleted_across_namespaces() {
    let api = Api::start().await;
    api.post(SETS, &set("a")).await.ok();
    for path in ["/apis/apps/v1/replicasets", "/api/v1/pods", "/api/v1/secrets", "/api/v1/events"] {
        assert_eq!(api.delete(path).await.failure().0, 405, "{path}");
    }
    assert_eq!(api.get(&format!("{SETS}/a")).await.code, 200);
}

#[tokio::test]
async fn a_name_is_taken_until_its_object_is_gone() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let object = json!({"metadata": {"name": "a", "finalizers": ["example.com/a"]}});
    api.post(path, &object).await.ok();
    api.delete(&format!("{path}/a")).await.ok();
    for query in ["", "?dryRun=All"] {
        let (code, reason, message) = api.post(&format!("{path}{query}"), &object).await.failure();
        let expected = r#"object is being deleted: configmaps "a" already exists"#;
        assert_eq!((code, &*reason, &*message), (409, "AlreadyExists", expected));
    }
}
