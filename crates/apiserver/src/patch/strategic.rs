//! Strategic merge patch of objects: directives, and which way each field goes.

use api_types::schema::{Field, ListPatch, Type};
use serde_json::{Map, Value};

use super::{PatchError, strategic_list as list};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Applies a patch to a whole object.
pub(super) fn apply(target: &mut Value, patch: &Object, schema: &Type) -> Result<(), PatchError> {
    let original = match std::mem::take(target) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    *target = Value::Object(merge(original, patch, Some(schema))?);
    Ok(())
}

/// What an object becomes.
pub(super) fn merge(mut original: Object, patch: &Object, schema: Option<&Type>) -> Result<Object, PatchError> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        Some("replace") => return clean(patch, schema),
        Some("delete") => return Ok(Map::new()),
        Some(_) => {
            return Err(PatchError::UnknownDirective {
                directive: patch[DIRECTIVE].clone(),
                map: Value::Object(patch.clone()),
            });
        }
        None => {}
    }
    retain_keys(&mut original, patch)?;
    for (name, order) in directives(patch, SET_ORDER) {
        set_order(&mut original, patch, name, order, schema)?;
    }
    for (name, values) in directives(patch, DELETE_VALUES) {
        delete_values(&mut original, name, values)?;
    }
    for (name, change) in patch.iter().filter(|(name, _)| !is_directive(name)) {
        if change.is_null() {
            original.remove(name);
        } else if !patch.contains_key(&format!("{SET_ORDER}{name}")) {
            let value = merge_field(original.remove(name), change, field(schema, name))?;
            original.insert(name.clone(), value);
        }
    }
    Ok(original)
}

/// What a field becomes that the patch does not remove.
fn merge_field(original: Option<Value>, change: &Value, field: Option<&Field>) -> Result<Value, PatchError> {
    let schema = field.and_then(Field::of);
    match (original, change) {
        (Some(Value::Object(original)), Value::Object(change)) if !field.is_some_and(|field| field.patch.replace) => {
            merge(original, change, schema).map(Value::Object)
        }
        (_, Value::Object(change)) => clean(change, schema).map(Value::Object),
        (original, Value::Array(change)) => {
            let original = match original {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            list::merge(original, change, strategy(field), schema).map(Value::Array)
        }
        (_, change) => Ok(change.clone()),
    }
}

/// A patch as a value of its own: without directives and nulls.
fn clean(patch: &Object, schema: Option<&Type>) -> Result<Object, PatchError> {
    let mut patch = patch.clone();
    patch.remove(DIRECTIVE);
    merge(Map::new(), &patch, schema)
}

/// `$retainKeys`: drops what it does not list.
fn retain_keys(original: &mut Object, patch: &Object) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or(PatchError::Format("retainKeys"))?;
    let listed = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    if patch.iter().any(|(name, value)| !is_directive(name) && !value.is_null() && !listed(name)) {
        return Err(PatchError::RetainKeysMismatch);
    }
    original.retain(|name, _| listed(name));
    Ok(())
}

/// `$setElementOrder/<name>`: merges the list and puts it in this order.
fn set_order(
    original: &mut Object,
    patch: &Object,
    name: &str,
    order: &Value,
    schema: Option<&Type>,
) -> Result<(), PatchError> {
    let order = order.as_array().ok_or(PatchError::Format("setElementOrder list"))?;
    let change = match patch.get(name) {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => return Ok(()),
    };
    let field = field(schema, name);
    let items = match original.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let removed = patch.get(&format!("{DELETE_VALUES}{name}")).and_then(Value::as_array);
    list::check_size(items.len(), removed.map_or(0, Vec::len))?;
    let kept = items.into_iter().filter(|item| !removed.is_some_and(|removed| removed.contains(item))).collect();
    let merged = list::merge_in_order(kept, change, order, strategy(field), field.and_then(Field::of))?;
    if !merged.is_empty() || patch.contains_key(name) {
        original.insert(name.to_owned(), Value::Array(merged));
    }
    Ok(())
}

/// `$deleteFromPrimitiveList/<name>`: takes these scalars out.
fn delete_values(original: &mut Object, name: &str, values: &Value) -> Result<(), PatchError> {
    let values = values.as_array().ok_or(PatchError::Format("primitive list"))?;
    if let Some(Value::Array(items)) = original.get_mut(name) {
        list::check_size(items.len(), values.len())?;
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

fn directives<'a>(patch: &'a Object, prefix: &'static str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    patch.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(SET_ORDER) || name.starts_with(DELETE_VALUES)
}

fn field<'s>(schema: Option<&'s Type>, name: &str) -> Option<&'s Field> {
    schema.and_then(|schema| schema.member(name))
}

fn strategy(field: Option<&Field>) -> ListPatch {
    field.map_or(ListPatch::Replace, |field| field.patch.list)
}
