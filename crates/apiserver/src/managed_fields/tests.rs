//! Scenarios over real kinds: who owns what after which writes.

use std::sync::{Arc, LazyLock};

use api_types::{Resource, jiff::Timestamp, meta::ManagedFieldsEntry};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{After, ApplyError, Force, Live, ManagedFields, Writer, apply, on_update, put_together};
use crate::{
    registry::{FieldValidation, decode},
    resources::rows,
};

fn row(kind: &str) -> &'static Resource {
    static ROWS: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(rows);
    ROWS.iter().find(|row| row.kind == kind).unwrap()
}

fn writer<'a>(kind: &str, manager: &'a str, subresource: &'a str, second: i64) -> Writer<'a> {
    Writer { resource: row(kind), manager, subresource, now: Timestamp::from_second(1_700_000_000 + second).unwrap() }
}

/// An object as it would be stored, and the managed fields that were sent with it.
fn object(kind: &str, fields: &Value) -> (Bytes, Option<Vec<ManagedFieldsEntry>>) {
    let sent = decode::tree(fields).unwrap();
    let mut object = decode::decode(row(kind), &sent, FieldValidation::Ignore).unwrap().object;
    let sent = object.meta_mut().managed_fields.take();
    (object.encode().into(), sent)
}

fn deployment(replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

/// A deployment after a sequence of writes.
struct World {
    live: Option<(Bytes, ManagedFields)>,
    clock: i64,
}

impl World {
    fn new() -> Self {
        Self { live: None, clock: 0 }
    }

    fn live(&self) -> Option<Live<'_>> {
        self.live.as_ref().map(|(json, managed)| Live { json, managed })
    }

    fn update(&mut self, manager: &str, subresource: &str, fields: Value) {
        self.clock += 1;
        let (new, sent) = object("Deployment", &fields);
        let after = After { wanted: &new, stored: &new };
        let managed = on_update(self.live(), after, sent, &writer("Deployment", manager, subresource, self.clock));
        self.live = Some((new, managed));
    }

    fn apply(&mut self, manager: &str, config: &Value, force: Force) -> Result<(), ApplyError> {
        self.clock += 1;
        let writer = writer("Deployment", manager, "", self.clock);
        let applied = apply(self.live(), &config.clone().into(), &writer, force)?;
        self.live = Some((object("Deployment", &applied.object).0, applied.managed));
        Ok(())
    }

    fn value(&self) -> Value {
        let (json, managed) = self.live.as_ref().unwrap();
        serde_json::from_slice(&put_together(json, managed).unwrap()).unwrap()
    }

    fn fields(&self, manager: &str) -> Value {
        let value = self.value();
        let entries = value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries
            .into_iter()
            .find(|entry| entry["manager"] == manager)
            .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
    }
}

fn minimal(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": spec})
}

#[test]
fn who_creates_owns_what_upstream_says() {
    let mut world = World::new();
    world.update("kubectl-create", "", deployment(1, "web:1"));
    let metadata = json!({"f:labels": {".": {}, "f:app": {}}});
    let container = json!({
        ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
        "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
    });
    assert_eq!(
        world.fields("kubectl-create"),
        json!({
            "f:metadata": metadata,
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                "f:template": {"f:metadata": metadata, "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": container}}},
            },
        })
    );
}

#[test]
fn who_changes_takes_over() {
    let mut world = World::new();
    world.update("creator", "", deployment(1, "web:1"));
    world.update("scaler", "", {
        let mut changed = world.value();
        changed["spec"]["replicas"] = 3.into();
        changed["metadata"]["labels"] = json!({"tier": "front"});
        changed
    });
    assert_eq!(
        world.fields("scaler"),
        json!({"f:metadata": {"f:labels": {"f:tier": {}}}, "f:spec": {"f:replicas": {}}})
    );
    assert_eq!(world.fields("creator").pointer("/f:spec/f:replicas"), None);
    assert_eq!(world.fields("creator")["f:metadata"], json!({"f:labels": {}}));
}

#[test]
fn nothing_changed_means_the_same_entries() {
    let mut world = World::new();
    world.update("creator", "", deployment(1, "web:1"));
    let before = world.value();
    world.update("other", "", before.clone());
    assert_eq!(world.value(), before);
}

#[test]
fn the_status_endpoint_owns_status_only() {
    let mut world = World::new();
    world.update("creator", "", deployment(1, "web:1"));
    let mut with_status = world.value();
    with_status["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    world.update("controller", "status", with_status);
    assert_eq!(
        world.fields("controller"),
        json!({"f:status": {
            "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {
                ".": {}, "f:lastTransitionTime": {}, "f:lastUpdateTime": {}, "f:status": {}, "f:type": {},
            }},
            "f:replicas": {},
        }})
    );
}

