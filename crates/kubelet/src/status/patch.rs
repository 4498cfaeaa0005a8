//! The strategic merge patch that leads from one status to another: only what differs.

use api_types::{codec::ToJson, core::PodStatus};
use serde_json::{Map, Value, json};

use super::conditions;

/// Fields that the kubelet owns and may take away again.
const OWNED: [&str; 10] = [
    "phase",
    "reason",
    "message",
    "hostIP",
    "podIP",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "observedGeneration",
];
/// Lists that the server merges, with the key by which it does.
const MERGED: [(&str, &str); 3] = [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip")];

/// The patch of `status`, or `None` when there is nothing to tell. Conditions that are not the kubelet's stay.
pub(super) fn diff(from: &PodStatus, to: &PodStatus) -> Option<Value> {
    let (from, to) = (object(from), object(to));
    let mut patch = Map::new();
    for (key, value) in &to {
        let merged = MERGED.iter().any(|(list, _)| list == key);
        if !merged && from.get(key) != Some(value) {
            patch.insert(key.clone(), value.clone());
        }
    }
    for key in OWNED {
        if from.contains_key(key) && !to.contains_key(key) {
            patch.insert(key.to_owned(), Value::Null);
        }
    }
    for (list, key) in MERGED {
        let items = merged_list(list_of(&from, list), list_of(&to, list), key);
        if !items.is_empty() {
            patch.insert(list.to_owned(), Value::Array(items));
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match status.to_tree() {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn list_of<'a>(status: &'a Map<String, Value>, list: &str) -> &'a [Value] {
    status.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn merged_list(from: &[Value], to: &[Value], key: &str) -> Vec<Value> {
    let same = |a: &Value, b: &Value| a.get(key) == b.get(key);
    let changed = to.iter().filter(|item| !from.contains(item)).map(|item| {
        let old = from.iter().find(|old| same(old, item));
        with_removals(old, item)
    });
    let mut items: Vec<Value> = changed.collect();
    let owned = |old: &Value| key == "ip" || old.get(key).and_then(Value::as_str).is_some_and(comes_and_goes);
    if from.iter().any(owned) {
        let gone = from.iter().filter(|old| owned(old) && !to.iter().any(|item| same(old, item)));
        items.extend(gone.map(|old| json!({"$patch": "delete", key: old.get(key)})));
    }
    items
}

/// Conditions that only the kubelet writes, and takes away again.
fn comes_and_goes(condition: &str) -> bool {
    matches!(condition, conditions::RESIZE_PENDING | conditions::RESIZE_IN_PROGRESS)
}

/// The new item, with null for every field that the old one has and the new one has not.
fn with_removals(old: Option<&Value>, new: &Value) -> Value {
    let mut item = new.clone();
    if let (Some(Value::Object(old)), Value::Object(new)) = (old, &mut item) {
        for key in old.keys() {
            new.entry(key.clone()).or_insert(Value::Null);
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_patch_holds_only_what_differs() {
        let base = json!({"phase": "Pending", "message": "m", "qosClass": "BestEffort",
            "conditions": [{"type": "Ready", "status": "False", "reason": "R"}, {"type": "Other", "status": "True"}]});
        let cases = [
            (base.clone(), base.clone(), None),
            (
                base.clone(),
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
                Some(json!({"phase": "Running", "message": null,
                    "conditions": [{"type": "Ready", "status": "True", "reason": null}]})),
            ),
            (
                json!({"conditions": [{"type": "PodResizePending", "status": "True"}, {"type": "Other", "status": "True"}]}),
                json!({}),
                Some(json!({"conditions": [{"$patch": "delete", "type": "PodResizePending"}]})),
            ),
            (
                json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
                json!({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]}),
                Some(json!({"podIP": "10.0.0.2",
                    "podIPs": [{"ip": "10.0.0.2"}, {"$patch": "delete", "ip": "10.0.0.1"}]})),
            ),
        ];
        for (from, to, expected) in cases {
            assert_eq!(diff(&status(from.clone()), &status(to.clone())), expected, "{from} -> {to}");
        }
    }
}
