//! Objects, lists and tables of what is used.

use std::collections::BTreeMap;

use api_types::{
    Resource, StatusError,
    jiff::Timestamp,
    meta::Time,
    quantity::{Format, Quantity},
};
use bytes::Bytes;
use component::duration::go_duration;
use serde_json::{Map, Value, json};

use super::super::table::not_a_list;
use super::memory::Usage;
use crate::{catalogue::Request, request::Form, storage::cache::Entry};

/// `NodeMetrics`.
pub(super) fn node(name: &str, entry: &Entry, usage: &Usage) -> Value {
    json!({
        "metadata": metadata("", name, entry),
        "timestamp": time(usage.time),
        "window": go_duration(usage.window),
        "usage": amounts(usage.cpu, usage.memory),
    })
}

/// `PodMetrics`; none of a pod of which nothing runs. Its time and window are those of the container whose are the shortest.
pub(super) fn pod(namespace: &str, name: &str, entry: &Entry, containers: &BTreeMap<String, Usage>) -> Option<Value> {
    let earliest = containers.values().min_by_key(|usage| (usage.time, usage.window))?;
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, usage)| json!({"name": name, "usage": amounts(usage.cpu, usage.memory)}))
        .collect();
    Some(json!({
        "metadata": metadata(namespace, name, entry),
        "timestamp": time(earliest.time),
        "window": go_duration(earliest.window),
        "containers": containers,
    }))
}

fn metadata(namespace: &str, name: &str, entry: &Entry) -> Value {
    let mut metadata = json!({"name": name, "creationTimestamp": Time(Timestamp::now())});
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    let labels: Map<String, Value> = entry.labels().map(|(key, value)| (key.to_owned(), value.into())).collect();
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    metadata
}

fn time(milliseconds: i64) -> Value {
    Timestamp::from_second(milliseconds.div_euclid(1000)).map_or(Value::Null, |time| json!(Time(time)))
}

/// As upstream's metrics server writes them: processors in billionths, memory in KiB where it fits.
fn amounts(cpu: u64, memory: u64) -> Value {
    let cpu = format!("{cpu}n").parse::<Quantity>().unwrap_or_default();
    let memory = Quantity::new(i64::try_from(memory).unwrap_or(i64::MAX), Format::BinarySi);
    json!({"cpu": cpu.to_string(), "memory": memory.to_string()})
}

/// A list, as the client wants it. Each object becomes text at once: of many pods there is much to tell.
pub(super) fn list(row: &Resource, request: &Request, items: impl Iterator<Item = Value>) -> Bytes {
    let (head, text): (String, fn(&Value) -> String) = match request.accept.form {
        Form::Table => (table_head(), |item| table_row(item).to_string()),
        Form::MetadataList => (head("PartialObjectMetadataList", "meta.k8s.io/v1"), |item| partial(item).to_string()),
        Form::Object | Form::Metadata => (head(&row.list_kind(), &row.api_version()), Value::to_string),
    };
    let items: Vec<String> = items.map(|item| text(&item)).collect();
    format!("{head}{}]}}", items.join(",")).into()
}

fn head(kind: &str, api_version: &str) -> String {
    format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{}},"items":["#)
}

fn table_head() -> String {
    let column = |(name, format): (&str, &str)| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let columns = json!(COLUMNS.map(column));
    format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{}},"columnDefinitions":{columns},"rows":["#)
}

/// One object, as the client wants it.
pub(super) fn one(row: &Resource, request: &Request, mut item: Value) -> Result<Bytes, StatusError> {
    let one = match request.accept.form {
        Form::Table => return Ok(format!("{}{}]}}", table_head(), table_row(&item)).into()),
        Form::Metadata => partial(&item),
        Form::MetadataList => return Err(not_a_list(row)),
        Form::Object => {
            item["kind"] = (&*row.kind).into();
            item["apiVersion"] = row.api_version().into();
            item
        }
    };
    Ok(one.to_string().into())
}

fn partial(item: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]})
}

const COLUMNS: [(&str, &str); 4] =
    [("Name", "name"), ("cpu", "quantity"), ("memory", "quantity"), ("Window", "duration")];

fn table_row(item: &Value) -> Value {
    json!({"cells": cells(item), "object": partial(item)})
}

/// Of a pod the sum over its containers.
fn cells(item: &Value) -> Vec<Value> {
    let all = item["containers"]
        .as_array()
        .map_or_else(|| vec![&item["usage"]], |own| own.iter().map(|one| &one["usage"]).collect());
    let sum = |resource: &str| {
        let amounts = all.iter().filter_map(|usage| usage[resource].as_str()?.parse::<Quantity>().ok());
        Value::from(amounts.reduce(|a, b| a + b).unwrap_or_default().to_string())
    };
    vec![item["metadata"]["name"].clone(), sum("cpu"), sum("memory"), item["window"].clone()]
}
