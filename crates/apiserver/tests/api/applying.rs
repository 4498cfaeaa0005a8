//! Server-side apply as clients see it.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Api, Reply};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn apply(api: &Api, path: &str, manager: &str, config: &Value) -> Reply {
    let kind = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{path}{}fieldManager={manager}", if path.contains('?') { "&" } else { "?" });
    api.raw(Method::PATCH, &path, &kind, config.to_string().into_bytes()).await
}

fn map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": data})
}

fn managers(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| (entry["manager"].as_str().unwrap().to_owned(), entry["fieldsV1"].clone()))
        .collect()
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_refused() {
    let api = Api::start().await;
    let path = format!("{MAPS}/a");
    let mut unknown = map(&json!({}));
    unknown["foo"] = 1.into();
    let begin = "failed to create typed patch object (default/a; /v1, Kind=ConfigMap): ";
    let cases = [
        (unknown, 500, format!("{begin}.foo: field not declared in schema")),
        (map(&json!([])), 500, format!("{begin}.data: expected map, got &{{[]}}")),
        (json!({"metadata": {"name": "a"}}), 400, "invalid object type: /, Kind=".to_owned()),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": []}}),
            400,
            "metadata.managedFields must be nil".to_owned(),
        ),
    ];
    for (config, code, words) in cases {
        let refused = apply(&api, &path, "m", &config).await.failure();
        assert_eq!((refused.0, refused.2), (code, words));
    }
    let mut insists = map(&json!({}));
    insists["metadata"]["uid"] = "x".into();
    let refused = apply(&api, &path, "m", &insists).await.failure();
    let words = "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid x, and no \
                 existing object was found";
    assert_eq!((refused.0, refused.2.as_str()), (409, words));
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test]
async fn an_element_without_its_key_is_validations_affair() {
    let api = Api::start().await;
    let config = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"name": "x"}]}]},
    });
    let refused = apply(&api, &format!("{PODS}/p"), "m", &config).await.failure();
    assert_eq!(refused.0, 422);
    assert!(refused.2.contains("spec.containers[0].ports[0].containerPort: Required value"), "{}", refused.2);
}

#[tokio::test]
async fn empty_and_null_values_are_owned() {
    let api = Api::start().await;
    let path = format!("{MAPS}/a");
    let applied = apply(&api, &path, "m", &map(&json!({}))).await.ok();
    assert_eq!(applied.get("data"), None);
    assert_eq!(managers(&applied), [("m".to_owned(), json!({"f:data": {}}))]);
    let refused = apply(&api, &path, "n", &map(&json!({}))).await.failure();
    assert_eq!((refused.0, refused.2.as_str()), (409, "Apply failed with 1 conflict: conflict with \"m\": .data"));
    let applied = apply(&api, &path, "m", &map(&json!({"k": null}))).await.ok();
    assert_eq!(applied["data"], json!({"k": ""}));
}

#[tokio::test]
async fn applying_again_writes_nothing() {
    let api = Api::start().await;
    let path = format!("{PODS}/p");
    let config = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {}},
        "spec": {"hostNetwork": false, "containers": [{"name": "c", "image": "i", "tty": false}]},
    });
    let first = apply(&api, &path, "m", &config).await.ok();
    let owned = managers(&first)[0].1.to_string();
    for field in ["f:labels", "f:hostNetwork", "f:tty"] {
        assert!(owned.contains(field), "{owned}");
    }
    let second = apply(&api, &path, "m", &config).await.ok();
    assert_eq!(second, first);
}

#[tokio::test]
async fn what_the_server_sets_belongs_to_nobody() {
    let api = Api::start().await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let made = api.post("/api/v1/namespaces/default/services?fieldManager=m", &service).await.ok();
    let owned = managers(&made)[0].1.to_string();
    for field in ["f:clusterIP", "f:ipFamilies", "f:nodePort"] {
        assert!(!owned.contains(field), "{owned}");
    }
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = api.post(&format!("{PODS}?fieldManager=m"), &pod).await.ok();
    assert!(made["spec"]["tolerations"].is_array() && made["spec"]["priority"].is_number(), "{made}");
    let owned = managers(&made)[0].1.to_string();
    assert!(!owned.contains("f:tolerations") && !owned.contains("f:priority"), "{owned}");
    let namespace = api.post("/api/v1/namespaces?fieldManager=m", &json!({"metadata": {"name": "n"}})).await.ok();
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert!(!managers(&namespace).iter().any(|(_, owned)| owned.get("f:spec").is_some()), "{namespace}");
}

#[tokio::test]
async fn an_object_that_nobody_manages_stays_so() {
    let api = Api::start().await;
    let path = format!("{MAPS}/a");
    let made = api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.ok();
    assert!(managers(&made).is_empty());
    let patched = api.merge(&path, &json!({"data": {"k": "v"}})).await.ok();
    assert!(managers(&patched).is_empty());
    let refused = apply(&api, &path, "m", &map(&json!({"k": "w"}))).await.failure();
    let words = "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k";
    assert_eq!((refused.0, refused.2.as_str()), (409, words));
}

#[tokio::test]
async fn a_scale_can_be_applied() {
    let api = Api::start().await;
    let deployment = json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    api.post(&format!("{DEPLOYMENTS}?fieldManager=creator"), &deployment).await.ok();
    let path = format!("{DEPLOYMENTS}/d/scale");
    let scale = |replicas: i32| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": replicas}});
    let refused = apply(&api, &path, "m", &scale(3)).await.failure();
    let words = "Apply failed with 1 conflict: conflict with \"creator\" using apps/v1: .spec.replicas";
    assert_eq!((refused.0, refused.2.as_str()), (409, words));
    assert_eq!(apply(&api, &format!("{path}?force=true"), "m", &scale(3)).await.ok()["spec"]["replicas"], 3);
    let scaled = api.get(&format!("{DEPLOYMENTS}/d")).await.ok();
    assert_eq!(scaled["spec"]["replicas"], 3);
    let entry =
        scaled["metadata"]["managedFields"].as_array().unwrap().iter().find(|entry| entry["manager"] == "m").cloned();
    let entry = entry.unwrap();
    let expected = json!({"f:spec": {"f:replicas": {}}});
    assert_eq!(
        (&entry["subresource"], &entry["operation"], &entry["fieldsV1"]),
        (&json!("scale"), &json!("Apply"), &expected)
    );
    assert_eq!(apply(&api, &path, "m", &scale(4)).await.ok()["spec"]["replicas"], 4);
    let unknown =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"foo": 1}});
    assert_eq!(apply(&api, &path, "m", &unknown).await.code, 500);
}

#[tokio::test]
async fn a_status_can_be_applied() {
    let api = Api::start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, &pod).await.ok();
    let config = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "Mine", "status": "True"}]},
    });
    let applied = apply(&api, &format!("{PODS}/p/status"), "m", &config).await.ok();
    let owned = managers(&applied).into_iter().find(|(manager, _)| manager == "m").unwrap().1;
    let condition = json!({".": {}, "f:status": {}, "f:type": {}});
    assert_eq!(owned, json!({"f:status": {"f:conditions": {"k:{\"type\":\"Mine\"}": condition}}}));
}
