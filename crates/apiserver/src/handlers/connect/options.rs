//! The options of a connection as an object, which is what admission reviews of it.

use api_types::StatusError;
use serde_json::{Value, json};

use crate::{handlers::selection, request::Query};

/// How an option is written.
enum Form {
    Flag,
    Number,
    Text,
    Texts,
}

use Form::{Flag, Number, Text, Texts};

/// Kinds of options, each with its fields.
static KINDS: &[(&str, &[(&str, Form)])] = &[
    ("PodAttachOptions", &[("container", Text), ("stderr", Flag), ("stdin", Flag), ("stdout", Flag), ("tty", Flag)]),
    (
        "PodExecOptions",
        &[("command", Texts), ("container", Text), ("stderr", Flag), ("stdin", Flag), ("stdout", Flag), ("tty", Flag)],
    ),
    (
        "PodLogOptions",
        &[
            ("container", Text),
            ("follow", Flag),
            ("insecureSkipTLSVerifyBackend", Flag),
            ("limitBytes", Number),
            ("previous", Flag),
            ("sinceSeconds", Number),
            ("sinceTime", Text),
            ("stream", Text),
            ("tailLines", Number),
            ("timestamps", Flag),
        ],
    ),
];

/// The options of this kind in a query.
///
/// # Errors
/// 400 when a number is none.
pub(super) fn of(kind: &str, query: &Query) -> Result<Value, StatusError> {
    let mut options = json!({"kind": kind, "apiVersion": "v1"});
    let fields = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, fields)| *fields).unwrap_or_default();
    for (name, form) in fields.iter().filter(|(name, _)| query.contains(name)) {
        options[*name] = match form {
            Flag => query.flag(name).into(),
            Number => selection::integer(query, name)?.into(),
            Text => query.get(name).into(),
            Texts => query.all(name).collect::<Vec<_>>().into(),
        };
    }
    Ok(options)
}
