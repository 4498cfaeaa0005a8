//! Scenarios over real kinds: who owns what after which writes.

use std::sync::{Arc, LazyLock};

use api_types::{Resource, jiff::Timestamp, meta::ManagedFieldsEntry};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ApplyError, Force, Live, ManagedFields, Writer, apply, on_update, put_together};
use crate::resources::rows;

fn row(kind: &str) -> &'static Resource {
    static ROWS: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(rows);
    ROWS.iter().find(|row| row.kind == kind).unwrap()
}

fn writer<'a>(kind: &str, manager: &'a str, subresource: &'a str, second: i64) -> Writer<'a> {
    Writer { resource: row(kind), manager, subresource, now: Timestamp::from_second(1_700_000_000 + second).unwrap() }
}

/// An object as it would be stored, and the managed fields that were sent with it.
fn object(kind: &str, fields: &Value) -> (Bytes, Option<Vec<ManagedFieldsEntry>>) {
    let mut object = row(kind).ops.decode(fields.to_string().as_bytes()).unwrap();
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
        let managed = on_update(self.live(), &new, sent, &writer("Deployment", manager, subresource, self.clock));
        self.live = Some((new, managed));
    }

    fn apply(&mut self, manager: &str, config: &Value, force: Force) -> Result<(), ApplyError> {
        self.clock += 1;
        let writer = writer("Deployment", manager, "", self.clock);
        let applied = apply(self.live(), config, &writer, force)?;
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
        ".": {}, "f:image": {}, "f:name": {},
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
            ".": {},
            "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:status": {}, "f:type": {}}},
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
        std::hint::black_box(on_update(None, &pod, None, &writer("Pod", "load", "", 0)));
    }
    println!("{:?} a pod", start.elapsed() / rounds);
}
