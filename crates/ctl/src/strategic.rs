//! Strategic merge patches: made from an object before and after a change, and applied to objects that are here. Which lists
//! are merged, and by which key, the schema tells; of kinds without one every list is replaced, as in a JSON merge patch.

use api_types::schema::{self, Field, Label, ListPatch, Type};
use serde_json::{Map, Value, json};

/// A patch, and how to send it.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Its body.
    pub body: Value,
    /// Whether the kind has a schema: without one it is a merge patch.
    pub strategic: bool,
}

/// The schema of an object's kind.
#[must_use]
pub fn schema_of(object: &Value) -> Option<&'static Type> {
    let api_version = object["apiVersion"].as_str()?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::find(group, version, object["kind"].as_str()?)
}

/// What changes one object into another; nothing when they are equal.
#[must_use]
pub fn difference(before: &Value, after: &Value) -> Option<Patch> {
    let of = schema_of(after);
    let body = Value::Object(diff_objects(before.as_object()?, after.as_object()?, of));
    (body != json!({})).then_some(Patch { body, strategic: of.is_some() })
}

fn diff_objects(before: &Map<String, Value>, after: &Map<String, Value>, of: Option<&Type>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, value) in after {
        let field = of.and_then(|of| of.member(name));
        match before.get(name) {
            Some(known) if known == value => {}
            Some(known) => diff_member(&mut patch, name, known, value, field),
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    patch
}

fn diff_member(patch: &mut Map<String, Value>, name: &str, before: &Value, after: &Value, field: Option<&Field>) {
    let replaced = field.is_some_and(|field| field.patch.replace);
    match (before, after) {
        (Value::Object(before), Value::Object(after)) if !replaced => {
            let of = field.and_then(inner);
            patch.insert(name.to_owned(), diff_objects(before, after, of).into());
        }
        (Value::Array(before), Value::Array(after)) => diff_lists(patch, name, before, after, field),
        (_, after) => {
            patch.insert(name.to_owned(), after.clone());
        }
    }
}

/// What the members of a field's object are: those of its type, or the values of a map.
fn inner(field: &Field) -> Option<&Type> {
    if field.label == Label::Map { None } else { field.of() }
}

fn diff_lists(patch: &mut Map<String, Value>, name: &str, before: &[Value], after: &[Value], field: Option<&Field>) {
    match field.map(|field| (field, field.patch.list)) {
        Some((field, ListPatch::MergeBy(key))) if keyed(before, key) && keyed(after, key) => {
            let changes = diff_keyed(before, after, key, field.message());
            let order: Vec<Value> = after.iter().map(|item| json!({key: item[key]})).collect();
            patch.insert(format!("$setElementOrder/{name}"), order.into());
            if !changes.is_empty() {
                patch.insert(name.to_owned(), changes.into());
            }
        }
        Some((_, ListPatch::MergeValues)) => {
            let missing = |from: &[Value], of: &[Value]| -> Vec<Value> {
                of.iter().filter(|item| !from.contains(item)).cloned().collect()
            };
            let (added, gone) = (missing(before, after), missing(after, before));
            if !gone.is_empty() {
                patch.insert(format!("$deleteFromPrimitiveList/{name}"), gone.into());
            }
            patch.insert(format!("$setElementOrder/{name}"), after.to_vec().into());
            if !added.is_empty() {
                patch.insert(name.to_owned(), added.into());
            }
        }
        _ => {
            patch.insert(name.to_owned(), after.to_vec().into());
        }
    }
}

/// Whether every item has the key.
fn keyed(items: &[Value], key: &str) -> bool {
    items.iter().all(|item| item.get(key).is_some())
}

fn diff_keyed(before: &[Value], after: &[Value], key: &str, of: Option<&Type>) -> Vec<Value> {
    let mut changes = Vec::new();
    for item in after {
        let known = before.iter().find(|known| known[key] == item[key]);
        match (known, known.and_then(Value::as_object), item.as_object()) {
            (Some(known), ..) if known == item => {}
            (Some(_), Some(known), Some(item)) => {
                let mut change = diff_objects(known, item, of);
                change.insert(key.to_owned(), item[key].clone());
                changes.push(change.into());
            }
            _ => changes.push(item.clone()),
        }
    }
    for gone in before.iter().filter(|known| !after.iter().any(|item| item[key] == known[key])) {
        changes.push(json!({"$patch": "delete", key: gone[key]}));
    }
    changes
}

/// An object with a patch applied to it; `strategic` as its schema says, otherwise as a JSON merge patch.
pub fn apply(object: &mut Value, patch: &Value) {
    let of = schema_of(object);
    merge(object, patch, of);
}

fn merge(target: &mut Value, patch: &Value, of: Option<&Type>) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch") == Some(&json!("replace")) {
        let kept = patch.iter().filter(|(name, _)| *name != "$patch");
        *target = Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect());
        return;
    }
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        merge_member(members, name, value, of);
    }
}