#[test]
fn clients_may_reset_or_replace_managed_fields() {
    let mut world = World::new();
    world.update("creator", "", deployment(1, "web:1"));
    let mut reset = world.value();
    reset["metadata"]["managedFields"] = json!([{}]);
    world.update("other", "", reset);
    assert_eq!(world.live().unwrap().managed.text(), b"");
    let entry = json!({"manager": "m", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                       "fieldsV1": {"f:spec": {"f:replicas": {}}}});
    let mut given = world.value();
    given["metadata"]["managedFields"] = json!([entry]);
    world.update("other", "", given);
    assert_eq!(world.fields("m"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn conflicts_are_told_as_upstream_tells_them() {
    let mut world = World::new();
    world.update("kubectl-client-side-apply", "", deployment(1, "web:1"));
    let one = world.apply("x", &minimal(&json!({"replicas": 2})), Force::No).unwrap_err();
    assert_eq!(
        one.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    let two =
        minimal(&json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}));
    assert_eq!(
        world.apply("x", &two, Force::No).unwrap_err().to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using apps/v1:\n- .spec.replicas\n\
         - .spec.template.spec.containers[name=\"web\"].image"
    );
    world.apply("x", &two, Force::Yes).unwrap();
    assert_eq!(world.value()["spec"]["replicas"], 2);
    assert_eq!(world.fields("kubectl-client-side-apply").pointer("/f:spec/f:replicas"), None);
    assert_eq!(world.fields("x").pointer("/f:spec/f:replicas"), Some(&json!({})));
}

#[test]
fn the_same_value_is_shared_not_contested() {
    let mut world = World::new();
    world.update("creator", "", deployment(1, "web:1"));
    world.apply("x", &minimal(&json!({"replicas": 1})), Force::No).unwrap();
    assert!(world.fields("creator").pointer("/f:spec/f:replicas").is_some());
    assert_eq!(world.fields("x"), json!({"f:spec": {"f:replicas": {}}}));
    // Nobody loses the field when one of its owners lets go of it.
    world.apply("x", &minimal(&json!({"paused": false})), Force::No).unwrap();
    assert_eq!(world.value()["spec"]["replicas"], 1);
}

#[test]
fn what_is_no_longer_applied_goes() {
    let mut world = World::new();
    let mut config = deployment(2, "web:1");
    config["metadata"]["annotations"] = json!({"a": "1", "b": "2"});
    config["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    config["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "web", "image": "web:1"}, {"name": "side", "image": "s"}]);
    world.apply("x", &config, Force::No).unwrap();
    config["metadata"]["annotations"] = json!({"b": "2"});
    config["metadata"]["finalizers"] = json!(["example.com/b"]);
    config["spec"]["template"]["spec"]["containers"] = json!([{"name": "web", "image": "web:1"}]);
    config["spec"].as_object_mut().unwrap().remove("replicas");
    world.apply("x", &config, Force::No).unwrap();
    let live = world.value();
    assert_eq!(live["metadata"]["annotations"], json!({"b": "2"}));
    assert_eq!(live["metadata"]["finalizers"], json!(["example.com/b"]));
    assert_eq!(live["spec"].get("replicas"), None);
    assert_eq!(live["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    config["metadata"].as_object_mut().unwrap().remove("annotations");
    world.apply("x", &config, Force::No).unwrap();
    assert_eq!(world.value()["metadata"].get("annotations"), None);
}

#[test]
fn what_another_added_stays_and_lists_keep_their_order() {
    let mut world = World::new();
    let containers = |names: &[&str]| {
        let containers: Vec<_> = names.iter().map(|name| json!({"name": name, "image": name})).collect();
        let mut config = deployment(1, "web:1");
        config["spec"]["template"]["spec"]["containers"] = containers.into();
        config
    };
    let names = |world: &World| -> Vec<String> {
        let live = world.value();
        let list = live["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        list.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    };
    world.apply("x", &containers(&["a", "b"]), Force::No).unwrap();
    world.update("injector", "", {
        let mut live = world.value();
        let list = live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
        list.insert(1, json!({"name": "proxy", "image": "proxy"}));
        live
    });
    world.apply("x", &containers(&["a", "b", "c"]), Force::No).unwrap();
    assert_eq!(names(&world), ["a", "proxy", "b", "c"]);
    world.apply("x", &containers(&["c", "a"]), Force::No).unwrap();
    assert_eq!(names(&world), ["proxy", "c", "a"]);
}

#[test]
fn an_object_without_managed_fields_had_an_owner_before() {
    let mut world = World::new();
    world.live = Some((object("Deployment", &deployment(1, "web:1")).0, ManagedFields::default()));
    let error = world.apply("x", &minimal(&json!({"replicas": 2})), Force::No).unwrap_err();
    assert!(
        error.to_string().contains("conflict with \"before-first-apply\" using apps/v1: .spec.replicas"),
        "{error}"
    );
}

#[test]
fn applied_managed_fields_are_refused() {
    let mut config = deployment(1, "web:1");
    config["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(World::new().apply("x", &config, Force::Yes), Err(ApplyError::ManagedFieldsGiven));
}

/// What is wrong with a configuration.
fn refusal(config: &Value) -> String {
    World::new().apply("x", config, Force::Yes).unwrap_err().to_string()
}

#[test]
fn configurations_must_fit_the_schema() {
    let of = |spec: Value| minimal(&spec);
    let template = |spec: Value| of(json!({"template": {"spec": spec}}));
    let cases = [
        (of(json!({"foo": 1})), ".spec.foo: field not declared in schema"),
        (of(json!({"replicas": "1"})), ".spec.replicas: expected numeric (int or float), got string"),
        (of(json!({"paused": "x"})), ".spec.paused: expected boolean, got &{x}"),
        (of(json!([])), ".spec: expected map, got &{[]}"),
        (template(json!({"containers": {"a": "b"}})), ".spec.template.spec.containers: expected list, got &{map[a:b]}"),
        (
            template(json!({"containers": [{"name": "a", "image": 1}]})),
            ".spec.template.spec.containers[name=\"a\"].image: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            template(json!({"containers": [{"name": "a"}, {"name": "a"}]})),
            ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            template(json!({"containers": [{"image": "a"}]})),
            ".spec.template.spec.containers: element 0: associative list with keys has an element that omits all key \
             fields [\"name\"] (and doesn't have default values for any key fields)",
        ),
        (
            template(json!({"containers": [null]})),
            ".spec.template.spec.containers: element 0: associative list with keys may not have a null element",
        ),
    ];
    for (config, words) in cases {
        let expected = format!("failed to create typed patch object (default/web; apps/v1, Kind=Deployment): {words}");
        assert_eq!(refusal(&config), expected);
    }
    let mut two = of(json!({"foo": 1}));
    two["metadata"]["finalizers"] = json!(["a", "a"]);
    assert_eq!(
        refusal(&two),
        "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): errors:\n  \
         .metadata.finalizers: duplicate entries for key [=\"a\"]\n  .spec.foo: field not declared in schema"
    );
    assert_eq!(refusal(&json!({"metadata": {}})), "invalid object type: /, Kind=");
    let other = json!({"apiVersion": "v1", "kind": "Pod"});
    assert_eq!(refusal(&other), "invalid object type: /v1, Kind=Pod");
    let mut given = of(json!({}));
    given["metadata"]["managedFields"] = json!([]);
    assert_eq!(refusal(&given), "metadata.managedFields must be nil");
}

#[test]
fn keys_that_are_absent_are_their_default_or_left_out() {
    let mut world = World::new();
    let ports = json!([{"containerPort": 80}, {"name": "x"}]);
    let config = minimal(&json!({"template": {"spec": {"containers": [{"name": "a", "ports": ports}]}}}));
    world.apply("x", &config, Force::No).unwrap();
    let owned = world.fields("x");
    let ports = &owned["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"a\"}"]["f:ports"];
    let keys: Vec<_> = ports.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["k:{\"containerPort\":80,\"protocol\":\"TCP\"}", "k:{\"protocol\":\"TCP\"}"]);
}

#[test]
fn empty_and_null_values_are_owned_by_who_applies_them() {
    let mut world = World::new();
    let mut config = minimal(&json!({"paused": false, "minReadySeconds": 0, "replicas": null}));
    config["metadata"]["labels"] = json!({});
    config["metadata"]["finalizers"] = json!([]);
    config["metadata"]["annotations"] = json!({"a": null});
    world.apply("x", &config, Force::No).unwrap();
    assert_eq!(
        world.fields("x"),
        json!({
            "f:metadata": {"f:annotations": {"f:a": {}}, "f:labels": {}},
            "f:spec": {"f:minReadySeconds": {}, "f:paused": {}, "f:replicas": {}},
        })
    );
}

#[test]
fn who_changes_nothing_by_applying_has_no_time() {
    let mut world = World::new();
    world.update("creator", "", deployment(1, "web:1"));
    let times = |world: &World, manager: &str| {
        let value = world.value();
        let entries = value["metadata"]["managedFields"].as_array().unwrap();
        entries.iter().find(|entry| entry["manager"] == manager).unwrap().get("time").cloned()
    };
    world.apply("x", &minimal(&json!({"replicas": 1})), Force::No).unwrap();
    assert_eq!(times(&world, "x"), None);
    world.apply("x", &minimal(&json!({"replicas": 2})), Force::Yes).unwrap();
    let since = times(&world, "x");
    assert!(since.is_some());
    world.apply("x", &minimal(&json!({"replicas": 2})), Force::No).unwrap();
    assert_eq!(times(&world, "x"), since);
}

#[test]
fn of_an_object_without_managers_nobody_becomes_one_but_by_applying() {
    let mut world = World::new();
    world.update("creator", "", json!({"metadata": {"name": "web"}}));
    assert_eq!(world.value()["metadata"].get("managedFields"), None);
    world.update("other", "", deployment(1, "web:1"));
    assert_eq!(world.value()["metadata"].get("managedFields"), None);
    let error = world.apply("x", &minimal(&json!({"replicas": 2})), Force::No).unwrap_err().to_string();
    assert!(error.contains("conflict with \"before-first-apply\" using apps/v1: .spec.replicas"), "{error}");
}

#[test]
fn what_the_server_sets_or_undoes_belongs_to_nobody() {
    let (old, _) = object("Deployment", &deployment(1, "web:1"));
    let creator = writer("Deployment", "creator", "", 0);
    let managed = on_update(None, After { wanted: &old, stored: &old }, None, &creator);
    let mut wanted = deployment(2, "web:1");
    wanted["metadata"]["labels"]["tier"] = "front".into();
    let mut stored = deployment(2, "web:1");
    stored["spec"]["paused"] = true.into();
    let (wanted, stored) = (object("Deployment", &wanted).0, object("Deployment", &stored).0);
    let live = Live { json: &old, managed: &managed };
    let after = After { wanted: &wanted, stored: &stored };
    let managers = on_update(Some(live), after, None, &writer("Deployment", "other", "", 1)).managers();
    let other = managers.iter().find(|manager| manager.name == "other").unwrap();
    assert_eq!(other.set.paths(), [".spec.replicas"]);
}

#[test]
fn kubectl_takes_over_what_it_applied_by_the_client() {
    const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let mut world = World::new();
    let applied = minimal(&json!({"replicas": 1, "paused": true}));
    let mut live = deployment(1, "web:1");
    live["spec"]["paused"] = true.into();
    live["metadata"]["annotations"] = json!({ANNOTATION: applied.to_string()});
    world.update("kubectl-client-side-apply", "", live);
    let config = minimal(&json!({"replicas": 3, "paused": true, "minReadySeconds": 5}));
    // Others opt out.
    assert!(world.apply("other", &config, Force::No).is_err());
    world.apply("kubectl", &config, Force::No).unwrap();
    assert_eq!(world.value()["spec"]["replicas"], 3);
    let annotation = world.value()["metadata"]["annotations"][ANNOTATION].clone();
    assert_eq!(annotation, format!("{config}\n"));
    // What somebody has changed since is not taken over.
    let mut world = World::new();
    let mut live = deployment(2, "web:1");
    live["metadata"]["annotations"] = json!({ANNOTATION: applied.to_string()});
    world.update("kubectl-client-side-apply", "", live);
    let error = world.apply("kubectl", &config, Force::No).unwrap_err().to_string();
    assert!(error.ends_with(": .spec.replicas"), "{error}");
}

#[test]
fn the_oldest_updaters_become_one() {
    let mut world = World::new();
    for n in 0..15 {
        let mut next = if n == 0 { deployment(1, "web:1") } else { world.value() };
        next["metadata"]["labels"][format!("l{n}")] = "x".into();
        world.update(&format!("m{n:02}"), "", next);
    }
    let managers = world.live().unwrap().managed.managers();
    assert_eq!(managers.len(), 10);
    assert_eq!(managers[0].name, "ancient-changes");
    assert_eq!(managers[9].name, "m14");
}

fn config() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-d]", "[xy]", 0..4);
    let containers = prop::collection::btree_map("[a-d]", prop::option::of("[xy]"), 1..4);
    (labels, containers, prop::option::of(0..3_u32)).prop_map(|(labels, containers, replicas)| {
        let containers: Vec<_> = containers
            .into_iter()
            .map(|(name, image)| image.map_or(json!({"name": name}), |image| json!({"name": name, "image": image})))
            .collect();
        let mut spec = json!({"selector": {}, "template": {"spec": {"containers": containers}}});
        if let Some(replicas) = replicas {
            spec["replicas"] = replicas.into();
        }
        let mut config = minimal(&spec);
        if !labels.is_empty() {
            config["metadata"]["labels"] = json!(labels);
        }
        config
    })
}

/// Values that somebody may apply, many of them where they do not belong.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    let names =
        ["name", "labels", "finalizers", "template", "spec", "containers", "ports", "containerPort", "selector"];
    let name = prop::sample::select(names.to_vec());
    leaf.prop_recursive(6, 32, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_again_changes_nothing(first in config(), second in config()) {
        let mut world = World::new();
        world.apply("a", &first, Force::Yes).unwrap();
        world.apply("b", &second, Force::Yes).unwrap();
        let before = world.value();
        world.apply("b", &second, Force::No).unwrap();
        prop_assert_eq!(world.value(), before);
    }

    #[test]
    fn a_lone_applier_gets_exactly_what_it_applies(first in config(), second in config()) {
        let mut world = World::new();
        world.apply("a", &first, Force::No).unwrap();
        world.apply("a", &second, Force::No).unwrap();
        prop_assert_eq!(world.live().unwrap().json, &*object("Deployment", &second).0);
    }

    #[test]
    fn disjoint_appliers_commute(labels in prop::collection::btree_map("[ab]", "[xy]", 0..3), replicas in 0..3_u32) {
        let mut first = minimal(&json!({}));
        first["metadata"]["labels"] = json!(labels);
        first["spec"]["template"]["spec"]["containers"] = json!([{"name": "a", "image": "a"}]);
        let second = minimal(&json!({
            "replicas": replicas, "template": {"spec": {"containers": [{"name": "b", "image": "b"}]}},
        }));
        let applied = |one: (&str, &Value), other: (&str, &Value)| {
            let mut world = World::new();
            world.apply(one.0, one.1, Force::No).unwrap();
            world.apply(other.0, other.1, Force::No).unwrap();
            let owned = (world.fields("a"), world.fields("b"));
            let mut live = world.value();
            let list = live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
            list.sort_by_key(|container| container["name"].to_string());
            live["metadata"].as_object_mut().unwrap().remove("managedFields");
            (live, owned)
        };
        prop_assert_eq!(applied(("a", &first), ("b", &second)), applied(("b", &second), ("a", &first)));
    }

    #[test]
    fn what_nobody_owns_any_more_goes(first in config(), second in config()) {
        let mut world = World::new();
        world.apply("a", &first, Force::No).unwrap();
        world.apply("b", &second, Force::Yes).unwrap();
        world.apply("a", &minimal(&json!({"selector": {}})), Force::No).unwrap();
        let live = world.value();
        let labels = live["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let wanted = second["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        prop_assert_eq!(labels, wanted);
        prop_assert_eq!(live["spec"].get("replicas"), second["spec"].get("replicas"));
    }

    #[test]
    fn whatever_is_applied_nothing_panics(spec in anything(), metadata in anything()) {
        let mut world = World::new();
        world.update("creator", "", deployment(1, "web:1"));
        let mut config = minimal(&spec);
        config["metadata"] = metadata;
        let live = world.live();
        let applied = apply(live, &config.into(), &writer("Deployment", "x", "", 9), Force::Yes);
        if let Ok(applied) = applied {
            prop_assert!(applied.object.is_object());
        }
    }

    #[test]
    fn a_forced_apply_wins(first in config(), second in config()) {
        let mut world = World::new();
        world.update("a", "", first);
        world.apply("b", &second, Force::Yes).unwrap();
        let live = world.value();
        prop_assert_eq!(live["spec"].get("replicas").is_some() || second["spec"].get("replicas").is_none(), true);
        for (label, value) in second["metadata"]["labels"].as_object().into_iter().flatten() {
            prop_assert_eq!(&live["metadata"]["labels"][label], value);
        }
    }
}

/// What tracking costs a new pod; run with `--release --nocapture --ignored`.
#[test]
#[ignore = "a measurement"]
fn cost() {
    let (pod, _) = object(
        "Pod",
        &json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web", "tier": "front"}},
            "spec": {
                "containers": [{
                    "name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent",
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": true}],
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30, "serviceAccountName": "default",
                "volumes": [{"name": "token", "emptyDir": {}}],
            },
        }),
    );
    let rounds = 10_000_u32;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        let after = After { wanted: &pod, stored: &pod };
        std::hint::black_box(on_update(None, after, None, &writer("Pod", "load", "", 0)));
    }
    println!("{:?} a pod", start.elapsed() / rounds);
}
