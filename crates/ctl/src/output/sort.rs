//! The order of `--sort-by`.

use std::cmp::Ordering;

use api_types::quantity::Quantity;
use serde_json::Value;

use super::{Missing, json_path::Template};

/// Sorts by what a path finds first in each object; objects in which it finds nothing come first.
///
/// # Errors
/// When it finds nothing in any of them, in kubectl's words.
pub fn by_path<T>(path: &str, items: &mut Vec<T>, object: impl Fn(&T) -> &Value) -> Result<(), String> {
    let template = Template::relaxed(path)?;
    let mut keyed = Vec::new();
    for item in items.drain(..) {
        let found = template.parts(object(&item), Missing::Skipped)?.concat().into_iter().next();
        keyed.push((found, item));
    }
    let nothing = !keyed.is_empty() && keyed.iter().all(|(key, _)| key.is_none());
    keyed.sort_by(|(one, _), (other, _)| order(one.as_ref(), other.as_ref()));
    items.extend(keyed.into_iter().map(|(_, item)| item));
    if nothing { Err(format!("couldn't find any field with path {path:?} in the list of objects")) } else { Ok(()) }
}

fn order(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    match (one, other) {
        (Some(Value::String(one)), Some(Value::String(other))) => {
            match (one.parse::<Quantity>(), other.parse::<Quantity>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                _ => one.cmp(other),
            }
        }
        (Some(one), Some(other)) => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => one.total_cmp(&other),
            _ => one.to_string().cmp(&other.to_string()),
        },
        (one, other) => one.is_some().cmp(&other.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_an_order() {
        let sorted = |values: Value| {
            let mut items: Vec<Value> = values.as_array().unwrap().iter().map(|value| json!({"v": value})).collect();
            by_path(".v", &mut items, |item| item).unwrap();
            Value::Array(items.into_iter().map(|mut item| item["v"].take()).collect())
        };
        assert_eq!(sorted(json!(["pod-2", "pod-10", "a"])), json!(["a", "pod-10", "pod-2"]));
        assert_eq!(sorted(json!([10, 9, 1.5])), json!([1.5, 9, 10]));
        assert_eq!(sorted(json!(["1Gi", "100Mi", "2"])), json!(["2", "100Mi", "1Gi"]));
        let mut items = vec![json!({"v": 1}), json!({})];
        by_path("{.v}", &mut items, |item| item).unwrap();
        assert_eq!(items, [json!({}), json!({"v": 1})]);
        let error = by_path(".x", &mut items, |item| item).unwrap_err();
        assert_eq!(error, "couldn't find any field with path \".x\" in the list of objects");
    }
}
