//! Cases are data: `strategic.yaml` holds pods' specs and what patches make of them.

use api_types::schema;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Patch, PatchError, PatchType};

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Kind whose schema applies; `Pod` if absent.
    #[serde(default)]
    kind: Option<String>,
    original: Value,
    patch: Value,
    #[serde(default)]
    expected: Value,
    #[serde(default)]
    error: Option<String>,
}

fn strategic(kind: &str, original: Value, patch: &Value) -> Result<Value, PatchError> {
    let group = if kind == "Deployment" { "apps" } else { "" };
    Patch::strategic_merge(patch.to_string().as_bytes())?.apply(original, schema::of(group, "v1", kind))
}

#[test]
fn strategic_merge_cases() {
    let cases = api_types::yaml::from_str(include_str!("strategic.yaml")).unwrap();
    let cases: Vec<Case> = serde_json::from_value(cases).unwrap();
    for case in cases {
        let result = strategic(case.kind.as_deref().unwrap_or("Pod"), case.original, &case.patch);
        match (result, case.error) {
            (Ok(value), None) => assert_eq!(value, case.expected, "{}", case.name),
            (Err(error), Some(expected)) => assert_eq!(error.to_string(), expected, "{}", case.name),
            (result, expected) => panic!("{}: {result:?}, expected error {expected:?}", case.name),
        }
    }
}

#[test]
fn merge_patch_follows_rfc_7386() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ];
    for (original, patch, expected) in cases {
        let patch = Patch::merge(patch.to_string().as_bytes()).unwrap();
        assert_eq!(patch.apply(original, schema::plain()).unwrap(), expected);
    }
    let error = Patch::merge(b"[1]").unwrap_err().to_string();
    assert_eq!(
        error,
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
    );
}

#[test]
fn json_patch_applies_tests_and_refuses() {
    let object = json!({"spec": {"replicas": 1, "list": ["a"]}});
    let apply = |patch: Value| Patch::json(patch.to_string().as_bytes())?.apply(object.clone(), schema::plain());
    let patched = apply(json!([{"op": "test", "path": "/spec/replicas", "value": 1},
                               {"op": "add", "path": "/spec/list/-", "value": "b"}]));
    assert_eq!(patched.unwrap()["spec"]["list"], json!(["a", "b"]));
    let failed = apply(json!([{"op": "test", "path": "/spec/replicas", "value": 2}]));
    assert!(matches!(failed, Err(PatchError::Test(_))));
    assert!(matches!(apply(json!({"op": "add"})), Err(PatchError::Decode(_))));
}

