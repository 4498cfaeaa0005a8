//! Which requests webhooks are asked about, and in which version.

use axum::Router;
use serde_json::{Value, json};

use super::{
    configuration,
    server::{Asked, HookServer, patch},
};
use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, labels: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels}})
}

fn names(asked: &Asked) -> Vec<String> {
    asked.take().iter().map(|request| request["name"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn listening(api: &Api, more: &Value) -> (HookServer, Asked) {
    let asked = Asked::default();
    let hook = HookServer::start(Router::new().route("/", asked.answering(|_| json!({"allowed": true})))).await;
    let own = configuration("Validating", "w.example.com", &hook.config("/"), more);
    api.post(own.0, &own.1).await.ok();
    (hook, asked)
}

#[tokio::test]
async fn objects_and_namespaces_are_selected() {
    let api = Api::start().await;
    let more = json!({
        "objectSelector": {"matchLabels": {"seen": "yes"}},
        "namespaceSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
        "rules": [{
            "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps", "namespaces", "nodes"],
        }],
    });
    let (_hook, asked) = listening(&api, &more).await;
    let yes = json!({"seen": "yes"});
    api.post(MAPS, &map("a", &yes)).await.ok();
    api.post(MAPS, &map("b", &json!({}))).await.ok();
    assert_eq!(names(&asked), ["a"]);
    api.merge(&format!("{MAPS}/a"), &json!({"metadata": {"labels": {"seen": "no"}}})).await.ok();
    assert_eq!(names(&asked), ["a"], "it was selected before");
    api.delete(&format!("{MAPS}/a")).await.ok();
    assert!(names(&asked).is_empty());
    let namespace = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    api.post("/api/v1/namespaces", &namespace("quiet", json!({"seen": "yes", "skip": "yes"}))).await.ok();
    api.post("/api/v1/namespaces/quiet/configmaps", &map("c", &yes)).await.ok();
    assert!(names(&asked).is_empty());
    api.post("/api/v1/namespaces", &namespace("loud", yes.clone())).await.ok();
    api.post("/api/v1/namespaces/loud/configmaps", &map("d", &yes)).await.ok();
    let node = json!({"metadata": {"name": "n", "labels": yes}});
    api.post("/api/v1/nodes", &node).await.ok();
    assert_eq!(names(&asked), ["loud", "d", "n"], "what is in no namespace is always selected");
}

#[tokio::test]
async fn conditions_are_evaluated() {
    let api = Api::start().await;
    let conditions = json!({"matchConditions": [
        {"name": "name", "expression": "object == null || object.metadata.name != 'skip-me'"},
        {"name": "who", "expression": "request.userInfo.groups.exists(g, g == 'system:authenticated')"},
        {"name": "may", "expression": "authorizer.group('').resource('configmaps').namespace('default').check('create').allowed()"},
        {"name": "own", "expression": "authorizer.requestResource.check('get').allowed() || request.operation == 'CREATE'"},
    ]});
    let (_hook, asked) = listening(&api, &conditions).await;
    api.post(MAPS, &map("skip-me", &json!({}))).await.ok();
    api.post(MAPS, &map("ask-me", &json!({}))).await.ok();
    assert_eq!(names(&asked), ["ask-me"]);
    let own = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w.example.com";
    let broken = json!([{"op": "replace", "path": "/webhooks/0/matchConditions", "value": [
        {"name": "broken", "expression": "object.data.missing == 'x'"},
    ]}]);
    api.patch(own, "application/json-patch+json", &broken).await.ok();
    let (code, reason, message) = api.post(MAPS, &map("x", &json!({}))).await.failure();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    let why = "expression 'object.data.missing == 'x'' resulted in error: no such key: data";
    assert_eq!(message, format!(r#"configmaps "x" is forbidden: {why}"#));
    let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    api.patch(own, "application/json-patch+json", &ignore).await.ok();
    api.post(MAPS, &map("x", &json!({}))).await.ok();
    assert!(names(&asked).is_empty(), "who cannot tell is not asked");
}

/// Autoscalers are stored in one version and served in two.
#[tokio::test]
async fn other_versions_are_equivalent() {
    let api = Api::start().await;
    let asked = Asked::default();
    let add = |_: &Value| patch(&json!([{"op": "replace", "path": "/spec/maxReplicas", "value": 7}]));
    let hook = HookServer::start(Router::new().route("/", asked.answering(add))).await;
    let rules = |policy: &str| {
        json!({"matchPolicy": policy, "rules": [{
            "operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v2"], "resources": ["horizontalpodautoscalers"],
        }]})
    };
    let own = configuration("Mutating", "w.example.com", &hook.config("/"), &rules("Equivalent"));
    api.post(own.0, &own.1).await.ok();
    let scaler = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        }})
    };
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let created = api.post(path, &scaler("a")).await.ok();
    assert_eq!((&created["spec"]["maxReplicas"], &created["apiVersion"]), (&json!(7), &json!("autoscaling/v1")));
    assert_eq!(created["spec"]["targetCPUUtilizationPercentage"], 50);
    let request = asked.take().remove(0);
    let kind = |version: &str| json!({"group": "autoscaling", "version": version, "kind": "HorizontalPodAutoscaler"});
    assert_eq!((&request["kind"], &request["requestKind"]), (&kind("v2"), &kind("v1")));
    assert_eq!((&request["resource"]["version"], &request["requestResource"]["version"]), (&json!("v2"), &json!("v1")));
    assert_eq!(request["object"]["apiVersion"], "autoscaling/v2");
    assert_eq!(request["object"]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    let exact = json!([{"op": "replace", "path": "/webhooks/0/matchPolicy", "value": "Exact"}]);
    api.patch(&format!("{}/w.example.com", own.0), "application/json-patch+json", &exact).await.ok();
    assert_eq!(api.post(path, &scaler("b")).await.ok()["spec"]["maxReplicas"], 3);
    assert!(asked.take().is_empty());
}
