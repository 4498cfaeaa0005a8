//! Kubelets: what they may read, and what they may write.

use http::Method;
use serde_json::{Value, json};

use crate::{client::Api, rbac::Person};

const FLAGS: &[&str] = &["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"];
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";

fn kubelet(api: &Api) -> Person<'_> {
    Person { api, name: "system:node:n", groups: &["system:nodes"] }
}

fn node(name: &str, more: Value) -> Value {
    let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node
}

fn pod(name: &str, node: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

async fn refusal(kubelet: &Person<'_>, method: Method, path: &str, body: &Value) -> String {
    let (code, _, message) = kubelet.send(method, path, body).await.failure();
    assert_eq!(code, 403, "{message}");
    message
}

#[tokio::test]
async fn kubelets_read_what_their_pods_need() {
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    for name in ["used", "unused"] {
        api.post("/api/v1/namespaces/default/secrets", &secret(name)).await.ok();
    }
    let path = |name: &str| format!("/api/v1/namespaces/default/secrets/{name}");
    let message = r#"secrets "used" is forbidden: User "system:node:n" cannot get resource "secrets" in API group "" in the namespace "default": no relationship found between node 'n' and this object"#;
    assert_eq!(refusal(&kubelet, Method::GET, &path("used"), &Value::Null).await, message);
    let volumes = json!({"volumes": [{"name": "v", "secret": {"secretName": "used"}}]});
    api.post(PODS, &pod("p", "n", volumes)).await.ok();
    kubelet.code_becomes(&path("used"), 200).await;
    assert_eq!(kubelet.get(&path("unused")).await.code, 403);
    assert_eq!(kubelet.get(&path("none")).await.code, 403, "whether it exists is not told");
    let watch = "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dused";
    assert_eq!(kubelet.get(watch).await.code, 200);
    assert_eq!(kubelet.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn").await.code, 200);
    assert_eq!(kubelet.get("/api/v1/pods").await.code, 403);
    api.delete_with(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.ok();
    kubelet.code_becomes(&path("used"), 403).await;
}

#[tokio::test]
async fn kubelets_write_their_own_node_only() {
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    let other = refusal(&kubelet, Method::POST, NODES, &node("m", json!({}))).await;
    assert_eq!(other, r#"nodes "m" is forbidden: node "n" is not allowed to modify node "m""#);
    let labels = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": "",
        "kubernetes.io/os": "linux", "example.com/a": "b"}}});
    let labelled = refusal(&kubelet, Method::POST, NODES, &node("n", labels)).await;
    let message = r#"nodes "n" is forbidden: node "n" is not allowed to set the following labels: node-role.kubernetes.io/control-plane"#;
    assert_eq!(labelled, message);
    let own = json!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    kubelet.send(Method::POST, NODES, &node("n", own)).await.ok();
    let path = format!("{NODES}/n");
    let untainted = refusal(&kubelet, Method::PATCH, &path, &json!({"spec": {"taints": null}})).await;
    assert_eq!(untainted, r#"nodes "n" is forbidden: node "n" is not allowed to modify taints"#);
    let owned = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "u"}]}});
    for path in [path.clone(), format!("{path}/status")] {
        let disowned = refusal(&kubelet, Method::PATCH, &path, &owned).await;
        assert_eq!(disowned, r#"nodes "n" is forbidden: node "n" is not allowed to modify ownerReferences"#, "{path}");
    }
    let relabelled = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}});
    let relabelled = refusal(&kubelet, Method::PATCH, &path, &relabelled).await;
    assert_eq!(
        relabelled,
        r#"nodes "n" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x"#
    );
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    kubelet.send(Method::PATCH, &format!("{path}/status"), &ready).await.ok();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let lease =
        |name: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
    let other = refusal(&kubelet, Method::POST, leases, &lease("m")).await;
    assert!(other.ends_with("can only access node lease with the same name as the requesting node"), "{other}");
    kubelet.send(Method::POST, leases, &lease("n")).await.ok();
    assert_eq!(kubelet.send(Method::DELETE, &path, &Value::Null).await.code, 403);
}

#[tokio::test]
async fn kubelets_write_their_own_pods_only() {
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    let uid = api.post(NODES, &node("n", json!({}))).await.ok()["metadata"]["uid"].clone();
    api.post(PODS, &pod("mine", "n", json!({}))).await.ok();
    api.post(PODS, &pod("theirs", "m", json!({}))).await.ok();

    let ordinary = refusal(&kubelet, Method::POST, PODS, &pod("new", "n", json!({}))).await;
    let message = r#"pods "new" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n" can only create mirror pods"#;
    assert_eq!(ordinary, message);
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": uid, "controller": true}]);
    let mirror = |node: &str, owner: &Value, spec: Value| {
        let mut mirror = pod("mirror", node, spec);
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "h"});
        mirror["metadata"]["ownerReferences"] = owner.clone();
        mirror
    };
    for (mirror, expected) in [
        (mirror("m", &owner, json!({})), r#"node "n" can only create pods with spec.nodeName set to itself"#),
        (mirror("n", &json!([]), json!({})), r#"node "n" can only create pods with an owner reference set to itself"#),
        (
            mirror("n", &owner, json!({"serviceAccountName": "default"})),
            r#"node "n" can not create pods that reference a service account"#,
        ),
        (
            mirror("n", &owner, json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})),
            r#"node "n" can not create pods that reference secrets"#,
        ),
        (
            mirror(
                "n",
                &owner,
                json!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]}),
            ),
            r#"node "n" can not create pods that reference persistentvolumeclaims"#,
        ),
        (
            mirror("n", &owner, json!({"resourceClaims": [{"name": "r", "resourceClaimName": "c"}]})),
            r#"node "n" can not create pods that reference resourceclaims"#,
        ),
    ] {
        let refused = refusal(&kubelet, Method::POST, PODS, &mirror).await;
        assert_eq!(refused, format!(r#"pods "mirror" is forbidden: {expected}"#));
    }
    kubelet.send(Method::POST, PODS, &mirror("n", &owner, json!({}))).await.ok();

    let running = json!({"status": {"phase": "Running"}});
    kubelet.send(Method::PATCH, &format!("{PODS}/mine/status"), &running).await.ok();
    let refused = refusal(&kubelet, Method::PATCH, &format!("{PODS}/theirs/status"), &running).await;
    assert!(
        refused.ends_with(r#"node "n" can only update pod status for pods with spec.nodeName set to itself"#),
        "{refused}"
    );
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let refused = refusal(&kubelet, Method::PATCH, &format!("{PODS}/mine/status"), &labels).await;
    assert!(refused.ends_with(r#"node "n" cannot update labels through pod status"#), "{refused}");
    let eviction = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let refused = refusal(&kubelet, Method::POST, &format!("{PODS}/theirs/eviction"), &eviction("theirs")).await;
    assert!(refused.ends_with("node n can only evict pods with spec.nodeName set to itself"), "{refused}");
    let refused = refusal(&kubelet, Method::DELETE, &format!("{PODS}/theirs"), &Value::Null).await;
    assert!(refused.ends_with(r#"node "n" can only delete pods with spec.nodeName set to itself"#), "{refused}");
    kubelet.send(Method::DELETE, &format!("{PODS}/mine"), &json!({"gracePeriodSeconds": 0})).await.ok();
}