#[test]
fn json_patch_is_as_lax_as_upstreams() {
    let cases = [
        (json!({"a": 1}), json!([{"op": "replace", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2})),
        (json!({"a": 1}), json!([{"op": "copy", "from": "/x", "path": "/b"}]), json!({"a": 1, "b": null})),
        (json!({"a": 1}), json!([{"op": "add", "path": "/b"}]), json!({"a": 1, "b": null})),
        (json!({"a": 1}), json!([{"op": "test", "path": "/x", "value": null}]), json!({"a": 1})),
        (json!({"a": 1}), json!([{"op": "test", "path": "/x"}]), json!({"a": 1})),
        (json!({"a": null}), json!([{"op": "test", "path": "/a", "value": null}]), json!({"a": null})),
        (json!({"a": [1, 2]}), json!([{"op": "add", "path": "/a/-1", "value": 3}]), json!({"a": [1, 2, 3]})),
        (json!({"a": [1, 2]}), json!([{"op": "remove", "path": "/a/-1"}]), json!({"a": [1]})),
        (json!({"a": [1, 2]}), json!([{"op": "replace", "path": "/a/-2", "value": 3}]), json!({"a": [3, 2]})),
        (json!({"a": 1}), json!([{"op": "add", "path": "x/b", "value": 2}]), json!({"a": 1, "b": 2})),
        (json!({"a/b": {"~": 1}}), json!([{"op": "remove", "path": "/a~1b/~0"}]), json!({"a/b": {}})),
        (json!({"a": 1}), json!([{"op": "replace", "path": "", "value": {"b": 2}}]), json!({"b": 2})),
        (json!({"a": [1, 2, 3]}), json!([{"op": "move", "from": "/a/0", "path": "/a/2"}]), json!({"a": [2, 3, 1]})),
    ];
    for (object, patch, expected) in cases {
        let applied = Patch::json(patch.to_string().as_bytes()).unwrap().apply(object, schema::plain());
        assert_eq!(applied.unwrap(), expected, "{patch}");
    }
    for patch in [
        json!([{"op": "add", "value": 1}]),
        json!([{"op": "copy", "path": "/b"}]),
        json!([{"path": "/b"}]),
        json!([null]),
        json!([{"op": "add", "path": "", "value": {}}]),
        json!([{"op": "add", "path": "b", "value": 1}]),
        json!([{"op": "remove", "path": "/b"}]),
        json!([{"op": "move", "from": "/b", "path": "/c"}]),
        json!([{"op": "add", "path": "/b/c", "value": 1}]),
        json!([{"op": "add", "path": "/a/b", "value": 1}]),
        json!([{"op": "add", "path": "/l/2", "value": 1}]),
        json!([{"op": "add", "path": "/l/-3", "value": 1}]),
        json!([{"op": "replace", "path": "/l/1", "value": 1}]),
        json!([{"op": "test", "path": "/a"}]),
    ] {
        let applied =
            Patch::json(patch.to_string().as_bytes()).unwrap().apply(json!({"a": 1, "l": [0]}), schema::plain());
        assert!(matches!(applied, Err(PatchError::Operation(_) | PatchError::Test(_))), "{patch}: {applied:?}");
    }
    assert!(matches!(Patch::json(b"[1]"), Err(PatchError::NotAnObject(_))));
}

#[test]
fn json_patch_cannot_move_without_end() {
    let list = vec![json!(0); 100_000];
    let patch: Vec<_> = (0..10_000).map(|_| json!({"op": "add", "path": "/a/0", "value": 1})).collect();
    let patch = Patch::json(Value::from(patch).to_string().as_bytes()).unwrap();
    let start = std::time::Instant::now();
    assert!(matches!(patch.apply(json!({"a": list}), schema::plain()), Err(PatchError::TooMuchMoved { .. })));
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn json_patch_cannot_fill_the_memory() {
    let bomb: Vec<_> = (0..64).map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a/x{n}")})).collect();
    let patch = Patch::json(Value::from(bomb).to_string().as_bytes()).unwrap();
    assert!(matches!(patch.apply(json!({"a": {"b": "c"}}), schema::plain()), Err(PatchError::TooLarge { .. })));
}

#[test]
fn json_patch_cannot_build_what_no_stack_can_hold() {
    // Each copy goes to the innermost place of what it copies.
    let doubling = (0..16).map(|n| json!({"op": "copy", "from": "/a", "path": "/a".repeat((1 << n) + 1)}));
    let patch = Patch::json(Value::from_iter(doubling).to_string().as_bytes()).unwrap();
    assert!(matches!(patch.apply(json!({"a": {}}), schema::plain()), Err(PatchError::TooDeep { .. })));
}

#[test]
fn content_types() {
    assert_eq!(PatchType::of("application/merge-patch+json; charset=utf-8"), Some(PatchType::Merge));
    assert_eq!(PatchType::of("application/json"), None);
}

/// Pods' specs with distinct container names, as the API server stores them.
fn pod() -> impl Strategy<Value = Value> {
    let container = ("[a-c]", prop::option::of("[x-z]{1,3}"), prop::collection::vec("[a-z]{1,2}", 0..3));
    let containers = prop::collection::vec(container, 0..4).prop_map(|containers| {
        let mut seen = Vec::new();
        let distinct = containers.into_iter().filter(|(name, _, _)| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        distinct
            .map(|(name, image, args)| match image {
                Some(image) => json!({"name": name, "image": image, "args": args}),
                None => json!({"name": name, "args": args}),
            })
            .collect::<Vec<_>>()
    });
    let labels = prop::collection::btree_map("[a-c]", "[a-z]", 0..3);
    let finalizers = prop::collection::btree_set("[a-d]", 0..3);
    (containers, labels, finalizers).prop_map(|(containers, labels, finalizers)| {
        json!({"metadata": {"labels": labels, "finalizers": finalizers}, "spec": {"containers": containers}})
    })
}

/// Operations that put things into one another.
fn nesting() -> impl Strategy<Value = Value> {
    let place = || "(/[ab]){0,70}";
    let operation = prop_oneof![
        (place(), 0..100_usize).prop_map(|(path, depth)| json!({"op": "add", "path": path, "value": nested(depth)})),
        (place(), place()).prop_map(|(from, path)| json!({"op": "copy", "from": from, "path": path})),
        (place(), place()).prop_map(|(from, path)| json!({"op": "move", "from": from, "path": path})),
    ];
    prop::collection::vec(operation, 1..8).prop_map(Value::from)
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({}), |inner, _| json!({"a": inner}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn empty_patches_change_nothing(pod in pod()) {
        for patch in [Patch::StrategicMerge(Map::new()), Patch::Merge(Map::new()), Patch::Json(Vec::new())] {
            prop_assert_eq!(patch.apply(pod.clone(), schema::of("", "v1", "Pod")).unwrap(), pod.clone());
        }
    }

    #[test]
    fn an_object_as_its_own_patch_changes_nothing(pod in pod()) {
        prop_assert_eq!(strategic("Pod", pod.clone(), &pod).unwrap(), pod);
    }

    #[test]
    fn applying_twice_is_applying_once(pod in pod(), patch in pod()) {
        let once = strategic("Pod", pod, &patch).unwrap();
        prop_assert_eq!(strategic("Pod", once.clone(), &patch).unwrap(), once);
    }

    #[test]
    fn what_json_patch_builds_can_be_read_again(depth in 0..100_usize, operations in nesting()) {
        let patch = Patch::json(operations.to_string().as_bytes()).unwrap();
        if let Ok(built) = patch.apply(nested(depth), schema::plain()) {
            prop_assert!(serde_json::from_str::<Value>(&built.to_string()).is_ok());
        }
    }
}
