//! Documents over all rows.

use std::sync::Arc;

use api_types::{
    Resource,
    apiextensions::JSONSchemaProps,
    custom::{Definition, DynamicKind, Structure},
    resource::Ops,
    schema::{self, StandsFor, Type},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{OpenApi, schemas::upstream_definitions};

pub fn get(openapi: &OpenApi, path: &str) -> Value {
    let reply = openapi.serve(path, &HeaderMap::new()).unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    serde_json::from_slice(&reply.document.body).unwrap()
}

pub fn openapi() -> OpenApi {
    OpenApi::new(crate::resources::rows(), "v1.36.2")
}

/// Every reference in `value`.
pub fn references(value: &Value) -> Vec<&str> {
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

/// A file of upstream's, where it is. A test without it says so.
pub fn reference(name: &str) -> Option<Vec<u8>> {
    let beside = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let named = std::env::var_os("FERROKUBE_REFERENCE").map(std::path::PathBuf::from);
    let demanded = named.is_some();
    let path = named.unwrap_or(beside).join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            assert!(!demanded, "{}: {error}", path.display());
            eprintln!("SKIPPED: no {}; FERROKUBE_REFERENCE can name its folder", path.display());
            None
        }
    }
}

/// Upstream's document.
pub fn upstream() -> Option<(Vec<u8>, Value)> {
    let bytes = reference("openapi-v1.36.json")?;
    let document = serde_json::from_slice(&bytes).unwrap();
    Some((bytes, document))
}

/// `required` is a set; some kinds are of every group, of which we serve fewer; and the document is published without
/// enums, which a server tells.
fn comparable(mut definition: Value, schema: &Type) -> Value {
    for property in definition.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let property = property.1.as_object_mut().unwrap();
        let enumerated = property.remove("enum").is_some();
        if let Some(items) = property.get_mut("items").and_then(Value::as_object_mut) {
            items.remove("enum");
        }
        if enumerated && let Some(Value::String(text)) = property.get_mut("description") {
            let plain = text.split("Possible enum values:").next().unwrap_or_default().trim_end_matches('\n');
            *text = plain.to_owned();
        }
    }
    if let Some(required) = definition.get_mut("required").and_then(Value::as_array_mut) {
        required.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    if schema.stands_for == StandsFor::AnyKind {
        definition.as_object_mut().unwrap().remove("x-kubernetes-group-version-kind");
    }
    definition
}

#[test]
fn the_tables_say_what_upstreams_document_says() {
    let Some((bytes, document)) = upstream() else { return };
    let checksum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(checksum, schema::checksum(), "the tables are not current: run hack/wire-tables/generate.py");
    let definitions = document["definitions"].as_object().unwrap();
    let ours = upstream_definitions();
    assert_eq!(ours.len(), definitions.len());
    for (schema, definition) in ours {
        let name = schema.full_name();
        assert_eq!(comparable(definition, schema), comparable(definitions[&name].clone(), schema), "{name}");
    }
}

#[test]
fn a_kind_that_brings_its_schema_is_described() {
    let schema = json!({"type": "object", "description": "A widget.", "properties": {"spec": {"type": "object"}}});
    let schema: JSONSchemaProps = serde_json::from_value(schema).unwrap();
    let kind = DynamicKind::new(Definition::new("example.com/v1", "Widget", Arc::new(Structure::new(&schema))));
    let row = Resource {
        group: "example.com".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
        singular: "widget".into(),
        ops: Ops::Owned(Arc::new(kind)),
        ..api_types::rows::CONFIG_MAPS.clone()
    };
    let openapi = OpenApi::new(vec![Arc::new(row)], "v1.36.2");
    let document = get(&openapi, "/openapi/v3/apis/example.com/v1");
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["com.example.v1.Widget"]["properties"]["spec"], json!({"type": "object"}));
    assert_eq!(
        schemas["com.example.v1.WidgetList"]["properties"]["items"]["items"]["$ref"],
        "#/components/schemas/com.example.v1.Widget"
    );
    for reference in references(&document) {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn version_three_tells_defaults_and_nothing_stands_beside_a_reference() {
    let document = get(&openapi(), "/openapi/v3/api/v1");
    let schemas = &document["components"]["schemas"];
    let container = &schemas["io.k8s.api.core.v1.Container"]["properties"];
    assert_eq!(container["name"]["default"], "");
    assert_eq!(container["args"]["items"], json!({"type": "string", "default": ""}));
    assert_eq!(container["env"]["items"]["default"], json!({}));
    let policy = &container["imagePullPolicy"];
    assert_eq!(policy["enum"], json!(["Always", "IfNotPresent", "Never"]));
    assert!(policy["description"].as_str().unwrap().contains("\n\nPossible enum values:\n - `\"Always\"` means that"));
    assert!(container["image"]["default"].is_null() && container["livenessProbe"]["default"].is_null());
    assert_eq!(schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]["default"], "TCP");
    let limits = &schemas["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"]["additionalProperties"];
    assert_eq!(limits, &json!({"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}));
}
