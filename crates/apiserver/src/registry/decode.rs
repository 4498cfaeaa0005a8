//! Bodies of requests as objects: strict about fields as the client asks.

use api_types::{Object, Resource, StatusError, yaml};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

use super::{options::FieldValidation, strict};
use crate::{
    json::{Cursor, Malformed, Scalar},
    protobuf,
};

/// A decoded object and what to warn its writer about.
pub struct Decoded {
    /// The object.
    pub object: Box<dyn Object>,
    /// Unknown and duplicate fields, in words.
    pub warnings: Vec<String>,
}

/// Decodes JSON as the kind of a row.
///
/// # Errors
/// 400 when the JSON is malformed, of another kind or version, or, with [`FieldValidation::Strict`], has fields that
/// the kind does not have, or has one twice.
pub fn decode(row: &Resource, json: &[u8], validation: FieldValidation) -> Result<Decoded, StatusError> {
    let header = Header::read(json)?;
    header.check_version(&row.api_version())?;
    let object = row.ops.decode(json);
    let object = object.map_err(|error| not_json(json).unwrap_or_else(|| header.refusal(row, &error)))?;
    if validation == FieldValidation::Ignore {
        return Ok(Decoded { object, warnings: Vec::new() });
    }
    let faults = strict::find(json, row.schema());
    let unknown = faults.unknown.iter().map(|path| format!("unknown field {path:?}"));
    let duplicate = faults.duplicate.iter().map(|path| format!("duplicate field {path:?}"));
    let warnings: Vec<_> = unknown.chain(duplicate).collect();
    if validation == FieldValidation::Strict && !warnings.is_empty() {
        return Err(header.refusal(row, &format_args!("strict decoding error: {}", warnings.join(", "))));
    }
    Ok(Decoded { object, warnings })
}

/// The same for a tree.
///
/// # Errors
/// As [`decode`].
pub fn decode_tree(row: &Resource, tree: &Value, validation: FieldValidation) -> Result<Decoded, StatusError> {
    let json = serde_json::to_vec(tree).map_err(StatusError::internal)?;
    decode(row, &json, validation)
}

/// What is wrong with a text that is no JSON.
fn not_json(text: &[u8]) -> Option<StatusError> {
    let error = serde_json::from_slice::<IgnoredAny>(text).err()?;
    Some(StatusError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}

/// What an object says it is.
#[derive(Debug, Default)]
pub struct Header<'a> {
    /// Its version; empty when it does not say.
    pub api_version: Cow<'a, str>,
    /// Its kind; empty when it does not say.
    pub kind: Cow<'a, str>,
}

impl<'a> Header<'a> {
    /// Reads what an object says it is, and no further than it must.
    ///
    /// # Errors
    /// 400 when it is no JSON object. Not all malformed JSON is found out.
    pub fn read(json: &'a [u8]) -> Result<Self, StatusError> {
        Self::find(json).map_err(|error| {
            let vague = || StatusError::bad_request(format!("couldn't get version/kind; json parse error: {error}"));
            not_json(json).unwrap_or_else(vague)
        })
    }

    fn find(json: &'a [u8]) -> Result<Self, Malformed> {
        let mut header = Self::default();
        let mut cursor = Cursor::new(json);
        cursor.open_object()?;
        let mut first = true;
        while (header.api_version.is_empty() || header.kind.is_empty())
            && let Some(name) = cursor.member(&mut first)?
        {
            let field = match name.raw {
                b"apiVersion" => &mut header.api_version,
                b"kind" => &mut header.kind,
                _ => {
                    cursor.skip_value()?;
                    continue;
                }
            };
            *field = cursor.scalar()?.map(Scalar::to_str).unwrap_or_default();
        }
        Ok(header)
    }

    fn check_version(&self, expected: &str) -> Result<(), StatusError> {
        let actual = &*self.api_version;
        if actual.is_empty() || actual == expected {
            return Ok(());
        }
        Err(StatusError::bad_request(format!(
            "the API version in the data ({actual}) does not match the expected API version ({expected})"
        )))
    }

    fn refusal(&self, row: &Resource, why: &dyn std::fmt::Display) -> StatusError {
        let kind = if self.kind.is_empty() { &*row.kind } else { &*self.kind };
        let version = row.api_version();
        StatusError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {}: {why}", row.kind))
    }
}

/// The media type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// `application/json`, also when none is named.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// What bodies can be read.
const READABLE: &[&str] = &["application/json", "application/yaml", protobuf::MEDIA_TYPE];

impl BodyType {
    /// Reads a `Content-Type` header.
    ///
    /// # Errors
    /// 415 for any other type.
    pub fn of(header: Option<&str>) -> Result<Self, StatusError> {
        let media_type = header.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match media_type {
            "" | "application/json" | "*/*" => Ok(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Self::Yaml),
            protobuf::MEDIA_TYPE => Ok(Self::Protobuf),
            _ => Err(StatusError::unsupported_media_type(READABLE)),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 400 when it is malformed.
    pub fn into_json(self, body: Bytes) -> Result<Bytes, StatusError> {
        match self {
            Self::Json => Ok(body),
            Self::Yaml => yaml_to_json(&body).map(Bytes::from),
            Self::Protobuf => {
                let json = protobuf::to_json(&body).map_err(|error| StatusError::bad_request(error.to_string()))?;
                Ok(json.into())
            }
        }
    }
}

/// YAML as JSON.
///
/// # Errors
/// 400 when it is malformed.
pub fn yaml_to_json(yaml: &[u8]) -> Result<Vec<u8>, StatusError> {
    let malformed = |error: &dyn std::fmt::Display| StatusError::bad_request(format!("yaml: {error}"));
    let text = std::str::from_utf8(yaml).map_err(|error| malformed(&error))?;
    let tree = yaml::from_str(text).map_err(|error| malformed(&error))?;
    serde_json::to_vec(&tree).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(json: &str, validation: FieldValidation) -> Result<Vec<String>, String> {
        decode(&api_types::rows::CONFIG_MAPS, json.as_bytes(), validation)
            .map(|decoded| decoded.warnings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn unknown_and_duplicate_fields_are_told() {
        let json = r#"{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"b","a":"c"},"foo":1}"#;
        let words = ["unknown field \"foo\"", "duplicate field \"data.a\""];
        assert_eq!(config_map(json, FieldValidation::Warn).unwrap(), words);
        assert!(config_map(json, FieldValidation::Ignore).unwrap().is_empty());
        assert_eq!(
            config_map(json, FieldValidation::Strict).unwrap_err(),
            format!(
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {}",
                words.join(", ")
            )
        );
    }

    #[test]
    fn objects_of_other_kinds_are_refused() {
        let cases = [
            (r#"{"apiVersion":"v2"}"#, "the API version in the data (v2) does not match the expected API version (v1)"),
            (r#"{"kind":"Pod"}"#, "Pod in version \"v1\" cannot be handled as a ConfigMap"),
            ("{", "couldn't get version/kind"),
        ];
        for (json, words) in cases {
            let error = config_map(json, FieldValidation::Ignore).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn yaml_is_read_with_octal_modes() {
        let json = yaml_to_json(b"defaultMode: 0644\nname: \"0644\"\n").unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"defaultMode":420,"name":"0644"}"#);
    }
}
