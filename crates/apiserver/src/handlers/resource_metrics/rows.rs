//! The rows of `metrics.k8s.io`.

use std::sync::Arc;

use api_types::{
    Resource,
    custom::{Definition, DynamicKind, Structure},
    object::Column,
    resource::Scope,
};
use serde_json::{Value, json};

const API_VERSION: &str = "metrics.k8s.io/v1beta1";
const VERBS: &[&str] = &["get", "list"];

/// `NodeMetrics`.
pub(super) fn nodes() -> Resource {
    let schema = schema("NodeMetrics sets resource usage metrics of a node.", json!({"usage": usage()}));
    let row = kind("NodeMetrics", schema).row("nodes", "");
    Resource { scope: Scope::Cluster, verbs: VERBS, ..row }
}

/// `PodMetrics`.
pub(super) fn pods() -> Resource {
    let container = json!({
        "type": "object",
        "description": "ContainerMetrics sets resource usage metrics of a container.",
        "required": ["name", "usage"],
        "properties": {"name": {"type": "string", "description": "Container name."}, "usage": usage()},
    });
    let containers = json!({
        "type": "array", "description": "Metrics for all containers are collected within the same time window.",
        "items": container,
    });
    let schema = schema("PodMetrics sets resource usage metrics of a pod.", json!({"containers": containers}));
    let row = kind("PodMetrics", schema).row("pods", "");
    Resource { verbs: VERBS, ..row }
}

fn kind(name: &'static str, schema: Value) -> DynamicKind {
    // A schema that is written here is one.
    let schema = serde_json::from_value(schema).unwrap_or_default();
    let age = (Column { r#type: "date".into(), ..Column::AGE }, ".metadata.creationTimestamp".to_owned());
    let own = Definition::new(API_VERSION, name, Arc::new(Structure::new(&schema)));
    DynamicKind::new(Definition { columns: vec![age], ..own })
}

fn usage() -> Value {
    json!({
        "type": "object",
        "description": "The memory usage is the memory working set; the CPU usage is the average over the window.",
        "additionalProperties": {"type": "string"},
    })
}

fn schema(description: &str, own: Value) -> Value {
    let mut properties = json!({
        "timestamp": {"type": "string", "format": "date-time", "description": "The end of the window."},
        "window": {"type": "string", "description": "The time over which usage was measured."},
    });
    if let (Value::Object(properties), Value::Object(own)) = (&mut properties, own) {
        properties.extend(own);
    }
    json!({"type": "object", "description": description, "properties": properties})
}
