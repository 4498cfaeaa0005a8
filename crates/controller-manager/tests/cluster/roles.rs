//! Cluster roles that gather others.

use api_types::rbac::ClusterRole;
use component::informer::{ObjectKey, Store};
use serde_json::{Value, json};

use crate::harness::Cluster;

fn role(name: &str, label: &str, resource: &str) -> Value {
    let rule = json!({"verbs": ["get"], "apiGroups": ["example.com"], "resources": [resource]});
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {label: "true"}}, "rules": [rule]})
}

fn resources(roles: &Store<ClusterRole>) -> Vec<String> {
    let all = roles.get(&ObjectKey::new("", "all"));
    let rules = all.iter().flat_map(|role| role.rules.iter().flatten());
    rules.flat_map(|rule| rule.resources.iter().flatten().cloned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_roles_gather_what_has_their_label() {
    let cluster = Cluster::start("--leader-elect=false").await;
    let selector = json!([{"matchLabels": {"gathered": "true"}}]);
    let all = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": selector}});
    cluster.create::<ClusterRole>(all).await;
    cluster.create::<ClusterRole>(role("b", "gathered", "trees")).await;
    cluster.create::<ClusterRole>(role("a", "gathered", "lakes")).await;
    cluster.create::<ClusterRole>(role("c", "left-alone", "stars")).await;
    cluster.until::<ClusterRole>("both are gathered", |roles| resources(roles) == ["lakes", "trees"]).await;
    let api: kube::Api<ClusterRole> = kube::Api::all(cluster.client.clone());
    api.delete("a", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.until::<ClusterRole>("what is gone is gathered no more", |roles| resources(roles) == ["trees"]).await;
}
