//! Paths that are no resources.

use serde_json::Value;

use crate::client::Api;

#[tokio::test]
async fn health_is_told() {
    let api = Api::start().await;
    for path in ["/healthz", "/livez", "/readyz", "/healthz/ping", "/readyz/etcd"] {
        let reply = api.get(path).await;
        assert_eq!((reply.code, reply.bytes.as_slice()), (200, &b"ok"[..]), "{path}");
    }
    let verbose = String::from_utf8(api.get("/readyz?verbose").await.bytes).unwrap();
    assert!(verbose.contains("[+]etcd ok\n") && verbose.ends_with("readyz check passed\n"), "{verbose}");
    assert_eq!(api.get("/healthz/nothing").await.code, 404);
}

#[tokio::test]
async fn discovery_version_schemas_and_metrics_are_served() {
    let api = Api::start().await;
    assert_eq!(api.get("/version").await.ok()["gitVersion"], "v1.36.2");
    let resources = api.get("/api/v1").await.ok();
    assert_eq!(resources["kind"], "APIResourceList");
    let groups = api.get("/apis").await.ok();
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "apps"));
    assert!(api.get("/openapi/v3").await.ok()["paths"]["api/v1"].is_object());
    let Value::Array(paths) = api.get("/").await.ok()["paths"].clone() else { panic!("no paths") };
    assert!(paths.contains(&"/apis/apps/v1".into()));
    let metrics = String::from_utf8(api.get("/metrics").await.bytes).unwrap();
    assert!(metrics.contains("# TYPE apiserver_request_total counter"), "{metrics}");
}

#[tokio::test]
async fn component_statuses_are_probed() {
    let api = Api::start().await;
    let statuses = api.get("/api/v1/componentstatuses").await.ok();
    let names: Vec<_> =
        statuses["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["controller-manager", "scheduler", "etcd-0"]);
    assert_eq!(statuses["items"][2]["conditions"][0]["message"], "{\"health\": \"true\"}");
    assert_eq!(api.get("/api/v1/componentstatuses/etcd-0").await.ok()["conditions"][0]["status"], "True");
    assert_eq!(api.get("/api/v1/componentstatuses/x").await.code, 404);
}

#[tokio::test]
async fn every_answer_can_be_traced() {
    let api = Api::start().await;
    let reply = api.raw(http::Method::GET, "/version", &[("audit-id", "mine")], Vec::new()).await;
    assert_eq!(reply.headers["audit-id"], "mine");
    assert_eq!(api.get("/version").await.headers["audit-id"].len(), 36);
}

#[tokio::test]
async fn nobody_guesses_what_text_and_refusals_are() {
    let api = Api::start_with(&["--authorization-mode=RBAC"]).await;
    let stranger = api.server.secure_url();
    let client = kube::Client::try_from({
        let mut config = kube::Config::new(stranger.parse().unwrap());
        config.accept_invalid_certs = true;
        config
    });
    let client = client.unwrap();
    for (path, code) in [("/healthz", 200), ("/livez?verbose", 200), ("/api/v1/nodes", 403), ("/nope", 403)] {
        let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
        let answer = client.send(request).await.unwrap();
        let told = answer.headers().get("x-content-type-options").map(|value| value.as_bytes());
        assert_eq!((answer.status().as_u16(), told), (code, Some(b"nosniff".as_slice())), "{path}");
    }
    for path in ["/metrics", "/nope", "/healthz/nope", "/debug/pprof/nope"] {
        assert_eq!(api.get(path).await.headers["x-content-type-options"], "nosniff", "{path}");
    }
}
