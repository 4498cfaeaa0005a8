//! Mutating webhooks: what becomes of what they change.

use axum::Router;
use serde_json::{Value, json};

use super::{
    configuration,
    server::{Asked, HookServer, patch},
};
use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Adds a key to a map when another is there.
fn adding(when: &'static str, key: &'static str) -> impl Fn(&Value) -> Value + Clone + Send + Sync + 'static {
    move |request| match request["object"]["data"].get(when) {
        Some(_) => patch(&json!([{"op": "add", "path": format!("/data/{key}"), "value": "yes"}])),
        None => json!({"allowed": true}),
    }
}

async fn created(api: &Api, name: &str) -> Value {
    api.post(MAPS, &json!({"metadata": {"name": name}, "data": {"start": "yes"}})).await.ok()["data"].clone()
}

#[tokio::test]
async fn changes_are_seen_by_those_who_come_later() {
    let api = Api::start().await;
    let (one, two) = (Asked::default(), Asked::default());
    let routes = Router::new()
        .route("/one", one.answering(adding("start", "one")))
        .route("/two", two.answering(adding("one", "two")));
    let hook = HookServer::start(routes).await;
    let second = configuration("Mutating", "b.example.com", &hook.config("/two"), &json!({}));
    api.post(second.0, &second.1).await.ok();
    let first = configuration("Mutating", "a.example.com", &hook.config("/one"), &json!({}));
    api.post(first.0, &first.1).await.ok();
    assert_eq!(created(&api, "x").await, json!({"start": "yes", "one": "yes", "two": "yes"}));
    assert_eq!((one.take().len(), two.take().len()), (1, 1), "nobody wants to be asked again");
    // What is not for creations does not change what is created.
    let path = format!("{}/a.example.com", first.0);
    let rules =
        |operation: &str| json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": [operation]}]);
    api.patch(&path, "application/json-patch+json", &rules("UPDATE")).await.ok();
    assert_eq!(created(&api, "y").await, json!({"start": "yes"}));
    api.patch(&path, "application/json-patch+json", &rules("CREATE")).await.ok();
    assert_eq!(created(&api, "z").await, json!({"start": "yes", "one": "yes", "two": "yes"}));
}

#[tokio::test]
async fn those_who_want_to_are_asked_again_once() {
    let api = Api::start().await;
    let (one, two) = (Asked::default(), Asked::default());
    let routes = Router::new()
        .route("/one", one.answering(adding("two", "one")))
        .route("/two", two.answering(adding("start", "two")));
    let hook = HookServer::start(routes).await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    for (name, path) in [("a.example.com", "/one"), ("b.example.com", "/two")] {
        let own = configuration("Mutating", name, &hook.config(path), &again);
        api.post(own.0, &own.1).await.ok();
    }
    assert_eq!(created(&api, "x").await, json!({"start": "yes", "one": "yes", "two": "yes"}));
    assert_eq!(one.take().len(), 2, "its work was changed after it");
    assert_eq!(two.take().len(), 2, "and so was the other's, by the first");
}

#[tokio::test]
async fn what_is_patched_is_decoded_and_defaulted() {
    let api = Api::start().await;
    let asked = Asked::default();
    let add = |_: &Value| {
        patch(
            &json!([{"op": "add", "path": "/spec/initContainers", "value": [{"name": "i", "image": "i", "strange": 1}]}]),
        )
    };
    let wrong = |_: &Value| patch(&json!([{"op": "replace", "path": "/data", "value": 7}]));
    let unfit = |_: &Value| patch(&json!([{"op": "remove", "path": "/spec/nowhere"}]));
    let garbage = |_: &Value| json!({"allowed": true, "patchType": "JSONPatch", "patch": "bm9uc2Vuc2U="});
    let routes = Router::new()
        .route("/add", asked.answering(add))
        .route("/wrong", asked.answering(wrong))
        .route("/unfit", asked.answering(unfit))
        .route("/garbage", asked.answering(garbage));
    let hook = HookServer::start(routes).await;
    let for_resource = |resource: &str| json!({"rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}]});
    for (name, path, resource) in [
        ("add.example.com", "/add", "pods"),
        ("wrong.example.com", "/wrong", "configmaps"),
        ("unfit.example.com", "/unfit", "secrets"),
        ("garbage.example.com", "/garbage", "services"),
    ] {
        let own = configuration("Mutating", name, &hook.config(path), &for_resource(resource));
        api.post(own.0, &own.1).await.ok();
    }
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = api.post(PODS, &pod).await.ok();
    let init = &pod["spec"]["initContainers"][0];
    assert_eq!((&init["name"], &init["terminationMessagePolicy"]), (&json!("i"), &json!("File")));
    assert_eq!(init.get("strange"), None);
    let failure = |reply: crate::client::Reply| {
        let (code, reason, message) = reply.failure();
        assert_eq!((code, reason.as_str()), (500, "InternalError"), "{message}");
        message
    };
    failure(api.post(MAPS, &json!({"metadata": {"name": "m"}})).await);
    let message = failure(api.post("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "m"}})).await);
    assert!(message.contains(r#"doc is missing path: "/spec/nowhere""#), "{message}");
    let service = json!({"metadata": {"name": "m"}, "spec": {"ports": [{"port": 1}]}});
    let message = failure(api.post("/api/v1/namespaces/default/services", &service).await);
    assert!(message.contains("received undecodable patch in webhook response"), "{message}");
}

#[tokio::test]
async fn nothing_is_patched_where_there_is_nothing() {
    let api = Api::start().await;
    let asked = Asked::default();
    let add = |_: &Value| patch(&json!([{"op": "add", "path": "/data", "value": {"a": "b"}}]));
    let hook = HookServer::start(Router::new().route("/", asked.answering(add))).await;
    api.post(MAPS, &json!({"metadata": {"name": "m"}})).await.ok();
    let own = configuration("Mutating", "w.example.com", &hook.config("/"), &json!({}));
    api.post(own.0, &own.1).await.ok();
    let (code, _, message) = api.delete(&format!("{MAPS}/m")).await.failure();
    assert_eq!(code, 500);
    assert!(message.contains("attempted to modify the object, which is not supported for this operation"), "{message}");
}

#[tokio::test]
async fn configurations_themselves_are_left_alone() {
    let api = Api::start().await;
    let asked = Asked::default();
    let spoil = |_: &Value| json!({"allowed": false});
    let hook = HookServer::start(Router::new().route("/", asked.answering(spoil))).await;
    let all = json!({"namespaceSelector": {}});
    for kind in ["Mutating", "Validating"] {
        let own = configuration(kind, "w.example.com", &hook.config("/"), &all);
        api.post(own.0, &own.1).await.ok();
        let other = configuration(kind, "x.example.com", &hook.config("/"), &all);
        api.post(other.0, &other.1).await.ok();
        api.delete(&format!("{}/x.example.com", other.0)).await.ok();
        api.delete(&format!("{}/w.example.com", own.0)).await.ok();
    }
    assert!(asked.take().iter().all(|request| request["resource"]["group"] != "admissionregistration.k8s.io"));
}
