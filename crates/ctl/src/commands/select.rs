//! Label selectors, as they are typed, for objects that are here.

use api_types::selector::label::{Operator, Selector};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A selector, parsed.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<Selector> {
    text.parse().map_err(|error| Error::usage(format!("{error}")))
}

/// Those of the objects that a selector selects.
///
/// # Errors
/// When the selector is none.
pub fn matching(objects: Vec<Value>, selector: &str) -> Result<Vec<Value>> {
    let selector = parse(selector)?;
    Ok(objects.into_iter().filter(|object| selector.matches(&labels(object))).collect())
}

/// An object's labels.
#[must_use]
pub fn labels(object: &Value) -> std::collections::BTreeMap<String, String> {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn no_operator(text: &str) -> Error {
    Error::usage(format!("{text:?} is not a valid label selector operator"))
}

/// A `LabelSelector`: labels where they must be equal, expressions otherwise.
///
/// # Errors
/// When the text is no selector.
pub fn label_selector(text: &str) -> Result<Value> {
    let mut labels = json!({});
    let mut expressions = Vec::new();
    for requirement in parse(text)?.requirements() {
        let (key, values) = (requirement.key(), requirement.values());
        let operator = match requirement.operator() {
            Operator::Equals | Operator::DoubleEquals => {
                labels[key] = values.first().cloned().unwrap_or_default().into();
                continue;
            }
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::NotEquals => return Err(no_operator("!=")),
            Operator::GreaterThan => return Err(no_operator("gt")),
            Operator::LessThan => return Err(no_operator("lt")),
        };
        expressions.push(json!({"key": key, "operator": operator, "values": values}));
    }
    let mut selector = json!({});
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        selector["matchLabels"] = labels;
    }
    if !expressions.is_empty() {
        selector["matchExpressions"] = expressions.into();
    }
    Ok(selector)
}
