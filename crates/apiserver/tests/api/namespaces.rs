//! Namespaces and their two-phase deletion.

use serde_json::{Value, json};

use crate::client::Api;

const NAMESPACES: &str = "/api/v1/namespaces";

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

#[tokio::test]
async fn every_cluster_has_some() {
    let api = Api::start().await;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let found = api.get(&format!("{NAMESPACES}/{name}")).await.ok();
        assert_eq!(found["metadata"]["labels"]["kubernetes.io/metadata.name"], name);
        assert_eq!(found["status"]["phase"], "Active");
    }
    let (code, _, message) = api.delete(&format!("{NAMESPACES}/default")).await.failure();
    assert_eq!(
        (code, message.as_str()),
        (403, "namespaces \"default\" is forbidden: this namespace may not be deleted")
    );
}

#[tokio::test]
async fn deletion_has_two_phases() {
    let api = Api::start().await;
    api.post(NAMESPACES, &namespace("a")).await.ok();
    let terminating = api.delete(&format!("{NAMESPACES}/a")).await.ok();
    assert_eq!(terminating["status"]["phase"], "Terminating");
    assert!(!terminating["metadata"]["deletionTimestamp"].is_null());

    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let refused = api.post(&format!("{NAMESPACES}/a/configmaps"), &map).await;
    let (code, reason, message) = refused.failure();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "configmaps \"m\" is forbidden: unable to create new content in namespace a because it is being terminated"
    );
    assert_eq!(refused.json()["details"]["causes"][0]["reason"], "NamespaceTerminating");

    let mut finalized = api.get(&format!("{NAMESPACES}/a")).await.ok();
    finalized["spec"]["finalizers"] = json!([]);
    api.put(&format!("{NAMESPACES}/a/finalize"), &finalized).await.ok();
    assert_eq!(api.get(&format!("{NAMESPACES}/a")).await.code, 404);
}

#[tokio::test]
async fn an_update_keeps_the_finalizer() {
    let api = Api::start().await;
    api.post(NAMESPACES, &namespace("a")).await.ok();
    let updated = api.put(&format!("{NAMESPACES}/a"), &namespace("a")).await.ok();
    assert_eq!(updated["spec"]["finalizers"], json!(["kubernetes"]));
}
