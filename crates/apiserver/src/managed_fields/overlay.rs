//! An apply configuration that is laid over an object without anybody's coming to own what is in it, as mutating policies
//! do.

use api_types::schema::Type;
use serde_json::Value;

use super::{
    apply::ApplyError,
    configuration::Configuration,
    merge::merge,
    shape::{Shape, View},
};

/// What an object becomes when a configuration of the same kind is laid over it; nothing is removed.
///
/// # Errors
/// When the configuration does not fit the schema, or would replace something that is owned as one.
pub fn lay_over(live: Value, configuration: Value, schema: &Type) -> Result<Value, String> {
    let text = |name: &str| configuration[name].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let checked = Configuration { tree: configuration, objections: Vec::new() };
    checked.check(group, version, &kind, schema).map_err(|error| match error {
        ApplyError::Untyped { faults, .. } => {
            format!("failed to convert patch object to typed object: {}", faults.join("; "))
        }
        error => error.to_string(),
    })?;
    let mut atomic = Vec::new();
    find_atomic(&checked.tree, Shape::root(schema), &mut String::new(), &mut atomic);
    if !atomic.is_empty() {
        let places = atomic.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {places}"));
    }
    Ok(merge(Some(live), &checked.tree, Shape::root(schema)))
}

/// Where lists and objects are that are owned as one.
fn find_atomic(value: &Value, shape: Shape<'_>, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match shape.view(value) {
        View::Leaf if value.is_array() || value.is_object() => found.push(path.clone()),
        View::Leaf | View::Empty => {}
        View::Fields(fields) => {
            for (name, inner) in fields {
                path.push('.');
                path.push_str(&name);
                find_atomic(inner, shape.field(&name).0, path, found);
                path.truncate(length);
            }
        }
        View::Elements(elements) => {
            for (index, (_, inner)) in elements.into_iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                find_atomic(inner, shape.element(), path, found);
                path.truncate(length);
            }
        }
    }
}
