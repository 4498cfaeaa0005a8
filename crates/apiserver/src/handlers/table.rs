//! Tables, which `kubectl get` prints, and objects reduced to their metadata.

use api_types::{StatusError, object::Column};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::list::ListMeta;
use crate::{
    registry::{Rest, Stored},
    request::Query,
    storage::{
        Item, Revision,
        cache::{Bookmark, Entry},
    },
};

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl IncludeObject {
    /// Reads `includeObject`.
    ///
    /// # Errors
    /// 400 for a value that is not known.
    pub(super) fn of(query: &Query) -> Result<Self, StatusError> {
        match query.get("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(StatusError::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// Whether a Table carries its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heading {
    Due,
    Sent,
}

/// One row of a Table.
#[derive(Serialize)]
pub(super) struct Row {
    cells: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'a ListMeta,
    column_definitions: Vec<Value>,
    rows: Vec<Row>,
}

/// Columns as a Table defines them.
pub(super) fn columns(columns: &[Column]) -> Vec<Value> {
    let definition = |column: &Column| {
        json!({
            "name": column.name,
            "type": column.r#type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    };
    columns.iter().map(definition).collect()
}

/// The rows of some objects, in their order; none for what cannot be shown.
pub(super) async fn rows(
    rest: &Rest,
    items: &[&Item],
    include: IncludeObject,
) -> Result<Vec<Option<Row>>, StatusError> {
    let mut rows = Vec::with_capacity(items.len());
    for batch in items.chunks(rest.batch()) {
        let stored = rest.read_each(batch).await?;
        let shown = |(stored, item): (Option<Stored>, &&Item)| rest.shown(item, row(rest, &stored?, item, include));
        rows.extend(stored.into_iter().zip(batch).map(shown));
    }
    Ok(rows)
}

fn row(rest: &Rest, stored: &Stored, item: &Item, include: IncludeObject) -> Result<Row, StatusError> {
    let cells = rest.row.ops.cells(&*stored.object)?;
    let raw = |json: Vec<u8>| -> Result<Box<RawValue>, StatusError> {
        let text = String::from_utf8(json).map_err(StatusError::internal)?;
        RawValue::from_string(text).map_err(StatusError::internal)
    };
    let object = match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(raw(metadata_of(&rest.show(stored, item)?)?)?),
        IncludeObject::Object => Some(raw(rest.show(stored, item)?.to_vec())?),
    };
    Ok(Row { cells, object })
}

fn encode(rest: &Rest, meta: &ListMeta, rows: Vec<Row>, heading: Heading) -> Result<Bytes, StatusError> {
    let column_definitions = match heading {
        Heading::Due => columns(rest.row.ops.columns()),
        Heading::Sent => Vec::new(),
    };
    let table = Table { kind: "Table", api_version: "meta.k8s.io/v1", metadata: meta, column_definitions, rows };
    serde_json::to_vec(&table).map(Bytes::from).map_err(StatusError::internal)
}

/// A Table of a list.
pub(super) async fn of_list(
    rest: &Rest,
    items: &[&Item],
    meta: &ListMeta,
    include: IncludeObject,
) -> Result<Bytes, StatusError> {
    let rows = rows(rest, items, include).await?.into_iter().flatten().collect();
    encode(rest, meta, rows, Heading::Due)
}

/// A Table of one object.
pub(super) async fn of_one(rest: &Rest, entry: &Entry, include: IncludeObject) -> Result<Bytes, StatusError> {
    let stored = rest.read(entry.item()).await?;
    let row = row(rest, &stored, entry.item(), include)?;
    encode(rest, &ListMeta::at(entry.revision()), vec![row], Heading::Due)
}

/// A Table of one row that a watch tells of.
pub(super) fn of_row(rest: &Rest, revision: Revision, row: Row, heading: Heading) -> Result<Bytes, StatusError> {
    encode(rest, &ListMeta::at(revision), vec![row], heading)
}

/// A bookmark as a Table with one row that has metadata only.
pub(super) fn bookmark(rest: &Rest, bookmark: &Bookmark, ends_initial_events: bool, heading: Heading) -> Bytes {
    let mut metadata = json!({"resourceVersion": bookmark.revision.to_string()});
    if ends_initial_events {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = json!({"kind": rest.row.kind, "apiVersion": rest.row.api_version(), "metadata": metadata});
    let column_definitions = match heading {
        Heading::Due => columns(rest.row.ops.columns()),
        Heading::Sent => Vec::new(),
    };
    let table = json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": bookmark.revision.to_string()},
        "columnDefinitions": column_definitions,
        "rows": [{"cells": [], "object": object}],
    });
    Bytes::from(json!({"type": "BOOKMARK", "object": table}).to_string() + "\n")
}

/// An object in JSON, reduced to its metadata.
///
/// # Errors
/// When the JSON has no metadata.
pub(super) fn metadata_of(object: &[u8]) -> Result<Vec<u8>, StatusError> {
    partial(object, "PartialObjectMetadata", "meta.k8s.io/v1")
}

/// An object in JSON, reduced to its metadata, under this kind.
///
/// # Errors
/// When the JSON has no metadata.
pub(super) fn partial(object: &[u8], kind: &str, api_version: &str) -> Result<Vec<u8>, StatusError> {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Partial<'a> {
        kind: &'a str,
        api_version: &'a str,
        metadata: &'a RawValue,
    }
    let whole: Whole<'_> = serde_json::from_slice(object).map_err(StatusError::internal)?;
    let partial = Partial { kind, api_version, metadata: whole.metadata };
    serde_json::to_vec(&partial).map_err(StatusError::internal)
}
