//! Documents over all rows.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::OpenApi;

fn get(openapi: &OpenApi, path: &str) -> Value {
    let reply = openapi.serve(path, &HeaderMap::new()).unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    serde_json::from_slice(&reply.document.body).unwrap()
}

fn openapi() -> OpenApi {
    OpenApi::new(crate::resources::rows().iter().cloned(), "v1.36.0")
}

/// Every reference in `value`.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(path) if key == "$ref" => vec![path.as_str()],
                value => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn index_leads_to_documents_closed_under_reference() {
    let openapi = openapi();
    let index = get(&openapi, "/openapi/v3");
    let paths = index["paths"].as_object().unwrap();
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
    for (path, entry) in paths {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{url}");
        let document = get(&openapi, &format!("/openapi/v3/{path}"));
        for reference in references(&document) {
            assert!(document.pointer(&reference[1..]).is_some(), "{path}: {reference}");
        }
    }
    let v2 = get(&openapi, "/openapi/v2");
    assert!(references(&v2).into_iter().all(|reference| v2.pointer(&reference[1..]).is_some()));
}

#[test]
fn patch_of_a_pod_takes_field_validation() {
    let document = get(&openapi(), "/openapi/v3/api/v1");
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchCoreV1NamespacedPod");
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|parameter| parameter["name"] == "fieldValidation"));
}

#[test]
fn schemas_carry_merge_keys_and_kinds() {
    let document = get(&openapi(), "/openapi/v3/api/v1");
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-map-keys"][0], "name");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
    assert_eq!(
        schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.PodSpec"
    );
}

#[test]
fn compressed_when_accepted() {
    let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, "gzip".parse().unwrap())]);
    let reply = openapi().serve("/openapi/v3/api/v1", &headers).unwrap();
    assert_eq!(reply.document.encoding, Some("gzip"));
    assert!(reply.document.body.len() < 100_000, "{}", reply.document.body.len());
}

#[test]
fn swagger_is_also_written_in_protocol_buffers() {
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf".parse().unwrap();
    let reply = openapi().serve("/openapi/v2", &HeaderMap::from_iter([(header::ACCEPT, accept)])).unwrap();
    let body = reply.document.body;
    assert!(body.starts_with(b"\x0a\x032.0\x12"), "field 1 is the version, field 2 the title and version");
    let name = b"/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
    assert!(body.windows(name.len()).any(|window| window == name));
}
