//! Merging an applied configuration into an object, and taking out what nobody owns any more.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use serde_json::{Map, Value};

use super::{
    compare::in_order,
    set::FieldSet,
    shape::{Shape, View},
};

/// What `live` becomes when `config` is applied over it; nothing is removed.
#[must_use]
pub fn merge(live: Option<Value>, config: &Value, shape: Shape<'_>) -> Value {
    let Some(live) = live else { return config.clone() };
    match (shape.view(&live), shape.view(config)) {
        (View::Fields(_), View::Fields(config)) => merge_fields(live, config, shape),
        (View::Elements(_), View::Elements(_)) => merge_elements(live, config, shape),
        // An empty list or object in the configuration takes nothing away.
        (View::Fields(_) | View::Elements(_), View::Empty) => live,
        _ => config.clone(),
    }
}

fn merge_fields(live: Value, config: Vec<(Cow<'_, str>, &Value)>, shape: Shape<'_>) -> Value {
    let mut merged = match live {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in config {
        let value = merge(merged.remove(&*name), value, shape.field(&name).0);
        merged.insert(name.into_owned(), value);
    }
    Value::Object(merged)
}

/// Elements of the configuration stand in its order; those of the live object alone stay before the
/// element that they preceded.
fn merge_elements(live: Value, config: &Value, shape: Shape<'_>) -> Value {
    let path = |item: &Value| shape.element_path(item).unwrap_or_default();
    let (live, config) = match (live, config) {
        (Value::Array(live), Value::Array(config)) => (live, config),
        (_, config) => return config.clone(),
    };
    let configured: BTreeSet<String> = config.iter().map(path).collect();
    let order: VecDeque<String> = live.iter().map(path).collect();
    let mut known: BTreeMap<String, Value> = order.iter().cloned().zip(live).collect();
    let shared: BTreeSet<String> = order.iter().filter(|path| configured.contains(*path)).cloned().collect();
    let mut order = order.into_iter().peekable();
    let mut merged = Vec::new();
    for item in config {
        let wanted = path(item);
        if shared.contains(&wanted) {
            while let Some(next) = order.next_if(|next| *next != wanted) {
                merged.extend(if shared.contains(&next) { None } else { known.remove(&next) });
            }
            order.next();
        } else {
            while let Some(next) = order.next_if(|next| !shared.contains(next)) {
                merged.extend(known.remove(&next));
            }
        }
        merged.push(merge(known.remove(&wanted), item, shape.element()));
    }
    merged.extend(order.filter(|path| !shared.contains(path)).filter_map(|path| known.remove(&path)));
    Value::Array(merged)
}

/// The paths that a configuration names: its leaves, empty objects, the members of its maps, and the elements of its lists.
#[must_use]
pub fn paths(value: &Value, shape: Shape<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    match shape.view(value) {
        View::Leaf => set.owned = true,
        View::Empty => {}
        View::Fields(fields) => {
            for (name, value) in in_order(fields) {
                let mut below = paths(value, shape.field(&name).0);
                let nothing = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                below.owned |= nothing || !shape.names(&name);
                set.insert(FieldSet::field(&name), below);
            }
        }
        View::Elements(elements) => {
            for (path, item) in in_order(elements) {
                let mut below = paths(item, shape.element());
                below.owned = true;
                set.insert(path, below);
            }
        }
    }
    set
}

/// `value` without the paths of `set` and all that is below them. A container that this empties becomes
/// null: it is still there for those who own it as a whole.
#[must_use]
pub fn without(value: &Value, set: &FieldSet, shape: Shape<'_>) -> Value {
    let below = |path: &str, value: &Value, shape: Shape<'_>| match set.children.get(path) {
        Some(set) if set.owned => None,
        Some(set) => Some(without(value, set, shape)),
        None => Some(value.clone()),
    };
    match shape.view(value) {
        View::Leaf => value.clone(),
        View::Empty if set.children.is_empty() => value.clone(),
        View::Empty => Value::Null,
        View::Fields(fields) => {
            let left = fields.into_iter().filter_map(|(name, value)| {
                let left = below(&FieldSet::field(&name), value, shape.field(&name).0)?;
                Some((name.into_owned(), left))
            });
            let left: Map<_, _> = left.collect();
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        View::Elements(elements) => {
            let left = elements.into_iter().filter_map(|(path, item)| below(&path, item, shape.element()));
            let left: Vec<_> = left.collect();
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
    }
}
