//! Classes: of priority, of runtimes, of storage, of ingresses; and where a pod's node is.

use serde_json::{Value, json};

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const PRIORITIES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn priority(name: &str, value: i32, more: Value) -> Value {
    let mut class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value});
    class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    class
}

#[tokio::test]
async fn pods_get_their_priority() {
    let api = Api::start().await;
    api.post(PRIORITIES, &priority("high", 1000, json!({"preemptionPolicy": "Never"}))).await.ok();
    let plain = api.post(PODS, &pod("plain", json!({}))).await.ok();
    assert_eq!((&plain["spec"]["priority"], &plain["spec"]["priorityClassName"]), (&json!(0), &Value::Null));
    let high = api.post(PODS, &pod("high", json!({"priorityClassName": "high"}))).await.ok();
    assert_eq!((&high["spec"]["priority"], &high["spec"]["preemptionPolicy"]), (&json!(1000), &json!("Never")));
    let system = api.post(PODS, &pod("system", json!({"priorityClassName": "system-node-critical"}))).await.ok();
    assert_eq!(system["spec"]["priority"], 2_000_001_000);
    let refused = [
        (json!({"priorityClassName": "none"}), "no PriorityClass with name none was found"),
        (
            json!({"priorityClassName": "high", "priority": 1}),
            "the integer value of priority (1) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name",
        ),
        (
            json!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}),
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name",
        ),
    ];
    for (spec, why) in refused {
        let (code, _, message) = api.post(PODS, &pod("x", spec)).await.failure();
        assert_eq!((code, message), (403, format!(r#"pods "x" is forbidden: {why}"#)));
    }
    let default = json!({"globalDefault": true});
    api.post(PRIORITIES, &priority("usual", 7, default.clone())).await.ok();
    let (code, _, message) = api.post(PRIORITIES, &priority("other", 8, default)).await.failure();
    let why = "PriorityClass usual is already marked as default. Only one default can exist";
    assert_eq!((code, message), (403, format!(r#"priorityclasses.scheduling.k8s.io "other" is forbidden: {why}"#)));
    let usual = api.post(PODS, &pod("usual", json!({}))).await.ok();
    assert_eq!((&usual["spec"]["priority"], &usual["spec"]["priorityClassName"]), (&json!(7), &json!("usual")));
}

#[tokio::test]
async fn pods_get_what_their_runtime_costs() {
    let api = Api::start().await;
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"}, "handler": "h",
        "overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": {"nodeSelector": {"heavy": "yes"}}});
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.ok();
    let made = api.post(PODS, &pod("a", json!({"runtimeClassName": "heavy"}))).await.ok();
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "100m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"heavy": "yes"}));
    let refused = [
        (json!({"runtimeClassName": "none"}), r#"pod rejected: RuntimeClass "none" not found"#),
        (
            json!({"overhead": {"cpu": "1"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({"runtimeClassName": "heavy", "overhead": {"cpu": "1"}}),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
    ];
    for (spec, why) in refused {
        let (code, _, message) = api.post(PODS, &pod("x", spec)).await.failure();
        assert_eq!((code, message), (403, format!(r#"pods "x" is forbidden: {why}"#)));
    }
}

fn claim(name: &str, spec: Value) -> Value {
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    claim["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    claim
}

#[tokio::test]
async fn what_names_no_class_gets_the_default_one() {
    let api = Api::start().await;
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let ingress = |name: &str| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
    };
    let without = api.post(claims, &claim("a", json!({}))).await.ok();
    assert_eq!(without["spec"]["storageClassName"], Value::Null);
    let class = |name: &str, default: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p", "allowVolumeExpansion": name == "gold",
            "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}}})
    };
    for (name, default) in [("gold", "true"), ("iron", "false")] {
        api.post("/apis/storage.k8s.io/v1/storageclasses", &class(name, default)).await.ok();
    }
    let made = api.post(claims, &claim("b", json!({}))).await.ok();
    assert_eq!(made["spec"]["storageClassName"], "gold");
    let made = api.post(claims, &claim("c", json!({"storageClassName": ""}))).await.ok();
    assert_eq!(made["spec"]["storageClassName"], "");
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": "a/b"},
        "metadata": {"name": "web", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}});
    let without = api.post(ingresses, &ingress("a")).await.ok();
    assert_eq!(without["spec"]["ingressClassName"], Value::Null);
    api.post("/apis/networking.k8s.io/v1/ingressclasses", &class).await.ok();
    assert_eq!(api.post(ingresses, &ingress("b")).await.ok()["spec"]["ingressClassName"], "web");

    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(api.merge(&format!("{claims}/b"), &more).await.code, 422, "it is not bound");
    api.post(claims, &claim("d", json!({"storageClassName": "iron"}))).await.ok();
    for name in ["b", "d"] {
        api.merge(&format!("{claims}/{name}/status"), &json!({"status": {"phase": "Bound"}})).await.ok();
    }
    api.merge(&format!("{claims}/b"), &more).await.ok();
    let (code, _, message) = api.merge(&format!("{claims}/d"), &more).await.failure();
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    assert_eq!((code, message), (403, format!(r#"persistentvolumeclaims "d" is forbidden: {why}"#)));
}

#[tokio::test]
async fn pods_are_labelled_with_where_their_node_is() {
    let api = Api::start().await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {
        "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "o"}}});
    api.post("/api/v1/nodes", &node).await.ok();
    let mut labelled = pod("a", json!({}));
    labelled["metadata"]["labels"] = json!({"topology.kubernetes.io/region": "own"});
    api.post(PODS, &labelled).await.ok();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}});
    api.post(&format!("{PODS}/a/binding"), &binding).await.ok();
    let labels = api.get(&format!("{PODS}/a")).await.ok()["metadata"]["labels"].clone();
    assert_eq!(labels, json!({"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "own"}));
    let placed = api.post(PODS, &pod("b", json!({"nodeName": "n"}))).await.ok();
    let expected = json!({"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"});
    assert_eq!(placed["metadata"]["labels"], expected);
}
