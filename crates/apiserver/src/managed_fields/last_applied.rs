//! From client-side to server-side apply: what kubectl applied before is in an annotation.

use serde_json::{Map, Value};

use super::{
    Configuration, Writer,
    compare::{Before, compare},
    merge::paths,
    set::FieldSet,
};

/// Where `kubectl apply` keeps what it applied last.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager that `kubectl apply --server-side` is. Others opt out of the change-over.
const KUBECTL: &str = "kubectl";
/// All annotations of an object may be so long together, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// The fields that the writer applied by the client before, and that are still as it applied them: whoever else owns
/// them, it may change them.
pub(super) fn fields(live: &Value, writer: &Writer<'_>) -> FieldSet {
    applied(live, writer).unwrap_or_default()
}

fn applied(live: &Value, writer: &Writer<'_>) -> Option<FieldSet> {
    let text = annotation(live).filter(|_| writer.manager == KUBECTL)?;
    let before: Configuration = serde_json::from_str::<Value>(text).ok()?.into();
    let row = writer.resource;
    before.check(&row.group, &row.version, &row.kind, row.schema()).ok()?;
    let mut fields = paths(&before.tree, writer.shape());
    let since = compare(Before::Value(&before.tree), Some(live), writer.shape());
    fields.subtract(&since.changed);
    fields.subtract(&since.removed);
    Some(fields)
}

/// Keeps the annotation of an object current that has one, so that a client that goes by it is not misled.
pub(super) fn keep_current(object: &mut Value, config: &Value, writer: &Writer<'_>) {
    if writer.manager != KUBECTL || annotation(object).is_none() {
        return;
    }
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    annotations.insert(ANNOTATION.to_owned(), text(config).into());
    let length = |annotations: &Map<String, Value>| -> usize {
        annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
    };
    if length(annotations) > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}

fn annotation(object: &Value) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    Some(text).filter(|text| !text.is_empty())
}

/// The configuration without the annotation, as Go writes it.
fn text(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let escapes =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    let text = escapes.iter().fold(config.to_string(), |text, (letter, escape)| text.replace(*letter, escape));
    text + "\n"
}
