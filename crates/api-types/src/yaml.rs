//! YAML manifests, read as Go's `sigs.k8s.io/yaml` reads them: into JSON, with YAML 1.1's octal
//! numbers, since `defaultMode: 0644` must be 420.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

/// Why a text is no YAML.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The documents of a stream; empty ones are left out.
///
/// # Errors
/// When the text is malformed.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    if let Some(document) = json(text) {
        return Ok(vec![document]);
    }
    let documents = parse(text, DuplicateKeyPolicy::LastWins).map_err(|error| Error(error.to_string()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// A document, and what a strict reader objects to.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The first document of the text; null when there is none.
    pub document: Value,
    /// The first key that is there twice, as Go's reader tells of it: `line 4: key "c" already set in map`.
    pub repeated: Option<String>,
}

/// Reads a text as Go's reader does: of keys that are there twice the last counts, and what follows the first document is
/// not looked at.
///
/// # Errors
/// When the text is malformed.
pub fn read(text: &str) -> Result<Read, Error> {
    let (documents, repeated) = match parse(text, DuplicateKeyPolicy::Error) {
        Ok(documents) => (documents, None),
        Err(error) => {
            let repeated = repeated(&error);
            let lenient = repeated.is_some().then(|| parse(text, DuplicateKeyPolicy::LastWins));
            let documents = lenient.unwrap_or(Err(error)).map_err(|error| Error(error.to_string()))?;
            (documents, repeated)
        }
    };
    Ok(Read { document: documents.into_iter().next().unwrap_or_default(), repeated })
}

fn parse(text: &str, duplicates: DuplicateKeyPolicy) -> Result<Vec<Value>, serde_saphyr::Error> {
    serde_saphyr::from_multiple_with_options(text, options(duplicates))
}

fn repeated(error: &serde_saphyr::Error) -> Option<String> {
    let serde_saphyr::Error::DuplicateMappingKey { key, location } = error.without_snippet() else { return None };
    let key = key.as_deref().unwrap_or_default();
    Some(format!("line {}: key {key:?} already set in map", location.line()))
}

/// The text as JSON, which is the quicker way for what is both.
fn json(text: &str) -> Option<Value> {
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// How deep texts are read that are no JSON. Each level takes the parser several kilobytes of stack.
const MAX_DEPTH: usize = 64;
/// How long all texts within a text may be together when aliases are replaced by what they stand for, in bytes; the
/// number of values is bounded by default.
const MAX_EXPANDED: usize = 16 << 20;

fn options(duplicates: DuplicateKeyPolicy) -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: duplicates,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_total_scalar_bytes: MAX_EXPANDED },
    }
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
    use proptest::prelude::*;
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
    fn of_keys_that_are_there_twice_the_last_counts() {
        let repeated = Some("line 3: key \"b\" already set in map".to_owned());
        let expected = Read { document: json!({"a": {"b": 2}}), repeated };
        assert_eq!(read("a:\n  b: 1\n  b: 2\n").unwrap(), expected);
        assert_eq!(from_str("a: 1\na: 2\n").unwrap(), json!({"a": 2}));
        let first = Read { document: json!({"a": null}), repeated: None };
        assert_eq!(read("a:\n---\nb: 1\n").unwrap(), first);
        assert_eq!(read("").unwrap(), Read { document: Value::Null, repeated: None });
        assert!(read("a: [").is_err());
    }

    #[test]
    fn streams_are_split() {
        assert_eq!(documents("---\na: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert!(from_str("a: 1\n---\nb: 2").is_err());
        assert!(documents("a: [").is_err());
    }

    #[test]
    fn aliases_cannot_fill_the_memory_or_the_stack() {
        let chain = |levels: usize, each: usize| {
            let line = |n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); each].join(", "));
            format!("a0: &a0 x\n{}", (1..=levels).map(line).collect::<String>())
        };
        let long = || {
            let anchors = (0..2000).map(|n| format!("b{n}: &b{n} x\n")).collect::<String>();
            format!("a: &a {}\n{anchors}c: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 10_000].join(", "))
        };
        assert!(from_str(&chain(20, 1)).is_ok());
        for text in [chain(40, 2), chain(200, 1), long(), "[".repeat(100_000), "a: ".repeat(100_000)] {
            assert!(from_str(&text).is_err(), "{}", &text[..40]);
        }
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(from_str(&deep(MAX_DEPTH)).is_ok() && from_str(&deep(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({"kind": "Pod", "n": "0644", "b": "true", "list": [{"a": 1}], "empty": {}, "text": "a\nb"});
        assert_eq!(from_str(&to_string(&value).unwrap()).unwrap(), value);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-c:\\[\\]{}&*|>'\"#!%<, \n-]{0,48}") {
            let _ = read(&text);
            let _ = documents(&text);
        }

        #[test]
        fn json_is_read_as_it_is(text in "[a-z0-9 ~:-]{0,8}", number: i32) {
            let value = json!({"a": [text, number], "b": {"c": text}});
            prop_assert_eq!(from_str(&format!(" \n{value}")).unwrap(), value);
        }
    }
}
