//! YAML manifests, read as Go's `sigs.k8s.io/yaml` reads them: into JSON, with YAML 1.1's octal
//! numbers, since `defaultMode: 0644` must be 420.

use serde_json::Value;

/// Why a text is no YAML.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The documents of a stream; empty ones are left out.
///
/// # Errors
/// When the text is malformed.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| Error(error.to_string()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// One document.
///
/// # Errors
/// When the text is malformed, or holds none or several documents.
pub fn from_str(text: &str) -> Result<Value, Error> {
    let mut documents = documents(text)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (None, _) => Err(Error("no document".to_owned())),
        (Some(_), _) => Err(Error("more than one document".to_owned())),
    }
}

/// A JSON tree as YAML, keys sorted, with a final newline.
///
/// # Errors
/// Never for what [`documents`] returns.
pub fn to_string(value: &Value) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| Error(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn manifests_are_read_as_go_reads_them() {
        let cases = [
            ("defaultMode: 0644", json!({"defaultMode": 420})),
            ("a: 0o17\nb: 1e3\nc: 1.5", json!({"a": 15, "b": 1000.0, "c": 1.5})),
            ("a: \"0644\"\nb: 'yes'", json!({"a": "0644", "b": "yes"})),
            ("a: null\nb: ~\nc:", json!({"a": null, "b": null, "c": null})),
            ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
            ("{\"a\": [1, true]}", json!({"a": [1, true]})),
        ];
        for (text, expected) in cases {
            assert_eq!(from_str(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn streams_are_split() {
        assert_eq!(documents("---\na: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert!(from_str("a: 1\n---\nb: 2").is_err());
        assert!(documents("a: [").is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({"kind": "Pod", "n": "0644", "b": "true", "list": [{"a": 1}], "empty": {}, "text": "a\nb"});
        assert_eq!(from_str(&to_string(&value).unwrap()).unwrap(), value);
    }
}
