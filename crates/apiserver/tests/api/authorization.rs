//! The authorizers that flags and files name.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{client::Api, rbac::Person};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn person<'a>(api: &'a Api, name: &'a str) -> Person<'a> {
    Person { api, name, groups: &[] }
}

#[tokio::test]
async fn policies_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let spec = json!({"user": "ann", "namespace": "default", "resource": "pods", "apiGroup": "*", "readonly": true});
    let line = json!({"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec});
    let path = file(directory.path(), "policies", &format!("# people\n{line}\n"));
    let flag = format!("--authorization-policy-file={}", path.display());
    let api = Api::start_with(&["--authorization-mode=ABAC", &flag]).await;
    assert_eq!(person(&api, "ann").get(PODS).await.code, 200);
    let refused = person(&api, "eve").get(PODS).await.failure();
    assert!(refused.2.ends_with(": No policy matched."), "{}", refused.2);
}

/// A second server is the webhook of the first.
#[tokio::test]
async fn a_webhook_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let other = Api::start_with(&["--authorization-mode=RBAC"]).await;
    let server = format!("{}/apis/authorization.k8s.io/v1/subjectaccessreviews", other.server.url());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {}}],
    });
    let path = file(directory.path(), "kubeconfig", &kubeconfig.to_string());
    let flags = [
        "--authorization-mode=Webhook",
        "--authorization-webhook-version=v1",
        "--authorization-webhook-cache-unauthorized-ttl=0s",
        &format!("--authorization-webhook-config-file={}", path.display()),
    ];
    let api = Api::start_with(&flags).await;
    let ann = person(&api, "ann");
    assert_eq!(ann.get(PODS).await.code, 403);
    let subjects = json!([{"kind": "User", "name": "ann"}]);
    let role = json!({"kind": "ClusterRole", "name": "cluster-admin"});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "ann"}, "roleRef": role, "subjects": subjects});
    other.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.ok();
    ann.code_becomes(PODS, 200).await;
    other.server.stop().await;
    assert_eq!(ann.get(PODS).await.code, 200, "its consent stays good for a while");
    assert_eq!(person(&api, "eve").get(PODS).await.code, 500, "nobody is there to ask");
}

#[tokio::test]
async fn the_list_of_authorizers_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let text = |authorizers: &str| {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: {authorizers}\n"
        )
    };
    let path = file(directory.path(), "config", &text("[{type: Node, name: node}, {type: RBAC, name: rbac}]"));
    let api = Api::start_with(&[&format!("--authorization-config={}", path.display())]).await;
    let ann = person(&api, "ann");
    assert_eq!(ann.get(PODS).await.code, 403);
    assert_eq!(ann.get("/api").await.code, 200);
    file(directory.path(), "config", &text("[{type: AlwaysAllow, name: all}]"));
    ann.code_becomes(PODS, 200).await;
    file(directory.path(), "config", &text("[{type: AlwaysDeny, name: none}]"));
    ann.code_becomes("/api", 403).await;
    file(directory.path(), "config", &text("[{type: Magic, name: none}]"));
    assert_eq!(ann.get("/api").await.code, 403, "what makes no sense changes nothing");
}
