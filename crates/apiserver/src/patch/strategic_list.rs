//! Strategic merge patch of lists: by merge key, of scalars, and the order of the result.

use api_types::schema::{ListPatch, Type};
use serde_json::{Map, Value};

use super::{PatchError, strategic::DIRECTIVE};

/// What a list becomes; elements that only the server has stay where they are, new ones follow.
pub(super) fn merge(
    original: Vec<Value>,
    patch: &[Value],
    strategy: ListPatch,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    if strategy == ListPatch::Replace {
        return patch.iter().filter(|item| !item.is_null()).map(|item| fresh(item, schema)).collect();
    }
    let server_order = original.clone();
    let merged = merge_unordered(original, patch, strategy, schema)?;
    Ok(arrange(merged, patch, &server_order, strategy))
}

/// The same, in the order that `$setElementOrder` gives.
pub(super) fn merge_in_order(
    original: Vec<Value>,
    patch: &[Value],
    order: &[Value],
    strategy: ListPatch,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    check_size(original.len(), patch.len().saturating_add(order.len()))?;
    check_order(patch, order, strategy)?;
    let server_order = original.clone();
    let merged = merge_unordered(original, patch, strategy, schema)?;
    Ok(arrange(merged, order, &server_order, strategy))
}

/// Elements are found by looking through the lists. So many pairs may have to be looked at, far more than any object's lists
/// need, and far less than would hold up others.
const MOST_PAIRS: usize = 4_000_000;

/// Sees that a patch of so many elements does not take too long.
pub(super) fn check_size(original: usize, patch: usize) -> Result<(), PatchError> {
    if patch.saturating_mul(original.saturating_add(patch)) > MOST_PAIRS {
        return Err(PatchError::TooMany { limit: MOST_PAIRS });
    }
    Ok(())
}

fn merge_unordered(
    original: Vec<Value>,
    patch: &[Value],
    strategy: ListPatch,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    if strategy != ListPatch::Replace {
        check_size(original.len(), patch.len())?;
    }
    match strategy {
        ListPatch::Replace if patch.is_empty() => Ok(original),
        ListPatch::Replace => patch.iter().map(|item| fresh(item, schema)).collect(),
        ListPatch::MergeValues => Ok(merge_values(original, patch)),
        ListPatch::MergeBy(key) => merge_by(original, patch, key, schema),
    }
}

fn merge_values(mut list: Vec<Value>, patch: &[Value]) -> Vec<Value> {
    for item in patch {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
    list
}

fn merge_by(
    mut list: Vec<Value>,
    patch: &[Value],
    key: &'static str,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    if patch.iter().any(|item| directive(item) == Some("replace")) {
        list.clear();
    }
    for item in patch {
        let value = key_of(item, key);
        let position = |list: &[Value]| list.iter().position(|known| value.is_some() && known.get(key) == value);
        match directive(item) {
            Some("replace") => {}
            Some("delete") => {
                let value = value.ok_or_else(|| missing(item, key))?;
                list.retain(|known| known.get(key) != Some(value));
            }
            Some("merge") => return Err(PatchError::MergeDirectiveInList),
            Some(_) => {
                return Err(PatchError::UnknownDirective { directive: item[DIRECTIVE].clone(), map: item.clone() });
            }
            None => match (position(&list), value) {
                (_, None) => return Err(missing(item, key)),
                (Some(position), _) => merge_element(&mut list[position], item, schema)?,
                (None, _) => list.push(fresh(item, schema)?),
            },
        }
    }
    Ok(list)
}

fn merge_element(target: &mut Value, change: &Value, schema: Option<&Type>) -> Result<(), PatchError> {
    if let (Value::Object(original), Value::Object(change)) = (&mut *target, change) {
        *target = Value::Object(super::strategic::merge(std::mem::take(original), change, schema)?);
    }
    Ok(())
}

/// An element that is new to the list: without directives and nulls.
fn fresh(item: &Value, schema: Option<&Type>) -> Result<Value, PatchError> {
    match item {
        Value::Object(fields) => super::strategic::merge(Map::new(), fields, schema).map(Value::Object),
        scalar => Ok(scalar.clone()),
    }
}

/// Elements that `order` names go in its order; the others keep the server's, before those that the
/// server had later and before new ones.
fn arrange(merged: Vec<Value>, order: &[Value], server_order: &[Value], strategy: ListPatch) -> Vec<Value> {
    let index = |list: &[Value], item: &Value| list.iter().position(|known| same(known, item, strategy));
    let (mut ordered, mut server_only): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| index(order, item).is_some());
    ordered.sort_by_cached_key(|item| index(order, item));
    server_only.sort_by_cached_key(|item| index(server_order, item));
    let mut all = Vec::with_capacity(ordered.len() + server_only.len());
    let mut server_only = server_only.into_iter().peekable();
    for item in ordered {
        let place = index(server_order, &item);
        while let Some(left) =
            server_only.next_if(|left| place.is_none_or(|place| index(server_order, left) <= Some(place)))
        {
            all.push(left);
        }
        all.push(item);
    }
    all.extend(server_only);
    all
}

/// Refuses a patch whose elements stand otherwise than its own `$setElementOrder` says.
fn check_order(patch: &[Value], order: &[Value], strategy: ListPatch) -> Result<(), PatchError> {
    let named: Vec<_> = patch.iter().filter(|item| directive(item).is_none()).collect();
    let mut rest = order.iter();
    if named.iter().all(|item| rest.any(|known| same(known, item, strategy))) {
        return Ok(());
    }
    Err(PatchError::OrderMismatch { patch: Value::from(patch.to_vec()), order: Value::from(order.to_vec()) })
}

fn same(a: &Value, b: &Value, strategy: ListPatch) -> bool {
    match strategy {
        ListPatch::MergeBy(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        _ => a == b,
    }
}

fn directive(item: &Value) -> Option<&str> {
    Some(item.get(DIRECTIVE)?.as_str().unwrap_or_default())
}

fn key_of<'a>(item: &'a Value, key: &str) -> Option<&'a Value> {
    item.get(key).filter(|value| !value.is_null())
}

fn missing(item: &Value, key: &'static str) -> PatchError {
    PatchError::NoMergeKey { map: item.clone(), key }
}
