//! Kubelets: what they may read, and what they may write.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Api, Reply},
    rbac::Person,
};

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

const TOKENS: &str = "/api/v1/namespaces/default/serviceaccounts/sa/token";

/// What comes of something once the authorizer has heard of the pods that let a kubelet do it.
async fn once_related(kubelet: &Person<'_>, method: Method, path: &str, body: &Value) -> Reply {
    for _ in 0..1000 {
        let reply = kubelet.send(method.clone(), path, body).await;
        if reply.code != 403 || !reply.failure().2.contains("no relationship found") {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no relationship is found between the node and {path}");
}

#[tokio::test]
async fn kubelets_ask_for_the_tokens_that_their_pods_show() {
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    api.post("/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "sa"}})).await.ok();
    let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "csi.example.com"},
        "spec": {"volumeLifecycleModes": ["Ephemeral", "Persistent"], "tokenRequests": [{"audience": "of-the-driver"}]}});
    api.post("/apis/storage.k8s.io/v1/csidrivers", &driver).await.ok();
    let projected = json!({"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]});
    let volumes = json!([{"name": "t", "projected": projected}, {"name": "d", "csi": {"driver": "csi.example.com"}}]);
    let made = async |name: &str, node: &str| {
        let pod = pod(name, node, json!({"serviceAccountName": "sa", "volumes": volumes}));
        api.post(PODS, &pod).await.ok()["metadata"]["uid"].clone()
    };
    let (own, other) = (made("own", "n").await, made("other", "m").await);
    let asked = |pod: &str, uid: &Value, audiences: Value| {
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid});
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": audiences, "boundObjectRef": bound}})
    };
    for audience in ["vault", "of-the-driver"] {
        let reply = once_related(&kubelet, Method::POST, TOKENS, &asked("own", &own, json!([audience]))).await;
        assert_eq!(reply.ok()["spec"]["audiences"], json!([audience]));
    }
    let unknown = |audience: &str| {
        format!(
            "audience {audience:?} not found in pod spec volume, system:node:n is not authorized to request tokens for this audience"
        )
    };
    let unbound = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    let cases = [
        (unbound, "node requested token not bound to a pod".to_owned()),
        (
            asked("own", &Value::Null, json!(["vault"])),
            "node requested token with a pod binding without a uid".to_owned(),
        ),
        (
            asked("own", &other, json!(["vault"])),
            format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                other.as_str().unwrap()
            ),
        ),
        (
            asked("other", &other, json!(["vault"])),
            "node requested token bound to a pod scheduled on a different node".to_owned(),
        ),
        (asked("own", &own, json!(["vault", "more"])), "node may only request 0 or 1 audiences".to_owned()),
        (asked("own", &own, json!(["granted"])), unknown("granted")),
        (asked("own", &own, json!([])), unknown("")),
    ];
    for (asked, expected) in cases {
        let refused = refusal(&kubelet, Method::POST, TOKENS, &asked).await;
        assert_eq!(refused, format!(r#"serviceaccounts "sa" is forbidden: {expected}"#));
    }
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let rules =
        json!([{"apiGroups": [""], "resources": ["granted"], "verbs": ["request-serviceaccounts-token-audience"]}]);
    api.post(&format!("{group}/clusterroles"), &json!({"metadata": {"name": "r"}, "rules": rules})).await.ok();
    let subjects = json!([{"kind": "Group", "name": "system:nodes", "apiGroup": "rbac.authorization.k8s.io"}]);
    let role = json!({"kind": "ClusterRole", "name": "r", "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({"metadata": {"name": "b"}, "roleRef": role, "subjects": subjects});
    api.post(&format!("{group}/clusterrolebindings"), &binding).await.ok();
    for _ in 0..1000 {
        let reply = kubelet.send(Method::POST, TOKENS, &asked("own", &own, json!(["granted"]))).await;
        if reply.code == 201 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("what was granted stays refused");
}

#[tokio::test]
async fn kubelets_tell_of_devices_of_their_own_node_only() {
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    api.post(NODES, &node("n", json!({}))).await.ok();
    let slices = "/apis/resource.k8s.io/v1/resourceslices";
    let slice = |name: &str, place: (&str, Value)| {
        let mut slice = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name},
            "spec": {"driver": "d.example.com", "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}}});
        slice["spec"][place.0] = place.1;
        slice
    };
    for place in [("nodeName", json!("m")), ("allNodes", json!(true))] {
        let refused = refusal(&kubelet, Method::POST, slices, &slice("s", place)).await;
        let why = "can only create ResourceSlice with the same NodeName as the requesting node";
        assert_eq!(refused, format!(r#"resourceslices.resource.k8s.io "s" is forbidden: {why}"#));
    }
    kubelet.send(Method::POST, slices, &slice("own", ("nodeName", json!("n")))).await.ok();
    api.post(slices, &slice("other", ("nodeName", json!("m")))).await.ok();
    assert_eq!(once_related(&kubelet, Method::DELETE, &format!("{slices}/own"), &Value::Null).await.code, 200);
    assert_eq!(kubelet.send(Method::DELETE, &format!("{slices}/other"), &Value::Null).await.code, 403);
    assert_eq!(api.get(&format!("{slices}/other")).await.code, 200);
    let all = format!("{slices}?fieldSelector=spec.nodeName%3Dm");
    assert_eq!(kubelet.send(Method::DELETE, &all, &Value::Null).await.code, 403);
}

#[tokio::test]
async fn kubelets_ask_for_certificates_of_their_own() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let pem = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    };
    let request = |name: &str, pem: &str, signer: &str| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": STANDARD.encode(pem), "signerName": signer, "usages": ["client auth", "digital signature"]}})
    };
    for signer in ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"] {
        let refused = refusal(&kubelet, Method::POST, requests, &request("r", &pem("system:node:m"), signer)).await;
        let why = "can only create a node CSR with CN=system:node:n";
        assert_eq!(refused, format!(r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: {why}"#));
        let odd = pem("system:node:n").replace("CERTIFICATE REQUEST", "CERTIFICATE");
        let refused = refusal(&kubelet, Method::POST, requests, &request("r", &odd, signer)).await;
        assert!(refused.contains("unable to parse csr: PEM block type must be CERTIFICATE REQUEST"), "{refused}");
        let own = request(&signer[14..], &pem("system:node:n"), signer);
        kubelet.send(Method::POST, requests, &own).await.ok();
    }
    let elsewhere = request("elsewhere", &pem("system:node:m"), "example.com/signer");
    kubelet.send(Method::POST, requests, &elsewhere).await.ok();
}

#[tokio::test]
async fn kubelets_tell_how_large_volumes_have_become() {
    let api = Api::start_with(FLAGS).await;
    let kubelet = kubelet(&api);
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    for name in ["own", "other"] {
        api.post(claims, &json!({"metadata": {"name": name}, "spec": spec})).await.ok();
    }
    let volumes = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "own"}}]});
    api.post(PODS, &pod("p", "n", volumes)).await.ok();
    let status = format!("{claims}/own/status");
    let larger = json!({"status": {"capacity": {"storage": "2Gi"},
        "conditions": [{"type": "FileSystemResizePending", "status": "True"}],
        "allocatedResources": {"storage": "2Gi"}, "allocatedResourceStatuses": {"storage": "NodeResizeInProgress"}}});
    once_related(&kubelet, Method::PATCH, &status, &larger).await.ok();
    for more in [json!({"status": {"phase": "Bound"}}), json!({"status": {"accessModes": ["ReadWriteMany"]}})] {
        let refused = refusal(&kubelet, Method::PATCH, &status, &more).await;
        let why = r#"node "n" is not allowed to update fields other than status.quantity and status.conditions"#;
        assert_eq!(refused, format!(r#"persistentvolumeclaims "own" is forbidden: {why}"#));
    }
    assert_eq!(kubelet.send(Method::PATCH, &format!("{claims}/other/status"), &larger).await.code, 403);
    assert_eq!(kubelet.send(Method::PATCH, &format!("{claims}/own"), &json!({"metadata": {}})).await.code, 403);
}
