//! Standards for pods.

use serde_json::{Value, json};

use crate::client::Api;

fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}})
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

fn warnings(reply: &crate::client::Reply) -> Vec<String> {
    reply.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().replace('\\', "")).collect()
}

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const WARN: &str = "pod-security.kubernetes.io/warn";
const RESTRICTED: &str = r#"allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#;

#[tokio::test]
async fn pods_meet_what_their_namespace_demands() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &namespace("strict", json!({ENFORCE: "restricted"}))).await.ok();
    api.post(
        "/api/v1/namespaces",
        &namespace("warned", json!({WARN: "baseline", "pod-security.kubernetes.io/warn-version": "v1.30"})),
    )
    .await
    .ok();
    let (code, _, message) = api.post(&pods("strict"), &pod("p", json!({}))).await.failure();
    let expected = format!(r#"pods "p" is forbidden: violates PodSecurity "restricted:latest": {RESTRICTED}"#);
    assert_eq!((code, message), (403, expected));
    // What makes pods is let in, with a warning.
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    let made = api.post("/apis/apps/v1/namespaces/strict/deployments", &deployment(&spec)).await;
    assert_eq!(warnings(&made), [format!(r#"299 - "would violate PodSecurity "restricted:latest": {RESTRICTED}""#)]);
    made.ok();

    let made = api.post(&pods("warned"), &pod("host", json!({"hostNetwork": true}))).await;
    assert_eq!(
        warnings(&made),
        [r#"299 - "would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)""#]
    );
    made.ok();
    api.post(&pods("default"), &pod("host", json!({"hostNetwork": true}))).await.ok();
}

#[tokio::test]
async fn namespaces_are_looked_at() {
    let api = Api::start().await;
    let (code, reason, message) =
        api.post("/api/v1/namespaces", &namespace("x", json!({ENFORCE: "x"}))).await.failure();
    assert_eq!(
        (code, reason.as_str(), message.as_str()),
        (
            422,
            "Invalid",
            r#"Namespace "x" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted"#
        )
    );
    for name in ["b", "a"] {
        api.post(&pods("default"), &pod(name, json!({"hostPID": true}))).await.ok();
    }
    let path = "/api/v1/namespaces/default";
    let stricter = api.merge(path, &json!({"metadata": {"labels": {ENFORCE: "baseline"}}})).await;
    assert_eq!(
        warnings(&stricter),
        [
            r#"299 - "existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"""#,
            r#"299 - "a (and 1 other pod): host namespaces""#,
        ]
    );
    // Pods that are there can be labelled, but get no new image.
    api.merge(&format!("{}/a", pods("default")), &json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
    let image = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "other"}]);
    let refused = api.patch(&format!("{}/a", pods("default")), "application/json-patch+json", &image).await.failure();
    assert_eq!(refused.0, 403, "{refused:?}");
    let looser = api.merge(path, &json!({"metadata": {"labels": {ENFORCE: "privileged"}}})).await;
    assert_eq!(warnings(&looser), [""; 0]);
}

#[tokio::test]
async fn a_file_says_what_holds_by_default_and_for_whom_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.yaml");
    let text = "\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults:
      enforce: baseline
    exemptions:
      namespaces: [kube-system]
";
    std::fs::write(&path, text).unwrap();
    let api = Api::start_with(&[&format!("--admission-control-config-file={}", path.display())]).await;
    let host = pod("host", json!({"hostNetwork": true}));
    let refused = api.post(&pods("default"), &host).await.failure();
    let why = r#"violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)"#;
    assert_eq!(refused.2, format!(r#"pods "host" is forbidden: {why}"#));
    api.post(&pods("kube-system"), &host).await.ok();
}
