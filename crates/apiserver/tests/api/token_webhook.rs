//! Tokens that another server knows.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, http::StatusCode, routing::post};
use component::{Daemon, serve};
use serde_json::{Value, json};

use crate::client::Api;

/// A webhook on a port of its own.
struct Webhook {
    kubeconfig: String,
    asked: Arc<AtomicUsize>,
    daemon: Daemon,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

/// What the webhook knows of a token.
fn status(token: &str) -> Value {
    let user = json!({"username": "ann", "uid": "7", "groups": ["ops"], "extra": {"k": ["v"]}});
    match token {
        "ours" => json!({"authenticated": true, "user": user, "audiences": ["me", "you"]}),
        "silent" | "flaky" => json!({"authenticated": true, "user": user}),
        "theirs" => json!({"authenticated": true, "user": user, "audiences": ["you"]}),
        "expired" => json!({"authenticated": false, "error": "it is too old"}),
        _ => json!({"authenticated": false}),
    }
}

impl Webhook {
    async fn start(directory: &std::path::Path) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answer = move |Json(review): Json<Value>| async move {
            let earlier = count.fetch_add(1, Ordering::SeqCst);
            assert_eq!(
                (&review["kind"], &review["apiVersion"]),
                (&json!("TokenReview"), &json!("authentication.k8s.io/v1"))
            );
            let token = review["spec"]["token"].as_str().unwrap_or_default();
            if token == "flaky" && earlier == 0 {
                return Err(StatusCode::INTERNAL_SERVER_ERROR);
            }
            let kinds =
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status(token)});
            Ok(Json(kinds))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}/tokens", listener.local_addr().unwrap());
        let daemon = Daemon::new();
        serve::spawn(listener, None, Router::new().route("/tokens", post(answer)), &daemon);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            "users": [{"name": "c", "user": {}}],
        });
        let path = directory.join("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        Self { kubeconfig: path.display().to_string(), asked, daemon }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

async fn review(api: &Api, token: &str, audiences: &[&str]) -> Value {
    let asked = json!({"spec": {"token": token, "audiences": audiences}});
    api.post("/apis/authentication.k8s.io/v1/tokenreviews", &asked).await.ok()["status"].clone()
}

#[tokio::test]
async fn a_webhook_is_asked_last_and_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let webhook = Webhook::start(directory.path()).await;
    let flags = [
        "--api-audiences=me".to_owned(),
        "--authentication-token-webhook-version=v1".to_owned(),
        format!("--authentication-token-webhook-config-file={}", webhook.kubeconfig),
    ];
    let api = Api::start_with(&flags.each_ref().map(String::as_str)).await;
    let ann = json!({"username": "ann", "uid": "7", "groups": ["ops", "system:authenticated"], "extra": {"k": ["v"]}});
    let good = review(&api, "ours", &[]).await;
    assert_eq!((&good["user"], &good["authenticated"]), (&ann, &json!(true)), "{good}");
    assert_eq!(review(&api, "ours", &["you", "them"]).await["audiences"], json!(["you"]));
    assert_eq!(webhook.asked(), 2, "an answer is good for the audiences that were asked for");
    assert_eq!(review(&api, "silent", &["me"]).await["audiences"], json!(["me"]), "it was meant for this server");
    assert_eq!(review(&api, "silent", &["you"]).await["authenticated"], Value::Null);
    assert_eq!(review(&api, "theirs", &[]).await["authenticated"], Value::Null);
    webhook.asked();
    for _ in 0..2 {
        assert_eq!(review(&api, "unknown", &[]).await["error"], "invalid bearer token");
    }
    assert_eq!(webhook.asked(), 1, "nobody is remembered, too");
    for _ in 0..2 {
        assert_eq!(review(&api, "expired", &[]).await["error"], "it is too old");
    }
    assert_eq!(webhook.asked(), 2, "an error is not remembered");
    assert_eq!(review(&api, "flaky", &[]).await["authenticated"], true);
    assert_eq!(webhook.asked(), 2, "it was asked again");
}
