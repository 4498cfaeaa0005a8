//! Objects as they come in: read as leniently as upstream reads them, refused in its words.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, Reply};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn post(api: &Api, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Reply {
    api.raw(Method::POST, path, &[("content-type", kind)], body.into()).await
}

async fn yaml(api: &Api, query: &str, text: &str) -> Reply {
    post(api, &format!("{MAPS}{query}"), "application/yaml", text).await
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn deployment(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    })
}

#[tokio::test]
async fn json_is_read_as_go_reads_it() {
    let api = Api::start().await;
    let cases: [(&[u8], Value); 5] = [
        (br#"{"metadata":{"name":"a"},"data":{"k":null}}"#, json!({"k": ""})),
        (br#"{"metadata":{"name":"b"},"data":{"k":"1"},"data":{"l":"2"}}"#, json!({"k": "1", "l": "2"})),
        (br#"{"metadata":{"name":"c"},"data":{"k":"1","k":"2"}}"#, json!({"k": "2"})),
        (br#"{"metadata":{"name":"d"},"data":{"k":"\ud800"}}"#, json!({"k": "\u{fffd}"})),
        (b"{\"metadata\":{\"name\":\"e\"},\"data\":{\"k\":\"\xff\"}}", json!({"k": "\u{fffd}"})),
    ];
    for (body, data) in cases {
        for query in ["?fieldValidation=Ignore&dryRun=All", "?fieldValidation=Warn"] {
            assert_eq!(post(&api, &format!("{MAPS}{query}"), "application/json", body).await.ok()["data"], data);
        }
    }
    let secret = br#"{"metadata":{"name":"s"},"data":{"k":"YWJj\nZGVm"}}"#;
    let secret = post(&api, "/api/v1/namespaces/default/secrets", "application/json", *secret).await.ok();
    assert_eq!(secret["data"]["k"], "YWJjZGVm");
}

#[tokio::test]
async fn what_is_empty_is_left_out() {
    let api = Api::start().await;
    let mut sent = pod("p");
    sent["metadata"]["labels"] = json!({});
    sent["metadata"]["ownerReferences"] = json!([]);
    sent["spec"]["hostNetwork"] = false.into();
    sent["spec"]["containers"][0]["tty"] = false.into();
    sent["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": ""}]);
    let made = api.post(&format!("{PODS}?fieldManager=me"), &sent).await.ok();
    for (path, field) in [
        ("/metadata", "labels"),
        ("/metadata", "ownerReferences"),
        ("/spec", "hostNetwork"),
        ("/spec/containers/0", "tty"),
    ] {
        assert_eq!(made.pointer(path).unwrap().get(field), None, "{field}");
    }
    assert_eq!(made["spec"]["containers"][0]["env"], json!([{"name": "A"}]));
    let owned = made["metadata"]["managedFields"][0]["fieldsV1"].to_string();
    for field in ["f:labels", "f:hostNetwork", "f:tty", "f:value"] {
        assert!(!owned.contains(field), "{owned}");
    }
    let owners = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]);
    let path = format!("{PODS}/p");
    assert_eq!(
        api.merge(&path, &json!({"metadata": {"ownerReferences": owners}})).await.ok()["metadata"]["ownerReferences"],
        owners
    );
    let orphan = json!([{"op": "replace", "path": "/metadata/ownerReferences", "value": []}]);
    let orphaned = api.patch(&path, "application/json-patch+json", &orphan).await.ok();
    assert_eq!(orphaned["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn yaml_is_read_as_go_reads_it() {
    let api = Api::start().await;
    let map =
        |name: &str, data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{data}");
    assert_eq!(yaml(&api, "", &map("nothing", "  key:\n")).await.ok()["data"]["key"], "");
    let twice = map("twice", "  a: \"1\"\n  a: \"2\"\n");
    let strict = yaml(&api, "?fieldValidation=Strict", &twice).await.failure();
    let words = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
                 yaml: unmarshal errors:\n  line 7: key \"a\" already set in map";
    assert_eq!((strict.0, strict.2.as_str()), (400, words));
    assert_eq!(yaml(&api, "?fieldValidation=Ignore", &twice).await.ok()["data"]["a"], "2");
    let number = yaml(&api, "", &map("number", "  key: 8080\n")).await.failure();
    let words = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct \
                 field ConfigMap.data of type string";
    assert_eq!((number.0, number.2.as_str()), (400, words));
}

#[tokio::test]
async fn what_cannot_be_read_is_quoted() {
    let api = Api::start().await;
    let begin = "the object provided is unrecognized (must be of type ConfigMap): ";
    let broken = yaml(&api, "", "a: [").await.failure();
    assert!(broken.0 == 400 && broken.2.starts_with(&format!("{begin}yaml: ")), "{}", broken.2);
    assert!(broken.2.ends_with(" (613a205b)"), "{}", broken.2);
    let broken = post(&api, MAPS, "application/vnd.kubernetes.protobuf", "x").await.failure();
    let words = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (78)";
    assert_eq!((broken.0, broken.2), (400, format!("{begin}{words}")));
}

#[tokio::test]
async fn times_and_quantities_are_those_of_go() {
    let api = Api::start().await;
    let lease = json!({"metadata": {"name": "l"}, "spec": {"renewTime": "2024-01-02T03:04:05Z"}});
    let refused = api.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", &lease).await.failure();
    assert_eq!(refused.0, 400);
    assert!(refused.2.ends_with("cannot parse \"Z\" as \".000000\""), "{}", refused.2);
    let mut sent = pod("p");
    sent["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "x"}});
    let refused = api.post(PODS, &sent).await.failure();
    assert_eq!(refused.0, 400);
    assert!(refused.2.contains("quantities must match the regular expression"), "{}", refused.2);
    sent["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1 "}});
    assert_eq!(api.post(PODS, &sent).await.ok()["spec"]["containers"][0]["resources"]["limits"]["cpu"], "1");
}

#[tokio::test]
async fn a_condition_without_its_time_is_taken() {
    let api = Api::start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]},
    });
    api.post(services, &service).await.ok();
    let status = json!({"status": {"conditions": [{"type": "A", "status": "True", "reason": "R", "message": ""}]}});
    let patched = api.merge(&format!("{services}/s/status"), &status).await;
    assert_eq!(patched.code, 200, "{patched:?}");
    api.get(&format!("{services}/s")).await.ok();
}

