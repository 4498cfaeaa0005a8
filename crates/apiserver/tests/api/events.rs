//! Events: one resource under two groups.

use serde_json::{Value, json};

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

#[tokio::test]
async fn events_are_selected_by_every_field() {
    let api = Api::start().await;
    let core = "/api/v1/namespaces/default/events";
    let group = "/apis/events.k8s.io/v1/namespaces/default/events";
    let about = json!({
        "kind": "Pod", "name": "p", "namespace": "default", "uid": "u", "apiVersion": "v1", "resourceVersion": "7",
        "fieldPath": "spec.containers{c}",
    });
    let event = |name: &str, more: Value| {
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": "R", "type": "Warning",
            "involvedObject": {"namespace": "default"},
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let old =
        json!({"involvedObject": about, "reason": "Started", "type": "Normal", "source": {"component": "kubelet"}});
    api.post(core, &event("old", old)).await.ok();
    let new = json!({"reportingComponent": "example.com/c", "source": {"component": ""}});
    api.post(core, &event("new", new)).await.ok();
    let both = json!({"reportingComponent": "example.com/c", "source": {"component": "kube-proxy"}});
    api.post(core, &event("both", both)).await.ok();
    let selected = [
        (core, "involvedObject.kind=Pod", "old"),
        (core, "involvedObject.namespace=default", "both new old"),
        (core, "involvedObject.name=p", "old"),
        (core, "involvedObject.uid=u", "old"),
        (core, "involvedObject.apiVersion=v1", "old"),
        (core, "involvedObject.resourceVersion=7", "old"),
        (core, "involvedObject.fieldPath=spec.containers{c}", "old"),
        (core, "reason=Started", "old"),
        (core, "type=Normal", "old"),
        (core, "reportingComponent=example.com/c", "both new"),
        // The old name wins, the new one stands in.
        (core, "source=kubelet", "old"),
        (core, "source=example.com/c", "new"),
        (core, "source=kube-proxy", "both"),
        (core, "source!=kubelet", "both new"),
        (core, "metadata.name=old", "old"),
        (group, "regarding.kind=Pod", "old"),
        (group, "regarding.fieldPath=spec.containers{c}", "old"),
        (group, "reportingController=example.com/c", "both new"),
        (group, "reason=Started", "old"),
        (group, "type!=Normal", "both new"),
    ];
    for (path, selector, expected) in selected {
        let encoded = selector.replace('!', "%21").replace('=', "%3D").replace('{', "%7B").replace('}', "%7D");
        let list = api.get(&format!("{path}?fieldSelector={encoded}")).await.ok();
        let names = list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{selector}");
    }
    for (path, field) in [(core, "source.component"), (core, "regarding.name"), (group, "source")] {
        let refused = api.get(&format!("{path}?fieldSelector={field}%3Dx")).await.failure();
        assert_eq!((refused.0, refused.2), (400, format!("field label not supported: {field}")));
    }
}

#[tokio::test]
async fn events_in_the_new_style_say_more_and_stay_as_they_are() {
    let api = Api::start().await;
    let (group, core) = ("/apis/events.k8s.io/v1/namespaces/x/events", "/api/v1/namespaces/x/events");
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "x"}})).await.ok();
    let good = json!({
        "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "regarding": {"namespace": "y"},
        "reportingController": "example.com/c", "reportingInstance": "i", "action": "a", "reason": "r", "type": "Normal",
    });
    let but = |more: Value| {
        let mut event = good.clone();
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let cases = [
        (json!({"eventTime": null, "regarding": {"namespace": "x"}}), "eventTime: Required value"),
        (json!({"type": "Odd"}), r#"type: Invalid value: "": has invalid value: Odd"#),
        (json!({"action": ""}), "action: Required value"),
        (json!({"reason": "r".repeat(129)}), r#"reason: Invalid value: "": can have at most 128 characters"#),
        (json!({"reportingInstance": null}), "reportingInstance: Required value"),
        (json!({"regarding": {}}), r#"involvedObject.namespace: Invalid value: "": does not match event.namespace"#),
        (json!({"deprecatedCount": 1}), r#"count: Invalid value: "": needs to be unset"#),
        (
            json!({"series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}),
            r#"series.count: Invalid value: "": should be at least 2"#,
        ),
    ];
    for (more, why) in cases {
        let (code, _, message) = api.post(group, &but(more)).await.failure();
        assert_eq!((code, message), (422, format!(r#"Event.events.k8s.io "e" is invalid: {why}"#)));
    }
    let tried = api.post(&format!("{group}?dryRun=All"), &good).await.ok();
    assert_eq!(tried["apiVersion"], "events.k8s.io/v1");
    api.post(group, &good).await.ok();
    let path = format!("{group}/e");
    let (code, _, message) = api.merge(&path, &json!({"note": "n", "reason": "other"})).await.failure();
    let why =
        r#"[reason: Invalid value: "other": field is immutable, message: Invalid value: "n": field is immutable]"#;
    assert_eq!((code, message), (422, format!(r#"Event.events.k8s.io "e" is invalid: {why}"#)));
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}});
    api.merge(&path, &series).await.ok();
    api.merge(&format!("{core}/e"), &json!({"message": "n"})).await.ok();
    let (_, _, message) = api.merge(&format!("{core}/e"), &json!({"reportingComponent": ""})).await.failure();
    assert!(message.contains("reportingComponent: Required value"), "{message}");
}
