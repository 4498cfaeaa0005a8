//! Admission plugins that run only when they are asked for.

use http::Method;
use serde_json::{Value, json};

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

#[tokio::test]
async fn everything_is_denied() {
    let api = Api::start_with(&["--enable-admission-plugins=AlwaysDeny"]).await;
    let (code, _, message) = api.post(PODS, &pod("p", json!({}))).await.failure();
    assert_eq!(
        (code, message.as_str()),
        (403, r#"pods "p" is forbidden: admission control is denying all modifications"#)
    );
    assert_eq!(api.get(PODS).await.code, 200);
}

#[tokio::test]
async fn plugins_that_are_asked_for_run() {
    let names = "AlwaysPullImages,LimitPodHardAntiAffinityTopology,ExtendedResourceToleration,NamespaceAutoProvision,DenyServiceExternalIPs,NamespaceExists";
    let api = Api::start_with(&[&format!("--enable-admission-plugins={names}")]).await;
    let gpu = json!({"containers": [{"name": "c", "image": "i:1", "imagePullPolicy": "Never", "resources": {"limits": {"example.com/gpu": "1"}}}]});
    let made = api.post("/api/v1/namespaces/new/pods", &pod("p", gpu)).await.ok();
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    let wanted = json!({"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"});
    assert!(made["spec"]["tolerations"].as_array().unwrap().contains(&wanted), "{made}");
    let zone = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {}}]}}});
    let refused = api.post(PODS, &pod("p", zone)).await.failure();
    assert!(refused.2.ends_with("has TopologyKey zone but only key kubernetes.io/hostname is allowed"), "{refused:?}");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 1}], "externalIPs": ["192.0.2.7"]}});
    let refused = api.post("/api/v1/namespaces/default/services", &service).await.failure();
    assert_eq!(refused.2, r#"services "s" is forbidden: Use of external IPs is denied by admission control"#);
}

#[tokio::test]
async fn who_makes_owners_wait_may_set_their_finalizers() {
    let flags = ["--authorization-mode=RBAC", "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"];
    let api = Api::start_with(&flags).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "delete"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}]});
    api.post(&format!("{rbac}/namespaces/default/roles"), &role).await.ok();
    api.post(&format!("{rbac}/namespaces/default/rolebindings"), &binding).await.ok();
    let create = async |name: &str, blocks: bool| {
        let owner =
            json!({"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u", "blockOwnerDeletion": blocks});
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [owner]}});
        let headers = [("impersonate-user", "u"), ("content-type", "application/json")];
        // Rights come into force a moment later.
        loop {
            let path = "/api/v1/namespaces/default/configmaps";
            let reply = api.raw(Method::POST, path, &headers, map.to_string().into_bytes()).await;
            if reply.code != 403 || !reply.failure().2.contains("cannot create") {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    };
    create("a", false).await.ok();
    let refused = create("b", true).await.failure().2;
    let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ";
    assert!(refused.contains(why), "{refused}");
}

#[tokio::test]
async fn namespaces_say_where_their_pods_run() {
    let api = Api::start_with(&["--enable-admission-plugins=PodNodeSelector"]).await;
    let annotations = json!({"scheduler.alpha.kubernetes.io/node-selector": "disk=ssd, zone=a"});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "annotations": annotations}});
    api.post("/api/v1/namespaces", &namespace).await.ok();
    let pods = "/api/v1/namespaces/x/pods";
    let made = api.post(pods, &pod("a", json!({"nodeSelector": {"os": "linux"}}))).await.ok();
    assert_eq!(made["spec"]["nodeSelector"], json!({"disk": "ssd", "os": "linux", "zone": "a"}));
    let refused = api.post(pods, &pod("b", json!({"nodeSelector": {"disk": "tape"}}))).await.failure();
    let why = "pod node label selector conflicts with its namespace node label selector";
    assert_eq!(refused.2, format!(r#"pods "b" is forbidden: {why}"#));
}

#[tokio::test]
async fn how_long_taints_are_tolerated_is_a_flag() {
    let flags = ["--default-not-ready-toleration-seconds=5", "--default-unreachable-toleration-seconds=7"];
    let api = Api::start_with(&flags).await;
    let made = api.post(PODS, &pod("a", json!({}))).await.ok();
    let seconds = made["spec"]["tolerations"].as_array().unwrap().iter().map(|one| one["tolerationSeconds"].as_i64());
    assert_eq!(seconds.collect::<Vec<_>>(), [Some(5), Some(7)]);
}

/// A server whose plugin is told something.
async fn told(plugin: &str, configuration: &str) -> Api {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.yaml");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: {plugin}\n  configuration: {configuration}\n"
    );
    std::fs::write(&path, text).unwrap();
    let file = format!("--admission-control-config-file={}", path.display());
    Api::start_with(&[&file, &format!("--enable-admission-plugins={plugin}")]).await
}

