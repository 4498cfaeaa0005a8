//! Versions of a custom resource that a webhook converts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    client::Api,
    definitions::{DEFINITIONS, define},
    webhooks::server::HookServer,
};

const V1: &str = "/apis/example.com/v1/namespaces/default/widgets";
const V2: &str = "/apis/example.com/v2/namespaces/default/widgets";

/// `size` of version 1 is `width` of version 2.
fn converted(mut object: Value, to: &str) -> Value {
    let (from, field) = if to.ends_with("v1") { ("width", "size") } else { ("size", "width") };
    object["apiVersion"] = to.into();
    if let Some(size) = object["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
        object["spec"][field] = size;
    }
    object
}

fn answer(review: &Value) -> Value {
    let request = &review["request"];
    let to = request["desiredAPIVersion"].as_str().unwrap();
    let objects: Vec<Value> =
        request["objects"].as_array().unwrap().iter().map(|object| converted(object.clone(), to)).collect();
    let broken = objects.iter().any(|object| object["metadata"]["name"] == "broken");
    let result =
        if broken { json!({"status": "Failed", "message": "it is broken"}) } else { json!({"status": "Success"}) };
    json!({
        "kind": "ConversionReview", "apiVersion": review["apiVersion"],
        "response": {"uid": request["uid"], "convertedObjects": objects, "result": result},
    })
}

fn version(name: &str, field: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {field: {"type": "integer"}}},
        }}},
    })
}

fn widget(version: &str, name: &str, field: &str) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Widget", "metadata": {"name": name}, "spec": {field: 3}})
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_converted_by_a_webhook() {
    let api = Api::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let convert = move |Json(review): Json<Value>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Json(answer(&review)) }
    };
    let hook = HookServer::start(Router::new().route("/convert", post(convert))).await;
    let config = json!({"url": hook.url("/convert"), "caBundle": STANDARD.encode(&hook.pem)});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version("v1", "size", true), version("v2", "width", false)],
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]}},
        },
    });
    define(&api, &definition).await;
    for name in ["a", "b"] {
        api.post(V1, &widget("v1", name, "size")).await.ok();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0, "what is stored as it is served is not converted");
    assert_eq!(api.get(&format!("{V2}/a")).await.ok()["spec"], json!({"width": 3}));
    let before = calls.load(Ordering::SeqCst);
    assert_eq!(api.get(V2).await.ok()["items"].as_array().unwrap().len(), 2);
    assert_eq!(calls.load(Ordering::SeqCst), before + 1, "a list is converted at once");
    let made = api.post(V2, &widget("v2", "c", "width")).await.ok();
    assert_eq!((&made["apiVersion"], &made["spec"]), (&json!("example.com/v2"), &json!({"width": 3})));
    assert_eq!(api.get(&format!("{V1}/c")).await.ok()["spec"], json!({"size": 3}));
    mixed(&api).await;
    let (code, _, message) = api.post(V1, &widget("v1", "broken", "size")).await.failure();
    let words = "conversion webhook for example.com/v1, Kind=Widget failed: it is broken";
    assert_eq!((code, message.as_str()), (500, words));
}

/// The other version becomes the one to store, and there are objects of both.
async fn mixed(api: &Api) {
    let mut watch = api.watch(&format!("{V1}?watch=1")).await;
    let versions = json!([version("v1", "size", false), version("v2", "width", true)]);
    api.merge(&format!("{DEFINITIONS}/widgets.example.com"), &json!({"spec": {"versions": versions}})).await.ok();
    while watch.next().await.is_some() {}
    api.post(V2, &widget("v2", "d", "width")).await.ok();
    for (path, field) in [(V1, "size"), (V2, "width")] {
        let list = api.get(path).await.ok();
        let specs: Vec<Value> = list["items"].as_array().unwrap().iter().map(|item| item["spec"].clone()).collect();
        assert_eq!(specs, vec![json!({field: 3}); 4], "{path}");
    }
}
