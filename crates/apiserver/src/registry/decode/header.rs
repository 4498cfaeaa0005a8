//! What an object says it is.

use std::borrow::Cow;

use crate::json::{Cursor, Malformed, fault};

/// What an object says it is.
#[derive(Debug, Default)]
pub struct Header<'a> {
    /// Its version; empty when it does not say.
    pub api_version: Cow<'a, str>,
    /// Its kind; empty when it does not say.
    pub kind: Cow<'a, str>,
}

/// The type that Go reads this into.
const GO_TYPE: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

impl<'a> Header<'a> {
    /// Reads what an object says it is, and no further than it must.
    ///
    /// # Errors
    /// Why it cannot be told, in Go's words. Not all malformed JSON is found out.
    pub fn read(json: &'a [u8]) -> Result<Self, String> {
        let mut header = Self::default();
        match header.find(json) {
            Ok(Ok(())) if header.api_version.matches('/').count() > 1 => {
                Err(format!("unexpected GroupVersion string: {}", header.api_version))
            }
            Ok(Ok(())) => Ok(header),
            Ok(Err(mismatch)) => Err(parse_error(json, format!("json: cannot unmarshal {mismatch}"))),
            Err(error) => Err(parse_error(json, error.to_string())),
        }
    }

    /// The outer error is about the syntax, the inner about types.
    fn find(&mut self, json: &'a [u8]) -> Result<Result<(), String>, Malformed> {
        let mut cursor = Cursor::new(json);
        if let Some(what) = other_than_object(cursor.peek()) {
            return Ok(if what == "null" { Ok(()) } else { Err(format!("{what} into Go value of type {GO_TYPE}")) });
        }
        cursor.open_object()?;
        let mut first = true;
        while (self.api_version.is_empty() || self.kind.is_empty())
            && let Some(name) = cursor.member(&mut first)?
        {
            let (field, name) = match name.raw {
                b"apiVersion" => (&mut self.api_version, "apiVersion"),
                b"kind" => (&mut self.kind, "kind"),
                _ => {
                    cursor.skip_value()?;
                    continue;
                }
            };
            match cursor.peek() {
                Some(b'"') => *field = cursor.scalar()?.map(|text| text.to_str()).unwrap_or_default(),
                Some(b'n') => cursor.skip_value()?,
                other => {
                    let what = other_than_object(other).unwrap_or("object");
                    return Ok(Err(format!("{what} into Go struct field .{name} of type string")));
                }
            }
        }
        Ok(Ok(()))
    }
}

fn other_than_object(first: Option<u8>) -> Option<&'static str> {
    match first? {
        b'[' => Some("array"),
        b'"' => Some("string"),
        b't' | b'f' => Some("bool"),
        b'n' => Some("null"),
        b'-' | b'0'..=b'9' => Some("number"),
        _ => None,
    }
}

/// Sees that a text is JSON at all.
///
/// # Errors
/// As [`Header::read`].
pub fn check_syntax(json: &[u8]) -> Result<(), String> {
    fault(json).map_or(Ok(()), |fault| Err(parse_error(json, fault)))
}

fn parse_error(json: &[u8], error: String) -> String {
    format!("couldn't get version/kind; json parse error: {}", fault(json).unwrap_or(error))
}
