//! Strategic merge patch of lists: by merge key, of scalars, and the order of the result.

use api_types::schema::{ListPatch, Type};
use serde_json::Value;

use super::{
    PatchError,
    strategic::{DIRECTIVE, fresh, unknown_directive},
};
use crate::json::go_value::{Printed, type_of};

/// What a list becomes. Elements of the patch stand in its order, those that only the server has before the one that they
/// preceded; those that are new to the list are first.
pub(super) fn merge(
    original: Vec<Value>,
    patch: &[Value],
    strategy: ListPatch,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    if strategy == ListPatch::Replace {
        return Ok(patch.to_vec());
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    check_size(original.len(), patch.len())?;
    let of_maps = element_type(original.iter().chain(patch))? == MAP;
    match strategy {
        ListPatch::MergeBy(key) => {
            if !of_maps {
                let other = original.iter().chain(patch).next().unwrap_or(&Value::Null);
                return Err(other_type(MAP, other));
            }
            let Split { original, patch } = split(original, patch, key)?;
            let merged = merge_by(original.clone(), &patch, key, schema)?;
            arrange(merged, &patch, &original, strategy)
        }
        _ if of_maps => Err(PatchError::Unfit("cannot merge lists without merge key for ".to_owned())),
        _ => {
            let merged = distinct(original.iter().chain(patch));
            arrange(merged, patch, &original, strategy)
        }
    }
}

/// The same, in the order that `$setElementOrder` gives.
pub(super) fn merge_in_order(
    original: Option<&Vec<Value>>,
    patch: Option<&Vec<Value>>,
    order: &[Value],
    strategy: ListPatch,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    let (before, change) = (original.map_or(&[][..], Vec::as_slice), patch.map_or(&[][..], Vec::as_slice));
    check_size(before.len(), change.len().saturating_add(order.len()))?;
    check_order(change, order, strategy)?;
    let merged = match (original, patch) {
        (Some(original), Some(patch)) => merge(original.clone(), patch, strategy, schema)?,
        (Some(original), None) => original.clone(),
        (None, _) => change.iter().filter_map(fresh).collect(),
    };
    element_type(before.iter().chain(change))?;
    arrange(merged, order, before, strategy)
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

const MAP: &str = "map[string]interface {}";

/// What all elements are.
fn element_type<'a>(elements: impl Iterator<Item = &'a Value> + Clone) -> Result<&'static str, PatchError> {
    let mut types = elements.clone().map(type_of);
    let first = types.next().ok_or_else(|| PatchError::Unfit("no elements in any of the given slices".to_owned()))?;
    if first == "[]interface {}" {
        return Err(PatchError::ListOfLists);
    }
    if types.all(|other| other == first) {
        return Ok(first);
    }
    let all: Value = elements.cloned().collect();
    Err(PatchError::Unfit(format!("list element types are not identical: {}", Printed(&all))))
}

/// A list and what is to be merged into it, after what the patch says of the list itself.
struct Split {
    original: Vec<Value>,
    patch: Vec<Value>,
}

fn split(mut original: Vec<Value>, patch: &[Value], key: &'static str) -> Result<Split, PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replaces = false;
    for item in patch {
        match directive(item) {
            None => rest.push(item.clone()),
            Some("delete") => {
                let value = merge_key(item, key)?;
                original.retain(|known| known.get(key) != Some(value));
            }
            Some("replace") => replaces = true,
            Some("merge") => {
                return Err(PatchError::Unfit("merging lists cannot yet be specified in the patch".to_owned()));
            }
            Some(_) => return Err(item.as_object().map_or_else(|| no_merge_key(item, key), unknown_directive)),
        }
    }
    Ok(if replaces { Split { original: rest, patch: Vec::new() } } else { Split { original, patch: rest } })
}

fn merge_by(
    mut list: Vec<Value>,
    patch: &[Value],
    key: &'static str,
    schema: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    for item in patch {
        let value = merge_key(item, key)?;
        match list.iter().position(|known| known.get(key) == Some(value)) {
            Some(position) => merge_element(&mut list[position], item, schema)?,
            None => list.extend(fresh(item)),
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

fn distinct<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut list: Vec<Value> = Vec::new();
    for item in items {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
    list
}

/// Elements that `order` names go in its order, the others in the server's. Where the next of both stood in the server's
/// list, that order decides; else the one that `order` names is first.
fn arrange(
    merged: Vec<Value>,
    order: &[Value],
    server_order: &[Value],
    strategy: ListPatch,
) -> Result<Vec<Value>, PatchError> {
    if let ListPatch::MergeBy(key) = strategy
        && let Some(item) = merged.iter().chain(order).chain(server_order).find(|item| item.get(key).is_none())
    {
        return Err(no_merge_key(item, key));
    }
    let index = |list: &[Value], item: &Value| list.iter().position(|known| same(known, item, strategy));
    let (mut named, mut server_only): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| index(order, item).is_some());
    named.sort_by_cached_key(|item| index(order, item));
    server_only.sort_by_cached_key(|item| index(server_order, item));
    let mut all = Vec::with_capacity(named.len() + server_only.len());
    let mut server_only = server_only.into_iter().map(|item| (index(server_order, &item), item)).peekable();
    for item in named {
        let place = index(server_order, &item);
        while let Some((_, left)) =
            server_only.next_if(|(left, _)| left.zip(place).is_some_and(|(left, place)| left < place))
        {
            all.push(left);
        }
        all.push(item);
    }
    all.extend(server_only.map(|(_, item)| item));
    Ok(all)
}

/// Refuses a patch whose elements stand otherwise than its own `$setElementOrder` says.
fn check_order(patch: &[Value], order: &[Value], strategy: ListPatch) -> Result<(), PatchError> {
    if order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    let mut named = patch.iter().filter(|item| directive(item).is_none());
    if named.all(|item| rest.any(|known| same(known, item, strategy))) {
        return Ok(());
    }
    let (patch, order) = (Value::from(patch.to_vec()), Value::from(order.to_vec()));
    Err(PatchError::Unfit(format!(
        "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
        Printed(&patch),
        Printed(&order)
    )))
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

/// What an element of a patch is known by: one value, not a tree, which would have to be compared with those of all others.
fn merge_key<'a>(item: &'a Value, key: &str) -> Result<&'a Value, PatchError> {
    let value = item.get(key).filter(|value| !value.is_object() && !value.is_array());
    value.ok_or_else(|| no_merge_key(item, key))
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::Unfit(format!("map: {} does not contain declared merge key: {key}", Printed(item)))
}

/// `expected a map[string]interface {}, but received a string`.
pub(super) fn other_type(expected: &str, value: &Value) -> PatchError {
    PatchError::Unfit(format!("expected a {expected}, but received a {}", type_of(value)))
}