#[tokio::test]
async fn tolerations_are_given_and_restricted() {
    let configuration = "{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, \
                         default: [{key: a, operator: Exists}]}";
    let api = told("PodTolerationRestriction", configuration).await;
    let given = api.post(PODS, &pod("a", json!({}))).await.ok();
    assert_eq!(given["spec"]["tolerations"].as_array().unwrap()[0]["key"], "a");
    let allowed = r#"[{"key": "b", "operator": "Exists"}, {"operator": "Exists", "effect": "NoExecute"}]"#;
    let annotations = json!({"scheduler.alpha.kubernetes.io/defaultTolerations": "[]",
        "scheduler.alpha.kubernetes.io/tolerationsWhitelist": allowed});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "annotations": annotations}});
    api.post("/api/v1/namespaces", &namespace).await.ok();
    let pods = "/api/v1/namespaces/x/pods";
    let tolerates = |key: &str| json!({"tolerations": [{"key": key, "operator": "Exists"}]});
    api.post(pods, &pod("b", tolerates("b"))).await.ok();
    let refused = api.post(pods, &pod("c", tolerates("c"))).await.failure();
    let why =
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";
    assert_eq!((refused.0, refused.2), (403, format!(r#"pods "c" is forbidden: {why}"#)));
}

#[tokio::test]
async fn too_many_events_are_refused() {
    let configuration = "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, \
                         limits: [{type: Namespace, qps: 1, burst: 2}]}";
    let api = told("EventRateLimit", configuration).await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "r", "message": "m"});
    let send = || async { api.post("/api/v1/namespaces/default/events", &event).await };
    let replies = futures::future::join_all((0..40).map(|_| send())).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.code == 429).collect();
    assert!(!refused.is_empty() && refused.len() <= 38, "{replies:?}");
    assert_eq!(refused[0].failure().2, "limit reached on type Namespace for key default");
}

#[tokio::test]
async fn events_about_different_things_are_told_apart_in_either_version() {
    let configuration = "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, \
                         limits: [{type: SourceAndObject, qps: 1, burst: 1}]}";
    let api = told("EventRateLimit", configuration).await;
    for name in ["a", "b", "c"] {
        let about = json!({"kind": "Pod", "name": name, "namespace": "default"});
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name},
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/c",
            "reportingInstance": "i", "action": "a", "reason": "r", "type": "Normal", "regarding": about});
        assert_eq!(api.post("/apis/events.k8s.io/v1/namespaces/default/events", &event).await.code, 201, "{name}");
    }
}

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn request(name: &str, signer: &str, organization: &str) -> Value {
    use base64::Engine;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let pem = base64::engine::general_purpose::STANDARD.encode(pem);
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": pem, "signerName": signer, "usages": ["client auth"]}})
}

#[tokio::test]
async fn nobody_is_certified_to_be_a_master() {
    let api = Api::start().await;
    let signer = "kubernetes.io/kube-apiserver-client";
    let (code, _, message) = api.post(REQUESTS, &request("r", signer, "system:masters")).await.failure();
    let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    let expected = format!(r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: {why}"#);
    assert_eq!((code, message), (403, expected));
    api.post(REQUESTS, &request("other", signer, "others")).await.ok();
    api.post(REQUESTS, &request("elsewhere", "example.com/s", "system:masters")).await.ok();
}

#[tokio::test]
async fn signers_answer_to_who_may_speak_for_them() {
    let api = Api::start_with(&["--authorization-mode=RBAC"]).await;
    api.post(REQUESTS, &request("r", "example.com/s", "o")).await.ok();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let rules = |verbs: Value, resource: &str, names: Value| json!({"apiGroups": ["certificates.k8s.io"], "resources": [resource], "verbs": verbs, "resourceNames": names});
    let role = |name: &str, rules: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let binding = |role: &str, user: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("{role}-{user}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
    };
    let write =
        |sub: &str| rules(json!(["get", "update", "patch"]), &format!("certificatesigningrequests/{sub}"), json!([]));
    let everything = json!([write("approval"), write("status")]);
    api.post(&format!("{rbac}/clusterroles"), &role("writer", everything)).await.ok();
    let signers = json!([rules(json!(["approve", "sign"]), "signers", json!(["example.com/*"]))]);
    api.post(&format!("{rbac}/clusterroles"), &role("signer", signers)).await.ok();
    for (role, user) in [("writer", "clerk"), ("writer", "signer"), ("signer", "signer")] {
        api.post(&format!("{rbac}/clusterrolebindings"), &binding(role, user)).await.ok();
    }
    let approve =
        json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}});
    let send = |user: &'static str, sub: &'static str, body: Value| {
        let api = &api;
        async move {
            let headers = [("impersonate-user", user), ("content-type", "application/merge-patch+json")];
            api.raw(Method::PATCH, &format!("{REQUESTS}/r/{sub}"), &headers, body.to_string().into_bytes()).await
        }
    };
    let allowed = async |user, sub, body: &Value| {
        // Rights come into force a moment later.
        loop {
            let reply = send(user, sub, body.clone()).await;
            if reply.code != 403 || !reply.failure().2.contains("cannot") {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    };
    let refused = allowed("clerk", "approval", &approve).await.failure();
    let why = r#"user not permitted to approve requests with signerName "example.com/s""#;
    assert_eq!(refused.2, format!(r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: {why}"#));
    let failed =
        json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "r", "message": "m"}]}});
    let refused = allowed("clerk", "status", &failed).await.failure();
    let why = r#"user not permitted to sign requests with signerName "example.com/s""#;
    assert_eq!(refused.2, format!(r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: {why}"#));
    allowed("signer", "approval", &approve).await.ok();
}
