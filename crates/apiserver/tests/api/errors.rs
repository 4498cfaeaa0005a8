//! Requests that cannot be answered, and what clients read then.

use http::Method;
use serde_json::json;

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn mistakes_have_upstreams_words() {
    let api = Api::start().await;
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    api.post(MAPS, &map("a")).await.ok();
    let cases = [
        (api.post(MAPS, &map("a")).await, 409, "AlreadyExists", "configmaps \"a\" already exists"),
        (api.post(MAPS, &map("A_b")).await, 422, "Invalid", "ConfigMap \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain"),
        (api.post(MAPS, &map("")).await, 422, "Invalid", "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"),
        (api.post("/api/v1/namespaces/x/configmaps", &map("a")).await, 404, "NotFound", "namespaces \"x\" not found"),
        (api.put(&format!("{MAPS}/b"), &map("a")).await, 400, "BadRequest", "the name of the object (a) does not match the name on the URL (b)"),
        (
            api.post(MAPS, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "kube-system"}})).await,
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (api.post(MAPS, &json!({"apiVersion": "v2", "kind": "ConfigMap"})).await, 400, "BadRequest", "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\" in scheme"),
        (api.raw(Method::POST, MAPS, &[], b"{".to_vec()).await, 400, "BadRequest", ""),
        (api.raw(Method::POST, MAPS, &[("content-type", "text/csv")], b"a".to_vec()).await, 415, "UnsupportedMediaType", "the body of the request was in an unknown format"),
        (api.raw(Method::POST, MAPS, &[], vec![b' '; (3 << 20) + 1]).await, 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
        (api.raw(Method::POST, &format!("{MAPS}/a"), &[], b"{}".to_vec()).await, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
        (api.put(MAPS, &map("a")).await, 405, "MethodNotAllowed", "the server does not allow"),
        (api.accept(&format!("{MAPS}/a"), "text/html").await, 406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
        (api.get(&format!("{MAPS}?labelSelector=a%20b%20c")).await, 400, "BadRequest", ""),
        (api.get(&format!("{MAPS}?fieldSelector=spec.x=1")).await, 400, "BadRequest", "\"spec.x\" is not a known field selector"),
        (api.patch(&format!("{MAPS}/a"), "application/json", &json!({})).await, 415, "UnsupportedMediaType", ""),
        (api.merge(&format!("{MAPS}/b"), &json!({})).await, 404, "NotFound", "configmaps \"b\" not found"),
        (api.merge(&format!("{MAPS}/a"), &json!({"metadata": {"uid": "x"}})).await, 422, "Invalid", "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable"),
    ];
    for (reply, code, reason, message) in cases {
        let (actual_code, actual_reason, actual_message) = reply.failure();
        assert_eq!((actual_code, actual_reason.as_str()), (code, reason), "{actual_message}");
        assert!(actual_message.starts_with(message), "{actual_message}");
    }
}

#[tokio::test]
async fn causes_name_the_fields() {
    let api = Api::start().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}});
    let reply = api.post("/api/v1/namespaces/default/pods", &pod).await;
    let status = reply.json();
    assert_eq!(reply.code, 422);
    assert_eq!(status["details"]["kind"], "Pod");
    let cause = json!({"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers"});
    assert!(status["details"]["causes"].as_array().unwrap().contains(&cause), "{status}");
}

#[tokio::test]
async fn paths_that_lead_nowhere() {
    let api = Api::start().await;
    for path in ["/nowhere", "/apis/apps/v2/deployments"] {
        let reply = api.get(path).await;
        assert_eq!((reply.code, reply.bytes.as_slice()), (404, &b"404 page not found\n"[..]), "{path}");
    }
    // Within a version that is served, errors are objects.
    for path in [
        "/api/v1/nothings",
        "/api/v1/pods/p",
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/pods/p/nothing",
    ] {
        let failure = api.get(path).await.failure();
        let message = "the server could not find the requested resource";
        assert_eq!(failure, (404, "NotFound".to_owned(), message.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_warnings() {
    let api = Api::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let reply = api.post(maps, &json!({"metadata": {"name": "A_"}, "unknown": 1})).await;
    assert_eq!(reply.code, 422);
    assert_eq!(reply.headers["warning"], r#"299 - "unknown field \"unknown\"""#);
    let deprecated = "/api/v1/namespaces/default/endpoints/none";
    let reply = api.get(deprecated).await;
    assert_eq!(reply.code, 404);
    assert!(reply.headers["warning"].to_str().unwrap().contains("v1 Endpoints is deprecated in v1.33+"));
}
