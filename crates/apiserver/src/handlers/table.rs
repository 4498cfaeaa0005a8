//! Tables, which `kubectl get` prints, and objects reduced to their metadata.

use api_types::{
    Resource, StatusError,
    field::{FieldError, Path},
    object::Column,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::list::ListMeta;
use crate::{
    catalogue::Request,
    registry::{Rest, Stored},
    request::{Form, MetaVersion},
    storage::{
        Item, Revision,
        cache::{Bookmark, Entry, Mark},
    },
};

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IncludeObject {
    None,
    Metadata,
    Object,
}

/// How a Table is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// What rows carry.
    include: IncludeObject,
    /// The version of tables, and of the bare metadata in rows.
    pub version: MetaVersion,
}

impl Options {
    /// Reads what a request says; nothing of it matters where no Table is wanted.
    ///
    /// # Errors
    /// 400 for a value that is not known.
    pub(super) fn of(request: &Request) -> Result<Self, StatusError> {
        let version = request.accept.version;
        let wanted = request.query.get("includeObject").filter(|_| request.accept.form == Form::Table);
        let include = match wanted {
            None | Some("Metadata") => IncludeObject::Metadata,
            Some("None") => IncludeObject::None,
            Some("Object") => IncludeObject::Object,
            Some(other) => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let error = FieldError::invalid(&Path::new("includeObject"), other, why);
                let message = format!("Unable to convert to Table as requested: {error}");
                return Err(StatusError::bad_request(message));
            }
        };
        Ok(Self { include, version })
    }
}

/// The name of a row's type in upstream's code, which some messages tell.
pub(super) fn go_type(row: &Resource) -> String {
    let package = match row.group.split('.').next() {
        None | Some("" | "events") => "core",
        Some(first) => first,
    };
    format!("*{package}.{}", row.kind)
}

/// That a single object has no list of metadata.
pub(super) fn not_a_list(row: &Resource) -> StatusError {
    let kind = go_type(row);
    let why = format!("you requested PartialObjectMetadataList, but the requested object is not a list ({kind})");
    StatusError::no_such_representation(why)
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
pub(super) async fn rows(rest: &Rest, items: &[&Item], options: Options) -> Result<Vec<Option<Row>>, StatusError> {
    let mut rows = Vec::with_capacity(items.len());
    for batch in items.chunks(rest.batch()) {
        let stored = rest.read_each(batch).await?;
        let shown = |(stored, item): (Option<Stored>, &&Item)| rest.shown(item, row(rest, &stored?, item, options));
        rows.extend(stored.into_iter().zip(batch).map(shown));
    }
    Ok(rows)
}

fn row(rest: &Rest, stored: &Stored, item: &Item, options: Options) -> Result<Row, StatusError> {
    let cells = rest.row.ops.cells(&*stored.object)?;
    let raw = |json: Vec<u8>| -> Result<Box<RawValue>, StatusError> {
        let text = String::from_utf8(json).map_err(StatusError::internal)?;
        RawValue::from_string(text).map_err(StatusError::internal)
    };
    let object = match options.include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(raw(metadata_of(&rest.show(stored, item)?, options.version)?)?),
        IncludeObject::Object => Some(raw(rest.show(stored, item)?.to_vec())?),
    };
    Ok(Row { cells, object })
}

fn encode(
    rest: &Rest,
    meta: &ListMeta,
    rows: Vec<Row>,
    (options, heading): (Options, Heading),
) -> Result<Bytes, StatusError> {
    let column_definitions = match heading {
        Heading::Due => columns(rest.row.ops.columns()),
        Heading::Sent => Vec::new(),
    };
    let table =
        Table { kind: "Table", api_version: options.version.api_version(), metadata: meta, column_definitions, rows };
    serde_json::to_vec(&table).map(Bytes::from).map_err(StatusError::internal)
}

/// A Table of a list.
pub(super) async fn of_list(
    rest: &Rest,
    items: &[&Item],
    meta: &ListMeta,
    options: Options,
) -> Result<Bytes, StatusError> {
    let rows = rows(rest, items, options).await?.into_iter().flatten().collect();
    encode(rest, meta, rows, (options, Heading::Due))
}

/// A Table of one object.
pub(super) async fn of_one(rest: &Rest, entry: &Entry, options: Options) -> Result<Bytes, StatusError> {
    let stored = rest.read(entry.item()).await?;
    let row = row(rest, &stored, entry.item(), options)?;
    encode(rest, &ListMeta::at(entry.revision()), vec![row], (options, Heading::Due))
}

/// A Table of one object as it was written, in JSON.
pub(super) fn of_written(rest: &Rest, json: &[u8], options: Options) -> Result<Bytes, StatusError> {
    let object = rest.row.ops.decode_trusted(json).map_err(StatusError::internal)?;
    let cells = rest.row.ops.cells(&*object)?;
    let shown = match options.include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(metadata_of(json, options.version)?),
        IncludeObject::Object => Some(json.to_vec()),
    };
    let raw = |json: Vec<u8>| {
        let text = String::from_utf8(json).map_err(StatusError::internal)?;
        RawValue::from_string(text).map_err(StatusError::internal)
    };
    let row = Row { cells, object: shown.map(raw).transpose()? };
    let version = object.meta().resource_version.as_deref().and_then(|version| version.parse().ok());
    encode(rest, &ListMeta::at(Revision(version.unwrap_or(0))), vec![row], (options, Heading::Due))
}

/// A Table of one row that a watch tells of.
pub(super) fn of_row(rest: &Rest, revision: Revision, row: Row, how: (Options, Heading)) -> Result<Bytes, StatusError> {
    encode(rest, &ListMeta::at(revision), vec![row], how)
}

/// A bookmark as a Table with one row that has metadata only.
pub(super) fn bookmark(rest: &Rest, bookmark: &Bookmark, options: Options, heading: Heading) -> Bytes {
    let mut metadata = json!({"resourceVersion": bookmark.revision.to_string()});
    if bookmark.mark == Mark::InitialEventsEnd {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = json!({"kind": rest.row.kind, "apiVersion": rest.row.api_version(), "metadata": metadata});
    let column_definitions = match heading {
        Heading::Due => columns(rest.row.ops.columns()),
        Heading::Sent => Vec::new(),
    };
    let table = json!({
        "kind": "Table",
        "apiVersion": options.version.api_version(),
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
pub(super) fn metadata_of(object: &[u8], version: MetaVersion) -> Result<Vec<u8>, StatusError> {
    partial(object, "PartialObjectMetadata", version.api_version())
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
