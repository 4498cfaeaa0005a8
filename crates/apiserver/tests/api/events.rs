//! Events: one resource under two groups.

use serde_json::json;

use crate::client::Api;

#[tokio::test]
async fn both_groups_show_the_same_events() {
    let api = Api::start().await;
    let core = "/api/v1/namespaces/default/events";
    let group = "/apis/events.k8s.io/v1/namespaces/default/events";
    let old = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "reason": "Started", "message": "it runs", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
    });
    api.post(core, &old).await.ok();
    let new = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "b"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "reason": "Started", "note": "it runs", "type": "Normal", "action": "Start", "reportingController": "example.com/c", "reportingInstance": "i",
        "regarding": {"kind": "Pod", "name": "q", "namespace": "default"},
    });
    api.post(group, &new).await.ok();
    assert_eq!(api.get(&format!("{group}/a")).await.ok()["note"], "it runs");
    assert_eq!(api.get(&format!("{core}/b")).await.ok()["message"], "it runs");
    let list = api.get(&format!("{group}?fieldSelector=regarding.name%3Dp")).await.ok();
    assert_eq!(
        (list["apiVersion"].as_str(), list["items"][0]["regarding"]["name"].as_str()),
        (Some("events.k8s.io/v1"), Some("p"))
    );
    let list = api.get(&format!("{core}?fieldSelector=involvedObject.name%3Dq")).await.ok();
    assert_eq!(list["items"][0]["metadata"]["name"], "b");
    let mut watch = api.watch(&format!("{group}?watch=true")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["apiVersion"], "events.k8s.io/v1");
}
