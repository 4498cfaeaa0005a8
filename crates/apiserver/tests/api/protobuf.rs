//! Protocol buffers, both ways. `apiserver::protobuf` reads the answers; its own tests hold it against upstream.

use apiserver::protobuf::{Encoder, to_json};
use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, Reply};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const EITHER: &str = "application/vnd.kubernetes.protobuf,application/json";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": data}})
}

fn bytes(object: &Value) -> Vec<u8> {
    Encoder::default().object(object.to_string().as_bytes()).unwrap().to_vec()
}

fn read(reply: &Reply) -> Value {
    assert_eq!(reply.headers["content-type"], PROTOBUF, "{}", String::from_utf8_lossy(&reply.bytes));
    serde_json::from_slice(&to_json(&reply.bytes).unwrap()).unwrap()
}

async fn send(api: &Api, method: Method, path: &str, body: Vec<u8>) -> Reply {
    api.raw(method, path, &[("content-type", PROTOBUF), ("accept", EITHER)], body).await
}

#[tokio::test]
async fn objects_go_both_ways() {
    let api = Api::start().await;
    let created = send(&api, Method::POST, MAPS, bytes(&map("a", "1"))).await;
    assert_eq!((created.code, &read(&created)["data"]["k"]), (201, &json!("1")));
    let path = format!("{MAPS}/a");
    let got = read(&api.accept(&path, PROTOBUF).await);
    let mut plain = api.get(&path).await.ok();
    assert_eq!(got, plain);
    plain["data"]["k"] = "2".into();
    let replaced = read(&send(&api, Method::PUT, &path, bytes(&plain)).await);
    assert_eq!(replaced["data"]["k"], "2");
    let headers = [("content-type", "application/merge-patch+json"), ("accept", PROTOBUF)];
    let patched = api.raw(Method::PATCH, &path, &headers, br#"{"data":{"k":"3"}}"#.to_vec()).await;
    assert_eq!(read(&patched)["data"]["k"], "3");
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": plain["metadata"]["uid"]}});
    let deleted = send(&api, Method::DELETE, &path, bytes(&options)).await;
    assert_eq!((deleted.code, read(&deleted)["kind"].as_str()), (200, Some("Status")));
}

#[tokio::test]
async fn lists_short_and_long() {
    let api = Api::start().await;
    for (count, filling) in [(3, 10), (8, 50_000)] {
        for index in 0..count {
            api.post(MAPS, &map(&format!("m{filling}-{index}"), &"x".repeat(filling))).await.ok();
        }
        // The second time, the sizes are known.
        for _ in 0..2 {
            let mut list = read(&api.accept(MAPS, EITHER).await);
            let mut plain = api.get(MAPS).await.ok();
            // Meanwhile the server may have written something of its own.
            for list in [&mut list, &mut plain] {
                assert!(list["metadata"]["resourceVersion"].take().is_string());
            }
            plain["items"].as_array_mut().unwrap().iter_mut().for_each(|item| {
                let item = item.as_object_mut().unwrap();
                item.retain(|name, _| name != "apiVersion" && name != "kind");
            });
            assert_eq!(list, plain);
        }
    }
    let page = read(&api.accept(&format!("{MAPS}?limit=1"), PROTOBUF).await);
    assert!(page["metadata"]["continue"].is_string() && page["items"].as_array().unwrap().len() == 1);
    // Another version of what is stored is written as any other list.
    let events = read(&api.accept("/apis/events.k8s.io/v1/events", PROTOBUF).await);
    assert_eq!(events["kind"], "EventList");
}

/// The events in the frames of a watch.
fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (event, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        let head = bytes_of(&[(1, b"v1"), (2, b"WatchEvent")]);
        let whole = [&b"k8s\0"[..], &bytes_of(&[(1, &head), (2, event)])].concat();
        events.push(serde_json::from_slice(&to_json(&whole).unwrap()).unwrap());
        bytes = rest;
    }
    events
}

fn bytes_of(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bytes) in fields {
        out.push(number << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
    }
    out
}

#[tokio::test]
async fn watches_come_in_frames() {
    let api = Api::start().await;
    api.post(MAPS, &map("a", "1")).await.ok();
    let watch = format!(
        "{MAPS}?watch=true&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    );
    for accept in ["application/vnd.kubernetes.protobuf;stream=watch", EITHER] {
        let reply = api.accept(&watch, accept).await;
        assert_eq!(reply.headers["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
        let events = frames(&reply.bytes);
        assert_eq!((&events[0]["type"], &events[0]["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("a")));
        assert_eq!((&events[1]["type"], &events[1]["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    }
    let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let events = frames(&api.accept(&format!("{MAPS}?watch=true&timeoutSeconds=1"), partial).await.bytes);
    assert_eq!(events[0]["object"]["kind"], "PartialObjectMetadata");
    let yaml = api.accept(&watch, "application/yaml").await;
    assert_eq!(yaml.code, 406);
}

#[tokio::test]
async fn errors_and_metadata_too_but_tables_not() {
    let api = Api::start().await;
    let missing = api.accept(&format!("{MAPS}/missing"), EITHER).await;
    let status = read(&missing);
    assert_eq!((missing.code, &status["kind"], &status["reason"]), (404, &json!("Status"), &json!("NotFound")));
    assert_eq!(status["details"]["name"], "missing");
    api.post(MAPS, &map("a", "1")).await.ok();
    let partial = read(
        &api.accept(&format!("{MAPS}/a"), &format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1")).await,
    );
    assert_eq!((&partial["kind"], &partial["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("a")));
    let list = read(&api.accept(MAPS, &format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")).await);
    assert_eq!(
        (&list["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("PartialObjectMetadataList"), &json!("a"))
    );
    let table = api.accept(MAPS, &format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1")).await;
    let (code, _, message) = table.failure();
    assert_eq!(code, 406);
    assert!(message.ends_with("application/json, application/yaml, application/vnd.kubernetes.protobuf"), "{message}");
}

#[tokio::test]
async fn pods_scale_and_bindings() {
    let api = Api::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}]}});
    let created = read(&send(&api, Method::POST, pods, bytes(&pod)).await);
    assert_eq!(created, read(&api.accept(&format!("{pods}/p"), PROTOBUF).await));
    assert_eq!(created["spec"]["containers"][0]["resources"], json!({"requests": {"cpu": "100m"}}));
    assert_eq!(created["metadata"]["managedFields"][0]["fieldsType"], "FieldsV1");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let bound = send(&api, Method::POST, &format!("{pods}/p/binding"), bytes(&binding)).await;
    assert_eq!((bound.code, &read(&bound)["status"]), (201, &json!("Success")));
    let labels = json!({"app": "a"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
    }});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(read(&send(&api, Method::POST, deployments, bytes(&deployment)).await)["spec"]["replicas"], 2);
    let scale = read(&api.accept(&format!("{deployments}/d/scale"), PROTOBUF).await);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
}
