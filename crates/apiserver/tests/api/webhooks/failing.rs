//! Webhooks that cannot be asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{
    configuration,
    server::{Asked, HookServer},
};
use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test]
async fn failures_are_what_the_policy_says() {
    let api = Api::start().await;
    let hook = HookServer::start(Router::new()).await;
    for kind in ["Validating", "Mutating"] {
        let closed = configuration(kind, "w.example.com", &hook.config("/"), &json!({}));
        api.post(closed.0, &closed.1).await.ok();
        let why = "failed to call webhook: the server could not find the requested resource";
        let message = format!(r#"Internal error occurred: failed calling webhook "w.example.com": {why}"#);
        let name = kind.to_lowercase();
        assert_eq!(api.post(MAPS, &map(&name)).await.failure(), (500, "InternalError".to_owned(), message));
        let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
        let path = format!("{}/w.example.com", closed.0);
        api.patch(&path, "application/json-patch+json", &ignore).await.ok();
        api.post(MAPS, &map(&name)).await.ok();
        api.delete(&path).await.ok();
    }
}

#[tokio::test]
async fn a_slow_webhook_costs_its_time() {
    let api = Api::start().await;
    let hook = HookServer::start(Router::new().route("/", post(std::future::pending::<()>))).await;
    let short = json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"});
    let own = configuration("Validating", "w.example.com", &hook.config("/"), &short);
    api.post(own.0, &own.1).await.ok();
    let begun = Instant::now();
    api.post(MAPS, &map("x")).await.ok();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn validating_webhooks_are_asked_at_once() {
    let api = Api::start().await;
    let names = ["a.example.com", "b.example.com", "c.example.com"];
    let all = Arc::new(Barrier::new(names.len()));
    let answer = move |Json(review): Json<Value>| async move {
        // Who is asked after the others waits for ever.
        all.wait().await;
        let response = json!({"uid": review["request"]["uid"], "allowed": true});
        Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
    };
    let hook = HookServer::start(Router::new().route("/", post(answer))).await;
    let maps =
        json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]);
    for name in names {
        let own = configuration("Validating", name, &hook.config("/"), &json!({"rules": maps}));
        api.post(own.0, &own.1).await.ok();
    }
    api.post(MAPS, &map("x")).await.ok();
}

#[tokio::test]
async fn a_webhook_that_is_gone_keeps_no_server_from_starting() {
    let api = Api::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = json!({"url": format!("https://{}", listener.local_addr().unwrap())});
    drop(listener);
    let namespaces =
        json!([{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["namespaces"]}]);
    let closed =
        configuration("Validating", "w.example.com", &client, &json!({"rules": namespaces, "namespaceSelector": {}}));
    api.post(closed.0, &closed.1).await.ok();
    let api = api.restart().await;
    let (code, reason, _) = api.post("/api/v1/namespaces", &map("x")).await.failure();
    assert_eq!((code, reason.as_str()), (500, "InternalError"));
}

#[tokio::test]
async fn what_is_only_tried_has_no_side_effects() {
    let api = Api::start().await;
    let asked = Asked::default();
    let hook = HookServer::start(Router::new().route("/", asked.answering(|_| json!({"allowed": true})))).await;
    let own = configuration("Validating", "w.example.com", &hook.config("/"), &json!({"sideEffects": "NoneOnDryRun"}));
    api.post(own.0, &own.1).await.ok();
    api.post(&format!("{MAPS}?dryRun=All"), &map("x")).await.ok();
    assert_eq!(asked.take().len(), 1);
}
