//! Validating webhooks: what they are asked, and what comes of what they say.

use axum::Router;
use http::Method;
use serde_json::{Value, json};

use super::{
    configuration,
    server::{Asked, HookServer},
};
use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, data: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"a": "b"}}, "data": data})
}

/// Refuses what says so, and answers with what it says.
fn opinion(request: &Value) -> Value {
    let object = if request["object"].is_null() { &request["oldObject"] } else { &request["object"] };
    match object["data"]["answer"].as_str() {
        Some(answer) => serde_json::from_str(answer).unwrap(),
        None => json!({"allowed": true}),
    }
}

#[tokio::test]
async fn a_request_is_told_exactly() {
    let api = Api::start().await;
    let asked = Asked::default();
    let hook = HookServer::start(Router::new().route("/", asked.answering(opinion))).await;
    let own = configuration("Validating", "w.example.com", &hook.config("/"), &json!({}));
    api.post(own.0, &own.1).await.ok();
    let created = api.post(&format!("{MAPS}?fieldManager=m"), &map("x", &json!({"k": "v"}))).await.ok();
    let request = asked.take().remove(0);
    assert!(request["uid"].as_str().is_some_and(|uid| uid.len() == 36), "{request}");
    let expected = json!({
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "x", "namespace": "default", "operation": "CREATE", "oldObject": null, "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "m"},
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&request[field], value, "{field}");
    }
    assert_eq!(request["object"]["data"], json!({"k": "v"}));
    assert_eq!(request["object"]["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!((&request["object"]["kind"], &request["object"]["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    assert!(request["userInfo"]["groups"].as_array().unwrap().contains(&json!("system:authenticated")), "{request}");
    assert_eq!(request.get("subResource"), None);
    api.merge(&format!("{MAPS}/x?dryRun=All"), &json!({"data": {"k": "w"}})).await.ok();
    let request = asked.take().remove(0);
    assert_eq!((&request["operation"], &request["dryRun"]), (&json!("UPDATE"), &json!(true)));
    assert_eq!((&request["object"]["data"]["k"], &request["oldObject"]["data"]["k"]), (&json!("w"), &json!("v")));
    api.delete_with(&format!("{MAPS}/x"), &json!({"gracePeriodSeconds": 0})).await.ok();
    let request = asked.take().remove(0);
    assert_eq!((&request["operation"], &request["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(request["oldObject"]["data"]["k"], "v");
    assert_eq!(request["options"]["kind"], "DeleteOptions");
    assert_eq!(request["options"]["gracePeriodSeconds"], 0);
}

#[tokio::test]
async fn what_is_said_is_passed_on() {
    let api = Api::start().await;
    let asked = Asked::default();
    let hook = HookServer::start(Router::new().route("/", asked.answering(opinion))).await;
    let own = configuration("Validating", "w.example.com", &hook.config("/"), &json!({}));
    api.post(own.0, &own.1).await.ok();
    let said = |answer: &Value| map("x", &json!({"answer": answer.to_string()}));
    let refusal = json!({"allowed": false, "status": {"message": "no"}});
    let denied = r#"admission webhook "w.example.com" denied the request"#;
    assert_eq!(api.post(MAPS, &said(&refusal)).await.failure(), (400, String::new(), format!("{denied}: no")));
    let coded = json!({"allowed": false, "status": {"message": "no", "code": 403, "reason": "Forbidden"}});
    let expected = (403, "Forbidden".to_owned(), format!("{denied}: no"));
    assert_eq!(api.post(MAPS, &said(&coded)).await.failure(), expected);
    let warned = json!({"allowed": true, "warnings": ["careful"]});
    let reply = api.post(MAPS, &said(&warned)).await;
    assert_eq!(reply.headers["warning"], r#"299 - "careful""#);
    reply.ok();
    let patched = json!({"allowed": true, "patch": "W10=", "patchType": "JSONPatch"});
    let error = api.post(MAPS, &said(&patched)).await.failure();
    assert_eq!((error.0, error.1.as_str()), (500, "InternalError"));
    let why = "received invalid webhook response: validating webhook may not return response.patch";
    assert_eq!(error.2, format!(r#"Internal error occurred: failed calling webhook "w.example.com": {why}"#));
}

#[tokio::test]
async fn deletions_and_connections_can_be_denied() {
    let api = Api::start().await;
    let asked = Asked::default();
    let deny = |request: &Value| json!({"allowed": request["operation"] == "CREATE", "status": {"message": "stays"}});
    let hook = HookServer::start(Router::new().route("/", asked.answering(deny))).await;
    api.post(MAPS, &map("x", &json!({}))).await.ok();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post("/api/v1/namespaces/default/pods", &pod).await.ok();
    let own = configuration("Validating", "w.example.com", &hook.config("/"), &json!({}));
    api.post(own.0, &own.1).await.ok();
    let denied = r#"admission webhook "w.example.com" denied the request: stays"#;
    assert_eq!(api.delete(&format!("{MAPS}/x")).await.failure().2, denied);
    assert_eq!(api.delete(MAPS).await.failure().2, denied);
    for door in ["attach", "exec?command=ls", "portforward", "proxy/x"] {
        let reply = api.raw(Method::POST, &format!("/api/v1/namespaces/default/pods/p/{door}"), &[], Vec::new()).await;
        assert_eq!(reply.failure().2, denied, "{door}");
    }
    let requests = asked.take();
    let exec = &requests[3];
    assert_eq!((&exec["operation"], &exec["subResource"]), (&json!("CONNECT"), &json!("exec")));
    assert_eq!(exec["kind"], json!({"group": "", "version": "v1", "kind": "PodExecOptions"}));
    assert_eq!(exec["object"]["command"], json!(["ls"]));
    assert_eq!((&exec["oldObject"], &exec["options"]), (&Value::Null, &Value::Null));
    // Whoever set this up can take it down.
    api.delete(&format!("{}/w.example.com", own.0)).await.ok();
    api.delete(&format!("{MAPS}/x")).await.ok();
    assert!(asked.take().is_empty());
}
