//! Bodies of requests as JSON.

use api_types::{StatusError, yaml};
use bytes::Bytes;

use crate::{json, protobuf};

/// A body as JSON.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The JSON.
    pub json: Bytes,
    /// What a strict reader objects to that is not to be seen in the JSON any more.
    pub objections: Vec<String>,
    /// Why the body is none that can be read; what was sent is then in the place of the JSON.
    pub fault: Option<String>,
}

impl From<Bytes> for Sent {
    fn from(json: Bytes) -> Self {
        Self { json, objections: Vec::new(), fault: None }
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
    #[must_use]
    pub fn into_json(self, body: Bytes) -> Sent {
        let read = match self {
            Self::Json => return body.into(),
            Self::Yaml => yaml_to_json(&body),
            Self::Protobuf => match protobuf::to_json(&body) {
                Ok(json) => Ok(Bytes::from(json).into()),
                Err(error) => Err(error.to_string()),
            },
        };
        read.unwrap_or_else(|fault| Sent { json: body, objections: Vec::new(), fault: Some(fault) })
    }
}

/// YAML as JSON, which is YAML too.
///
/// # Errors
/// What is wrong with it.
pub fn yaml_to_json(body: &Bytes) -> Result<Sent, String> {
    if body.trim_ascii_start().first() == Some(&b'{') && json::fault(body).is_none() {
        return Ok(body.clone().into());
    }
    let malformed = |error: &dyn std::fmt::Display| format!("yaml: {error}");
    let text = String::from_utf8_lossy(body);
    let read = yaml::read(&text).map_err(|error| malformed(&error))?;
    let json = serde_json::to_vec(&read.document).map_err(|error| malformed(&error))?;
    let objections = read.repeated.iter().map(|repeated| format!("yaml: unmarshal errors:\n  {repeated}")).collect();
    Ok(Sent { objections, ..Bytes::from(json).into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &'static str) -> Sent {
        yaml_to_json(&Bytes::from_static(yaml.as_bytes())).unwrap()
    }

    #[test]
    fn yaml_is_read_with_octal_modes() {
        assert_eq!(read("defaultMode: 0644\nname: \"0644\"\n").json, r#"{"defaultMode":420,"name":"0644"}"#);
    }

    #[test]
    fn of_keys_that_are_there_twice_the_last_counts_and_a_strict_reader_objects() {
        let sent = read("a: 1\nb:\n  c: 1\n  c: 2\n");
        assert_eq!(sent.json, r#"{"a":1,"b":{"c":2}}"#);
        assert_eq!(sent.objections, ["yaml: unmarshal errors:\n  line 4: key \"c\" already set in map"]);
        assert!(read("a: 1\nb: 2\n").objections.is_empty());
    }

    #[test]
    fn json_stays_as_it_is() {
        assert_eq!(read(r#" {"a": 1, "a": 2}"#).json, r#" {"a": 1, "a": 2}"#);
    }
}
