//! What nodes and pods use, told by a kubelet that uses half a processor.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use component::{
    Daemon,
    serve::{self, certificates},
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::Api;

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Serves what a kubelet would; at every time it is asked ten seconds have passed. Its port.
async fn start_kubelet(daemon: &Daemon) -> u16 {
    let certificate = certificates::make("kubelet", &["127.0.0.1".to_owned()]).unwrap();
    let tls = serve::tls::server_config(certificate).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicI64::new(0));
    let answer = move |request: Request<Incoming>| {
        let times = asked.fetch_add(1, Ordering::Relaxed);
        let response: Response<Full<Bytes>> = match request.uri().path() {
            "/metrics/resource" => Response::new(Full::from(said(times))),
            _ => Response::builder().status(StatusCode::NOT_FOUND).body(Full::default()).unwrap(),
        };
        async { Ok::<_, Infallible>(response) }
    };
    serve::spawn(listener, Some(tls), tower::service_fn(answer), daemon);
    port
}

fn said(times: i64) -> Bytes {
    let (milliseconds, processors) = (1_000_000 + times * 10_000, times * 5);
    let container = |name: &str| {
        let labels = format!(r#"{{container="{name}",namespace="default",pod="web"}}"#);
        format!(
            "container_cpu_usage_seconds_total{labels} {processors} {milliseconds}\n\
             container_memory_working_set_bytes{labels} 1048576 {milliseconds}\n\
             container_start_time_seconds{labels} 5\n"
        )
    };
    let node = format!(
        "node_cpu_usage_seconds_total {processors} {milliseconds}\nnode_memory_working_set_bytes 4194304 {milliseconds}\n"
    );
    format!("{}{}{node}", container("a"), container("b")).into()
}

async fn until_known(api: &Api, path: &str) -> Value {
    for _ in 0..3000 {
        let reply = api.get(path).await;
        if reply.code == 200 {
            return reply.ok();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} does not become known");
}

async fn start(daemon: &Daemon) -> Api {
    let port = start_kubelet(daemon).await;
    // What was told once is good for longer than the test takes.
    let api = Api::start_with(&["--metric-resolution=60s"]).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"zone": "z"}}});
    api.post("/api/v1/nodes", &node).await.ok();
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]},
        })
    };
    for name in ["web", "waiting"] {
        api.post("/api/v1/namespaces/default/pods", &pod(name)).await.ok();
    }
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    api.merge("/api/v1/nodes/n/status", &status).await.ok();
    api
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubelets_tell_what_nodes_and_pods_use() {
    let daemon = Daemon::new();
    let api = start(&daemon).await;
    let node = until_known(&api, &format!("{METRICS}/nodes/n")).await;
    assert_eq!((&node["kind"], &node["apiVersion"]), (&json!("NodeMetrics"), &json!("metrics.k8s.io/v1beta1")));
    assert_eq!(node["usage"], json!({"cpu": "500m", "memory": "4Mi"}));
    assert_eq!((&node["window"], &node["metadata"]["labels"]), (&json!("10s"), &json!({"zone": "z"})));

    let web = format!("{METRICS}/namespaces/default/pods/web");
    let pod = until_known(&api, &web).await;
    let container = |name: &str| json!({"name": name, "usage": {"cpu": "500m", "memory": "1Mi"}});
    assert_eq!(pod["containers"], json!([container("a"), container("b")]));
    assert_eq!(pod["metadata"]["namespace"], "default");

    for (query, expected) in [
        ("", vec!["web"]),
        ("?labelSelector=app%3Dweb", vec!["web"]),
        ("?labelSelector=app%3Dother", vec![]),
        ("?fieldSelector=metadata.name%3Dweb", vec!["web"]),
        ("?fieldSelector=metadata.name!%3Dweb", vec![]),
    ] {
        for path in [format!("{METRICS}/pods{query}"), format!("{METRICS}/namespaces/default/pods{query}")] {
            let list = api.get(&path).await.ok();
            assert_eq!((names(&list), &list["kind"]), (expected.clone(), &json!("PodMetricsList")), "{path}");
        }
    }
    let elsewhere = api.get(&format!("{METRICS}/namespaces/kube-system/pods")).await.ok();
    assert_eq!(elsewhere["items"], json!([]));
    assert_eq!(names(&api.get(&format!("{METRICS}/nodes?labelSelector=zone%3Dz")).await.ok()), ["n"]);

    let table = api.accept(&format!("{METRICS}/pods"), TABLE).await.ok();
    assert_eq!(table["rows"][0]["cells"], json!(["web", "1", "2Mi", "10s"]));
    let table = api.accept(&web, TABLE).await.ok();
    assert_eq!((&table["kind"], table["rows"].as_array().unwrap().len()), (&json!("Table"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_not_found() {
    let daemon = Daemon::new();
    let api = start(&daemon).await;
    until_known(&api, &format!("{METRICS}/namespaces/default/pods/web")).await;
    for (path, message) in [
        ("nodes/m", r#"nodes.metrics.k8s.io "m" not found"#),
        ("namespaces/default/pods/waiting", r#"pods.metrics.k8s.io "waiting" not found"#),
        ("namespaces/default/pods/none", r#"pods.metrics.k8s.io "none" not found"#),
    ] {
        let failure = api.get(&format!("{METRICS}/{path}")).await.failure();
        assert_eq!(failure, (404, "NotFound".to_owned(), message.to_owned()), "{path}");
    }
    for (path, code) in [
        ("pods?labelSelector=a%3D%3D%3D", 400),
        ("pods?fieldSelector=spec.nodeName%3Dn", 400),
        ("pods?watch=true", 405),
        ("nodes/n/proxy", 404),
    ] {
        assert_eq!(api.get(&format!("{METRICS}/{path}")).await.code, code, "{path}");
    }
    assert_eq!(api.post(&format!("{METRICS}/nodes"), &json!({})).await.code, 405);
    assert_eq!(api.delete(&format!("{METRICS}/nodes/n")).await.code, 405);
}

#[tokio::test]
async fn the_group_is_there_where_kubelets_are_asked() {
    let with = Api::start_with(&["--metric-resolution=60s"]).await;
    let resources = with.get(METRICS).await.ok();
    let resources = resources["resources"].as_array().unwrap();
    let verbs: Vec<(&Value, &Value)> =
        resources.iter().map(|resource| (&resource["kind"], &resource["verbs"])).collect();
    let read = json!(["get", "list"]);
    assert_eq!(verbs, [(&json!("NodeMetrics"), &read), (&json!("PodMetrics"), &read)]);
    assert_eq!(names(&with.get(&format!("{METRICS}/nodes")).await.ok()), Vec::<&str>::new());
    let documents = with.get("/openapi/v3/apis/metrics.k8s.io/v1beta1").await.ok();
    assert!(documents["components"]["schemas"]["io.k8s.metrics.v1beta1.NodeMetrics"].is_object(), "{documents}");
    let without = Api::start().await;
    assert_eq!(without.get(METRICS).await.code, 404);
}
