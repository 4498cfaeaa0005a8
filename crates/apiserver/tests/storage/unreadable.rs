//! What clients see of a server whose store holds what cannot be read.

use apiserver::{protobuf, testing::TestServer};
use kube::client::Body;
use serde_json::{Value, json};

use crate::etcd_server::Etcd;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

struct World {
    server: TestServer,
    raw: etcd_client::KvClient,
    _etcd: Etcd,
}

impl World {
    async fn start() -> Self {
        let etcd = Etcd::start().await;
        let raw = etcd_client::Client::connect([etcd.url()], None).await.unwrap().kv_client();
        let server = TestServer::start_with(&[&format!("--etcd-servers={}", etcd.url())]).await;
        Self { server, raw, _etcd: etcd }
    }

    async fn send(&self, method: &str, path: &str, accept: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let request = http::Request::builder().method(method).uri(path).header("accept", accept);
        let request = request.header("content-type", "application/json").body(Body::from(body)).unwrap();
        let response = self.server.client().send(request).await.unwrap();
        let code = response.status().as_u16();
        (code, http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes().into())
    }

    async fn get(&self, path: &str, accept: &str) -> (u16, Value) {
        let (code, body) = self.send("GET", path, accept, Vec::new()).await;
        (code, serde_json::from_slice(&body).unwrap())
    }

    /// What the API server would not have written.
    async fn put(&mut self, key: &[u8], value: &Value) {
        self.raw.put([b"/registry/", key].concat(), value.to_string(), None).await.unwrap();
    }

    async fn create(&self, path: &str, object: &Value) {
        let (code, body) = self.send("POST", path, "application/json", object.to_string().into()).await;
        assert_eq!(code, 201, "{}", String::from_utf8_lossy(&body));
    }

    async fn names(&self, path: &str, accept: &str) -> Vec<String> {
        let (code, list) = self.get(path, accept).await;
        assert_eq!(code, 200, "{list}");
        let items = list["items"].as_array().or(list["rows"].as_array()).unwrap().iter();
        let name = |item: &Value| item["metadata"]["name"].as_str().or(item["cells"][0].as_str()).unwrap().to_owned();
        let mut names: Vec<_> = items.map(name).filter(|name| name != "kube-root-ca.crt").collect();
        names.sort();
        names
    }
}

fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": "default", "uid": "8f3b6c1e-0000-4000-8000-000000000000"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_are_served() {
    let mut world = World::start().await;
    world.create(MAPS, &json!({"metadata": {"name": "good"}, "data": {"k": "v"}})).await;
    let typed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("typed"), "data": 5});
    world.put(b"configmaps/default/typed", &typed).await;
    world.put(b"configmaps/default/broken", &json!("k8s")).await;
    world.put(b"configmaps/default/\xff", &typed).await;

    let json = "application/json";
    assert_eq!(world.names(MAPS, json).await, ["good", "typed"], "reads do not leave the bytes");
    assert_eq!(world.names(MAPS, PARTIAL).await, ["good", "typed"]);
    assert_eq!(world.names(MAPS, TABLE).await, ["good"]);
    let (code, list) = world.send("GET", MAPS, "application/vnd.kubernetes.protobuf", Vec::new()).await;
    let list: Value = serde_json::from_slice(&protobuf::to_json(&list).unwrap()).unwrap();
    assert_eq!((code, list["items"][0]["metadata"]["name"].as_str()), (200, Some("good")), "{list}");

    let (code, status) = world.get(&format!("{MAPS}/broken"), json).await;
    assert_eq!((code, status["reason"].as_str()), (500, Some("InternalError")));
    assert!(status["message"].as_str().unwrap().contains("/registry/configmaps/default/broken"), "{status}");
    let (code, _) = world.get(&format!("{MAPS}/typed"), TABLE).await;
    assert_eq!(code, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_versions_of_the_others_are_served() {
    let mut world = World::start().await;
    let event = json!({
        "metadata": {"name": "good", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Good", "message": "m", "type": "Normal",
    });
    world.create("/api/v1/namespaces/default/events", &event).await;
    let bad = json!({"apiVersion": "v1", "kind": "Event", "metadata": meta("bad"), "count": "many"});
    world.put(b"events/default/bad", &bad).await;
    let converted = "/apis/events.k8s.io/v1/namespaces/default/events";
    assert_eq!(world.names("/api/v1/namespaces/default/events", "application/json").await, ["bad", "good"]);
    for _ in 0..2 {
        assert_eq!(world.names(converted, "application/json").await, ["good"]);
    }
    let (_, metrics) = world.send("GET", "/metrics", "*/*", Vec::new()).await;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("\napiserver_storage_decode_errors_total 1\n"), "{metrics}");

    let watch = format!("{converted}?watch=true&timeoutSeconds=1&resourceVersion=0");
    let (_, lines) = world.send("GET", &watch, "application/json", Vec::new()).await;
    let lines = String::from_utf8(lines).unwrap();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen = |event: &Value| (event["type"].clone(), event["object"]["metadata"]["name"].clone());
    let seen: Vec<_> = events.iter().map(seen).collect();
    assert_eq!(seen, [(json!("ADDED"), json!("good"))]);
}
