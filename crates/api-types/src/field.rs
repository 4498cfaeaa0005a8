//! Validation errors about fields, in upstream's words.
//!
//! Follows `k8s.io/apimachinery/pkg/util/validation/field`: the same categories, reasons (as they
//! appear in `Status.details.causes[].reason`) and message shapes.

use std::{collections::HashSet, fmt, io::Write};

use serde_json::Value;
use smallvec::SmallVec;

/// Where a field is: `spec.containers[0].name`, `metadata.labels[a/b]`.
///
/// A path is made for every field that is looked at and read only where one is wrong: the usual ones lie in place, so
/// that making them allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(SmallVec<[u8; USUAL_LENGTH]>);

/// Longer than most paths in a pod, in bytes.
const USUAL_LENGTH: usize = 96;

impl Path {
    /// A path of one named field.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(SmallVec::from_slice(name.as_bytes()))
    }

    /// The named field inside this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            return Self::new(name);
        }
        self.followed_by(&[".", name])
    }

    /// The element of a list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        // Writing to memory cannot fail.
        let _ = write!(path.0, "[{index}]");
        path
    }

    /// The entry of a map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.followed_by(&["[", key, "]"])
    }

    fn followed_by(&self, pieces: &[&str]) -> Self {
        let mut path = self.clone();
        for piece in pieces {
            path.0.extend_from_slice(piece.as_bytes());
        }
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// Two elements that must differ are the same.
    Duplicate,
    /// Not allowed by policy, or in this combination.
    Forbidden,
    /// The server failed while validating.
    Internal,
    /// Malformed or out of range.
    Invalid,
    /// Names something that does not exist.
    NotFound,
    /// Not among the values that are supported.
    NotSupported,
    /// Missing.
    Required,
    /// Longer than allowed.
    TooLong,
    /// More elements than allowed.
    TooMany,
    /// Of another type.
    TypeInvalid,
}

impl FieldErrorKind {
    /// The machine-readable reason in `details.causes[].reason`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::Internal => "InternalError",
            Self::Invalid => "FieldValueInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Required => "FieldValueRequired",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::Internal => "Internal error",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotFound => "Not found",
            Self::NotSupported => "Unsupported value",
            Self::Required => "Required value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The category.
    pub kind: FieldErrorKind,
    /// The field's path.
    pub field: String,
    /// The offending value; absent for the categories that do not print one.
    pub value: Option<Value>,
    /// What would be right.
    pub detail: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, field: &Path, value: Option<Value>, detail: impl Into<String>) -> Self {
        Self { kind, field: field.to_string(), value, detail: detail.into() }
    }

    /// A malformed or out-of-range value.
    pub fn invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, Some(value.into()), detail)
    }

    /// Something that is wrong as a whole; no value is printed.
    pub fn invalid_whole(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, None, detail)
    }

    /// A missing value.
    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, field, None, detail)
    }

    /// A value seen twice.
    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, Some(value.into()), "")
    }

    /// A field that may not be set, or not changed.
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, None, detail)
    }

    /// A reference to what does not exist.
    pub fn not_found(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::NotFound, field, Some(value.into()), "")
    }

    /// A value outside an enumeration; `supported` is printed sorted and quoted.
    pub fn not_supported(field: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut names: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        names.sort_unstable();
        let detail = format!("supported values: {}", names.join(", "));
        Self::new(FieldErrorKind::NotSupported, field, Some(value.into()), detail)
    }

    /// A string that is too long, in bytes.
    pub fn too_long(field: &Path, max: usize) -> Self {
        Self::new(FieldErrorKind::TooLong, field, None, format!("may not be more than {max} bytes"))
    }

    /// A list with too many elements.
    pub fn too_many(field: &Path, actual: usize, max: usize) -> Self {
        Self::new(FieldErrorKind::TooMany, field, Some(actual.into()), format!("must have at most {max} items"))
    }

    /// The message without the field's name, as in `details.causes[].message`.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = self.kind.words().to_owned();
        if let Some(value) = &self.value {
            body.push_str(": ");
            match value {
                Value::String(text) => quote(text, &mut body),
                value => body.push_str(&value.to_string()),
            }
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

/// Appends a text in quotes, as Go's `%q` has it.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All of the errors in one line, each message once, as `Status.message` has them; `None` without
/// errors.
#[must_use]
pub fn aggregate(errors: &[FieldError]) -> Option<String> {
    let mut seen = HashSet::new();
    let mut messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    messages.retain(|message| seen.insert(message.clone()));
    match messages.len() {
        0 => None,
        1 => messages.pop(),
        _ => Some(format!("[{}]", messages.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_upstreams_shape() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        let cases = [
            (FieldError::required(&path, ""), "spec.containers[0].name: Required value"),
            (
                FieldError::invalid(&path, "A_", "must be lower case"),
                r#"spec.containers[0].name: Invalid value: "A_": must be lower case"#,
            ),
            (FieldError::duplicate(&path, "a"), r#"spec.containers[0].name: Duplicate value: "a""#),
            (
                FieldError::not_supported(&path, "x", &["b", "a"]),
                r#"spec.containers[0].name: Unsupported value: "x": supported values: "a", "b""#,
            ),
        ];
        for (error, message) in cases {
            assert_eq!(error.to_string(), message);
        }
    }
}
