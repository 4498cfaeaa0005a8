//! What `metadata` may be, and what the server makes of it.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, Reply};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(metadata: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
}

fn told(reply: &Reply) -> (u16, String) {
    let (code, _, message) = reply.failure();
    (code, message)
}

#[tokio::test]
async fn new_objects() {
    let api = Api::start().await;
    let owner = |version: &str| json!({"apiVersion": version, "kind": "Pod", "name": "p", "uid": "u"});
    let refused = [
        (
            json!({"name": "a", "resourceVersion": "5"}),
            500,
            "resourceVersion should not be set on objects to be created",
        ),
        (
            json!({"name": "a", "generation": -1}),
            422,
            "ConfigMap \"a\" is invalid: metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"name": "a", "finalizers": ["foo"]}),
            422,
            "ConfigMap \"a\" is invalid: metadata.finalizers[0]: Invalid value: \"foo\": name is neither a standard finalizer name nor is it fully qualified",
        ),
        (
            json!({"name": "a", "ownerReferences": [owner("a/b/c")]}),
            422,
            "ConfigMap \"a\" is invalid: metadata.ownerReferences.apiVersion: Invalid value: \"a/b/c\": version must not be empty",
        ),
    ];
    for (metadata, code, message) in refused {
        assert_eq!(told(&api.post(MAPS, &map(metadata)).await), (code, message.to_owned()));
    }
    let manager = api.post(&format!("{MAPS}?fieldManager=a%01b"), &map(json!({"name": "a"}))).await;
    let why = "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\x01b\": should only contain printable characters (invalid character at position 1)";
    assert_eq!(told(&manager), (422, why.to_owned()));
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "namespace": "x"}});
    assert!(api.post("/api/v1/nodes", &node).await.ok()["metadata"]["namespace"].is_null());

    let twice = map(json!({"name": "a", "generation": 7, "ownerReferences": [owner("v1"), owner("v1")]}));
    let created = api.post(MAPS, &twice).await;
    let warning = created.headers["warning"].to_str().unwrap().to_owned();
    assert!(warning.contains("duplicate UID(s) observed: u"), "{warning}");
    let created = created.ok();
    assert_eq!(created["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    assert_eq!(created["metadata"]["generation"], 7);
}

#[tokio::test]
async fn objects_that_change() {
    let api = Api::start().await;
    let created = api.post(MAPS, &map(json!({"name": "a"}))).await.ok();
    let path = format!("{MAPS}/a");
    let put = async |metadata: Value| api.put(&path, &map(metadata)).await;
    let nameless = "the name of the object (a based on URL) was undeterminable: name must be provided";
    assert_eq!(told(&put(json!({})).await), (400, nameless.to_owned()));
    let patched = api.merge(&path, &json!({"metadata": {"name": null}})).await;
    assert_eq!(told(&patched), (400, nameless.to_owned()));
    let version = "strconv.ParseUint: parsing \"abc\": invalid syntax";
    assert_eq!(told(&put(json!({"name": "a", "resourceVersion": "abc"})).await), (500, version.to_owned()));
    assert_eq!(put(json!({"name": "a", "uid": "x"})).await.code, 409);
    let uid = "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable";
    assert_eq!(told(&api.merge(&path, &json!({"metadata": {"uid": "x"}})).await), (422, uid.to_owned()));
    let later = put(json!({"name": "a", "creationTimestamp": "2001-01-01T00:00:00Z"})).await.ok();
    assert_eq!(later["metadata"]["creationTimestamp"], created["metadata"]["creationTimestamp"]);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}});
    api.post(accounts, &account).await.ok();
    let replaced = api.raw(Method::PUT, &format!("{accounts}/s"), &[], account.to_string().into_bytes()).await;
    assert_eq!(replaced.code, 200);
}
