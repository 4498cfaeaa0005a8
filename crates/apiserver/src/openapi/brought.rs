//! Definitions of kinds that bring their schema along, as upstream publishes those of custom resources.

use api_types::Resource;
use serde_json::{Map, Value, json};

use super::dialect::Dialect;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The name of a kind's definition: `com.example.v1.Widget` of `example.com`.
pub fn name(row: &Resource) -> String {
    let mut steps: Vec<&str> = row.group.split('.').collect();
    steps.reverse();
    format!("{}.{}.{}", steps.join("."), row.version, row.kind)
}

/// The definition of the kind.
pub fn object(row: &Resource, dialect: Dialect, document: &Value) -> Value {
    let mut definition = match document {
        Value::Object(definition) => definition.clone(),
        _ => Map::new(),
    };
    definition.insert("type".to_owned(), "object".into());
    let properties = definition.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        add_header(properties, dialect, "ObjectMeta", "Standard object's metadata.");
    }
    with_kind(definition, row, &row.kind)
}

/// The definition of a list of them.
pub fn list(row: &Resource, dialect: Dialect, item: &str) -> Value {
    let items = json!({
        "type": "array",
        "items": dialect.reference(item),
        "description": format!("List of {}.", row.plural),
    });
    let mut properties = Map::from_iter([("items".to_owned(), items)]);
    add_header(&mut properties, dialect, "ListMeta", "Standard list metadata.");
    let definition = Map::from_iter([
        ("description".to_owned(), format!("{} is a list of {}", row.list_kind(), row.kind).into()),
        ("type".to_owned(), "object".into()),
        ("required".to_owned(), json!(["items"])),
        ("properties".to_owned(), properties.into()),
    ]);
    with_kind(definition, row, &row.list_kind())
}

fn add_header(properties: &mut Map<String, Value>, dialect: Dialect, metadata: &str, description: &str) {
    let text = |what: &str| json!({"type": "string", "description": what});
    properties.insert(
        "apiVersion".to_owned(),
        text("APIVersion defines the versioned schema of this representation of an object."),
    );
    properties.insert(
        "kind".to_owned(),
        text("Kind is a string value representing the REST resource this object represents."),
    );
    let metadata = Map::from_iter([
        ("$ref".to_owned(), dialect.target(&format!("{META}.{metadata}")).into()),
        ("description".to_owned(), description.into()),
    ]);
    properties.insert("metadata".to_owned(), dialect.tidy(metadata));
}

fn with_kind(mut definition: Map<String, Value>, row: &Resource, kind: &str) -> Value {
    let kind = json!([{"group": row.group, "version": row.version, "kind": kind}]);
    definition.insert("x-kubernetes-group-version-kind".to_owned(), kind);
    Value::Object(definition)
}
