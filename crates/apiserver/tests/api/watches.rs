//! Watches.

use serde_json::json;

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, label: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": label}}})
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn changes_are_told_in_order() {
    let api = Api::start().await;
    api.post(MAPS, &map("old", "x")).await.ok();
    let mut all = api.watch(&format!("{MAPS}?watch=true")).await;
    assert_eq!(all.event().await, pair("ADDED", "old"));
    let version = api.get(MAPS).await.ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut later = api.watch(&format!("{MAPS}?watch=true&resourceVersion={version}")).await;
    api.post(MAPS, &map("a", "x")).await.ok();
    api.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "v"}})).await.ok();
    api.delete(&format!("{MAPS}/a")).await.ok();
    for watch in [&mut all, &mut later] {
        for kind in ["ADDED", "MODIFIED", "DELETED"] {
            assert_eq!(watch.event().await, pair(kind, "a"));
        }
    }
}

#[tokio::test]
async fn what_enters_or_leaves_the_selection_is_told_so() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{MAPS}?watch=true&labelSelector=l%3Dx")).await;
    api.post(MAPS, &map("a", "y")).await.ok();
    let label = |value: &str| json!({"metadata": {"labels": {"l": value}}});
    api.merge(&format!("{MAPS}/a"), &label("x")).await.ok();
    api.merge(&format!("{MAPS}/a"), &label("y")).await.ok();
    assert_eq!(watch.event().await, pair("ADDED", "a"));
    assert_eq!(watch.event().await, pair("DELETED", "a"));
}

#[tokio::test]
async fn a_deleted_object_has_the_version_of_its_deletion() {
    let api = Api::start().await;
    let created = api.post(MAPS, &map("a", "x")).await.ok();
    let mut watch = api.watch(&format!("{MAPS}?watch=true&fieldSelector=metadata.name%3Da")).await;
    assert_eq!(watch.event().await, pair("ADDED", "a"));
    api.delete(&format!("{MAPS}/a")).await.ok();
    let event = watch.next().await.unwrap();
    let number =
        |value: &serde_json::Value| value["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number(&event["object"]) > number(&created));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let api = Api::start().await;
    api.post(MAPS, &map("a", "x")).await.ok();
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut watch = api.watch(&format!("{MAPS}?{query}")).await;
    assert_eq!(watch.event().await, pair("ADDED", "a"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn watches_end_when_asked_to() {
    let api = Api::start().await;
    let mut watch = api.watch(&format!("{MAPS}?watch=true&timeoutSeconds=1")).await;
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_watch_of_what_is_forgotten_is_told_so() {
    let api = Api::start().await;
    let refused = api.get(&format!("{MAPS}?watch=true&resourceVersionMatch=Exact")).await.failure();
    assert_eq!(refused.0, 422);
    let store = api.server.registry().store();
    store.compact(store.current_revision().await.unwrap()).await.unwrap();
    let mut watch = api.watch(&format!("{MAPS}?watch=true&resourceVersion=1")).await;
    let event = watch.next().await.unwrap();
    assert_eq!((event["type"].as_str(), event["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
    assert_eq!(event["object"]["reason"], "Expired");
}

#[tokio::test]
async fn the_longest_time_out_is_no_end() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/configmaps?watch=true";
    let mut lines = api.watch(&format!("{path}&timeoutSeconds=9223372036854775807")).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    api.post("/api/v1/namespaces/default/configmaps", &map).await.ok();
    assert_eq!(lines.event().await, ("ADDED".to_owned(), "a".to_owned()));
    for (timeout, why) in [("18446744073709551615", "value out of range"), ("x", "invalid syntax")] {
        for path in [path, "/api/v1/configmaps?"] {
            let refused = api.get(&format!("{path}&timeoutSeconds={timeout}")).await.failure();
            assert_eq!((refused.0, refused.2), (400, format!("strconv.ParseInt: parsing \"{timeout}\": {why}")));
        }
    }
    let mut ended = api.watch(&format!("{path}&timeoutSeconds=-1&resourceVersion=0")).await;
    while ended.next().await.is_some() {}
}

#[tokio::test]
async fn a_field_selector_is_found_by_what_it_says() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "other"}})).await.ok();
    api.post("/api/v1/namespaces/other/serviceaccounts", &json!({"metadata": {"name": "default"}})).await.ok();
    let watch = async |namespace: &str, fields: &str| {
        let fields = fields.replace('=', "%3D").replace(',', "%2C");
        api.watch(&format!("/api/v1/{namespace}pods?watch=true&fieldSelector={fields}")).await
    };
    let mut watches = [
        watch("", "spec.nodeName=n1").await,
        watch("", "metadata.name=a").await,
        watch("", "metadata.namespace=other,metadata.name=a").await,
        watch("namespaces/other/", "metadata.name=a").await,
        watch("namespaces/other/", "spec.nodeName=n1,status.phase=Pending").await,
        watch("", "metadata.name!=b,spec.nodeName=n1").await,
    ];
    let pod = |name: &str, node: &str| {
        let containers = json!([{"name": "c", "image": "i"}]);
        json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": containers}})
    };
    for (namespace, name, node) in [("default", "x", "n2"), ("default", "b", "n2"), ("other", "a", "n1")] {
        api.post(&format!("/api/v1/namespaces/{namespace}/pods"), &pod(name, node)).await.ok();
    }
    for watch in &mut watches {
        assert_eq!(watch.event().await, pair("ADDED", "a"));
    }
}

#[tokio::test]
async fn a_watch_goes_on_after_a_restart() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let created = api.post(path, &map("before", "x")).await.ok();
    let version = created["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    api.merge(&format!("{path}/before"), &json!({"data": {"k": "v"}})).await.ok();
    api.delete(&format!("{path}/before")).await.ok();
    let api = api.restart().await;
    let mut watch = api.watch(&format!("{path}?watch=true&resourceVersion={version}")).await;
    api.post(path, &map("after", "x")).await.ok();
    assert_eq!(watch.event().await, pair("MODIFIED", "before"));
    assert_eq!(watch.event().await, pair("DELETED", "before"));
    assert_eq!(watch.event().await, pair("ADDED", "after"));
}