#[tokio::test]
async fn patches_that_lead_to_nothing_decodable_are_422() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.ok();
    let path = format!("{DEPLOYMENTS}/d");
    let refused = api.merge(&path, &json!({"spec": {"replicas": "x"}})).await;
    let (code, reason, message) = refused.failure();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.starts_with(" \"\" is invalid: patch: Invalid value: \"{"), "{message}");
    let words = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32";
    assert!(message.ends_with(words), "{message}");
    let strategic = "application/strategic-merge-patch+json";
    let refused = api.patch(&path, strategic, &json!({"spec": {"replicas": "x"}})).await.failure();
    let begin = " \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:x]]\": ";
    assert!(refused.0 == 422 && refused.2.starts_with(begin), "{}", refused.2);
    assert_eq!(api.patch(&path, strategic, &json!({"kind": "Q"})).await.code, 200);
    let directive = api.patch(&path, strategic, &json!({"spec": {"$patch": "x"}})).await.failure();
    assert_eq!((directive.0, directive.1.as_str()), (500, ""));
    let unknown = format!("{path}?fieldValidation=Strict");
    let refused = api.merge(&unknown, &json!({"spec": {"foo": 1}})).await.failure();
    assert!(
        refused.0 == 422 && refused.2.ends_with("strict decoding error: unknown field \"spec.foo\""),
        "{}",
        refused.2
    );
    let twice = br#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#.to_vec();
    let kind = [("content-type", "application/merge-patch+json")];
    let refused = api.raw(Method::PATCH, &unknown, &kind, twice).await.failure();
    let words = "strict decoding error: duplicate field \"metadata.labels.a\"";
    assert!(refused.0 == 422 && refused.2.ends_with(words), "{}", refused.2);
    let broken = api.raw(Method::PATCH, &path, &kind, b"{".to_vec()).await.failure();
    assert_eq!((broken.0, broken.2.as_str()), (400, "error decoding patch: unexpected end of JSON input"));
}

#[tokio::test]
async fn a_scale_is_decoded_like_any_object() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.ok();
    let path = format!("{DEPLOYMENTS}/d/scale");
    let scale = |replicas: Value| json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas}});
    let refused = api.put(&path, &scale("x".into())).await.failure();
    let words = "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field \
                 ScaleSpec.spec.replicas of type int32";
    assert_eq!((refused.0, refused.2.as_str()), (400, words));
    let mut unknown = scale(2.into());
    unknown["spec"]["foo"] = 1.into();
    assert_eq!(api.put(&format!("{path}?fieldValidation=Strict"), &unknown).await.code, 400);
    assert_eq!(api.merge(&format!("{path}?fieldValidation=Strict"), &unknown).await.code, 422);
    let warned = api.put(&path, &unknown).await;
    assert!(warned.headers["warning"].to_str().unwrap().contains("unknown field \\\"spec.foo\\\""));
    let negative = api.put(&path, &scale((-1).into())).await.failure();
    let words =
        "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0";
    assert_eq!((negative.0, negative.2.as_str()), (422, words));
    let other = json!({"metadata": {"name": "d", "uid": "x"}, "spec": {"replicas": 1}});
    let words = "Operation cannot be fulfilled on deployments/scale.apps \"d\": Precondition failed: UID in precondition: x, \
                 UID in object meta: ";
    let refused = api.put(&path, &other).await.failure();
    assert!(refused.0 == 409 && refused.2.starts_with(words), "{}", refused.2);
}

#[tokio::test]
async fn bindings_have_preconditions() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await.ok();
    let path = format!("{PODS}/p/binding");
    let bind = |metadata: Value, target: Value| json!({"metadata": metadata, "target": target});
    let node = json!({"kind": "Node", "name": "n"});
    let cases = [
        (bind(json!({}), node.clone()), 400, "name in URL does not match name in Binding object"),
        (
            bind(json!({"name": "p", "uid": "x"}), node.clone()),
            409,
            "Operation cannot be fulfilled on pods \"p\": Precondition failed: UID in precondition: x, ",
        ),
        (
            bind(json!({"name": "p", "resourceVersion": "1"}), node.clone()),
            409,
            "Operation cannot be fulfilled on pods \"p\": Precondition failed: ResourceVersion in precondition: 1, ",
        ),
        (
            bind(json!({"name": "p"}), json!({"kind": "Foo", "name": "n"})),
            500,
            "target.kind: Unsupported value: \"Foo\": supported values: ",
        ),
        (bind(json!({"name": "p"}), json!({"kind": "Node"})), 500, "target.name: Required value"),
    ];
    for (binding, code, words) in cases {
        let refused = api.post(&path, &binding).await.failure();
        assert!(refused.0 == code && refused.2.starts_with(words), "{refused:?}");
    }
    let mut unknown = bind(json!({"name": "p"}), node.clone());
    unknown["foo"] = 1.into();
    assert_eq!(api.post(&format!("{path}?fieldValidation=Strict"), &unknown).await.code, 400);
    api.post(&path, &bind(json!({"name": "p"}), node)).await.ok();
    assert_eq!(api.get(&format!("{PODS}/p")).await.ok()["metadata"]["generation"], 1);
}
