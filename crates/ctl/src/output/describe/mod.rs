//! Descriptions of objects for people, in kubectl's layout.
//!
//! One file a kind, joined in [`DESCRIBERS`]; a kind without a row is described by its fields.

mod events;
mod generic;
mod node;
mod pod;
mod service;
mod workload;
mod writer;

use serde_json::Value;

use writer::Writer;

type Describer = fn(&mut Writer, &Value);

const DESCRIBERS: &[(&str, Describer)] = &[
    ("Pod", pod::describe),
    ("Node", node::describe),
    ("Service", service::describe),
    ("Deployment", workload::deployment),
    ("ReplicaSet", workload::replica_set),
    ("ReplicationController", workload::replica_set),
];

/// The description of an object; `None` for events leaves that part out.
#[must_use]
pub fn describe(object: &Value, events: Option<&[Value]>) -> String {
    let mut writer = Writer::default();
    let describer = DESCRIBERS.iter().find(|(kind, _)| object["kind"] == *kind);
    describer.map_or(generic::describe as Describer, |(_, describer)| *describer)(&mut writer, object);
    if let Some(events) = events {
        events::describe(&mut writer, events);
    }
    writer.render()
}

/// The text of a field; empty when it is absent.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The text of a field, or kubectl's `<none>`.
fn or_none(value: &Value) -> String {
    let text = text(value);
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// The lines of a map: `key=value` or `key: value`.
fn pairs(value: &Value, separator: &str) -> Vec<String> {
    value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}{separator}{}", text(value))).collect()
}

/// Name, namespace, labels and annotations.
fn metadata(writer: &mut Writer, object: &Value) {
    let metadata = &object["metadata"];
    writer.field("Name", text(&metadata["name"]));
    if metadata["namespace"].is_string() {
        writer.field("Namespace", text(&metadata["namespace"]));
    }
    labels(writer, object);
}

fn labels(writer: &mut Writer, object: &Value) {
    let metadata = &object["metadata"];
    writer.list("Labels", &pairs(&metadata["labels"], "="));
    writer.list("Annotations", &pairs(&metadata["annotations"], ": "));
}

/// `Controlled By:`, when a controller owns the object.
fn controller(writer: &mut Writer, object: &Value) {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if let Some(owner) = owners.into_iter().find(|owner| owner["controller"] == true) {
        writer.field("Controlled By", format!("{}/{}", text(&owner["kind"]), text(&owner["name"])));
    }
}
