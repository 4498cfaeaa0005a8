//! Strategic merge patch of objects: directives, and which way each field goes.

use api_types::schema::{Field, ListPatch, Type};
use serde_json::{Map, Value};

use super::{PatchError, strategic_list as list};
use crate::json::go_value::Printed;

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
        Some("replace") => return Ok(without_directive(patch)),
        Some("delete") => return Ok(Map::new()),
        Some(_) => return Err(unknown_directive(patch)),
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
        } else if !change.is_array() || !patch.contains_key(&format!("{SET_ORDER}{name}")) {
            let value = merge_field(original.remove(name), change, field(schema, name))?;
            original.extend(value.map(|value| (name.clone(), value)));
        }
    }
    Ok(original)
}

/// `unknown patch type: x in map: map[$patch:x]`.
pub(super) fn unknown_directive(patch: &Object) -> PatchError {
    let directive = patch.get(DIRECTIVE).unwrap_or(&Value::Null);
    let map = Value::Object(patch.clone());
    PatchError::Unfit(format!("unknown patch type: {} in map: {}", Printed(directive), Printed(&map)))
}

/// What a field becomes that the patch does not remove.
fn merge_field(original: Option<Value>, change: &Value, field: Option<&Field>) -> Result<Option<Value>, PatchError> {
    match (original, change) {
        (Some(Value::Object(original)), Value::Object(change)) => {
            let replaced = field.is_some_and(|field| field.patch.replace);
            if replaced { Ok(change.clone()) } else { merge(original, change, field.and_then(Field::of)) }
                .map(|merged| Some(Value::Object(merged)))
        }
        (Some(Value::Array(original)), Value::Array(change)) => {
            list::merge(original, change, strategy(field), field.and_then(Field::of))
                .map(|list| Some(Value::Array(list)))
        }
        (_, change) => Ok(fresh(change)),
    }
}

/// A part of a patch as a value of its own, without nulls. What says how it is to be merged is dropped with all that is
/// in it: there is nothing to merge it with.
pub(super) fn fresh(change: &Value) -> Option<Value> {
    match change {
        Value::Object(patch) if patch.contains_key(DIRECTIVE) => None,
        Value::Object(patch) => {
            let kept = patch.iter().filter(|(name, value)| !value.is_null() && !is_directive(name));
            Some(Value::Object(kept.filter_map(|(name, value)| Some((name.clone(), fresh(value)?))).collect()))
        }
        Value::Array(items) => Some(items.iter().filter_map(fresh).collect()),
        scalar => Some(scalar.clone()),
    }
}

fn without_directive(patch: &Object) -> Object {
    patch.iter().filter(|(name, _)| *name != DIRECTIVE).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `$retainKeys`: drops what it does not list.
fn retain_keys(original: &mut Object, patch: &Object) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or(PatchError::Format("retainKeys"))?;
    list::check_size(original.len().saturating_add(patch.len()), keys.len())?;
    let listed = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    if patch.iter().any(|(name, value)| !is_directive(name) && !value.is_null() && !listed(name)) {
        return Err(PatchError::Format("retainKeys"));
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
    let order = items(order)?;
    let field = field(schema, name);
    let (strategy, of) = (strategy(field), field.and_then(Field::of));
    let before = original.get(name).map(items).transpose()?;
    let change = patch.get(name).filter(|change| !change.is_null()).map(items).transpose()?;
    let merged = match (before, change) {
        (None, None) => return Ok(()),
        (before, change) => list::merge_in_order(before, change, order, strategy, of)?,
    };
    original.insert(name.to_owned(), Value::Array(merged));
    Ok(())
}

fn items(value: &Value) -> Result<&Vec<Value>, PatchError> {
    value.as_array().ok_or_else(|| list::other_type("[]interface {}", value))
}

/// `$deleteFromPrimitiveList/<name>`: takes these scalars out.
fn delete_values(original: &mut Object, name: &str, values: &Value) -> Result<(), PatchError> {
    if let (Some(Value::Array(items)), Value::Array(values)) = (original.get_mut(name), values) {
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