fn merge_member(members: &mut Map<String, Value>, name: &str, value: &Value, of: Option<&Type>) {
    if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
        if let (Some(Value::Array(items)), Value::Array(gone)) = (members.get_mut(list), value) {
            items.retain(|item| !gone.contains(item));
        }
        return;
    }
    if name.starts_with('$') {
        return;
    }
    let field = of.and_then(|of| of.member(name));
    match (value, field.map(|field| field.patch.list)) {
        (Value::Null, _) => {
            members.remove(name);
        }
        (Value::Array(items), Some(ListPatch::MergeBy(key))) => {
            let list = members.entry(name).or_insert_with(|| json!([]));
            merge_keyed(list, items, key, field.and_then(Field::message));
        }
        (Value::Array(items), Some(ListPatch::MergeValues)) => {
            let list = members.entry(name).or_insert_with(|| json!([]));
            if let Value::Array(known) = list {
                let new: Vec<Value> = items.iter().filter(|item| !known.contains(item)).cloned().collect();
                known.extend(new);
            }
        }
        (value, _) => merge(members.entry(name).or_insert(Value::Null), value, field.and_then(inner)),
    }
}

fn merge_keyed(list: &mut Value, items: &[Value], key: &str, of: Option<&Type>) {
    let Value::Array(known) = list else { return };
    if items.iter().any(|item| item.get("$patch") == Some(&json!("replace"))) {
        known.clear();
    }
    for item in items {
        let at = known.iter().position(|known| known[key] == item[key]);
        match (item["$patch"].as_str(), at) {
            (Some("replace"), _) | (Some("delete"), None) => {}
            (Some("delete"), Some(at)) => {
                known.remove(at);
            }
            (_, Some(at)) => merge(&mut known[at], item, of),
            (_, None) => known.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(containers: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": containers}})
    }

    #[test]
    fn what_a_patch_makes_of_the_before_is_the_after() {
        let cases = [
            (pod(json!([{"name": "a", "image": "x"}, {"name": "b"}])), pod(json!([{"name": "a", "image": "y"}]))),
            (pod(json!([{"name": "a", "image": "x"}])), pod(json!([{"name": "a"}, {"name": "c"}]))),
        ];
        for (before, after) in cases {
            let patch = difference(&before, &after).unwrap();
            let mut patched = before.clone();
            apply(&mut patched, &patch.body);
            assert_eq!(patched, after, "{}", patch.body);
        }
        assert_eq!(difference(&pod(json!([])), &pod(json!([]))), None);
    }

    #[test]
    fn only_what_changed_is_said() {
        let before = pod(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]));
        let after = pod(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]));
        let patch = difference(&before, &after).unwrap();
        assert_eq!(patch.body["spec"]["containers"], json!([{"name": "b", "image": "y"}]));
        let (before, after) = (
            json!({"kind": "X", "apiVersion": "x/v1", "a": [1], "b": 1}),
            json!({"kind": "X", "apiVersion": "x/v1", "a": [2]}),
        );
        assert_eq!(
            difference(&before, &after).unwrap(),
            Patch { body: json!({"a": [2], "b": null}), strategic: false }
        );
    }
}
