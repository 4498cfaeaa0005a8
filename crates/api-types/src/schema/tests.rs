//! The table is whole, and says what upstream says.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Field, Kind, Label, ListPatch, Schema, Topology, Type, find, named, of, types};
use crate::rows;

fn at<'a>(schema: &'a Type, path: &str) -> &'a Field {
    let mut steps = path.split('.');
    let first = schema.member(steps.next().unwrap()).unwrap();
    steps.fold(first, |field, step| field.of().unwrap().member(step).unwrap())
}

#[test]
fn containers_are_a_map_by_name() {
    let spec = at(of("", "v1", "Pod"), "spec").of().unwrap();
    let containers = spec.field("containers").unwrap();
    assert!(matches!(&containers.topology, Topology::Map(keys) if keys[0].name == "name"));
    assert_eq!(containers.patch.list, ListPatch::MergeBy("name"));
    assert!(std::ptr::eq(at(of("apps", "v1", "Deployment"), "spec.template.spec").of().unwrap(), spec));
}

#[test]
fn fields_know_their_numbers_and_what_go_makes_of_them() {
    let deployment = of("apps", "v1", "Deployment");
    let replicas = at(deployment, "spec.replicas");
    assert_eq!((replicas.number, replicas.kind, replicas.pointer), (1, Kind::Int32, true));
    assert!(at(deployment, "spec").present() && !replicas.present());
    let ports = at(deployment, "spec.template.spec.containers.ports");
    let Topology::Map(keys) = &ports.topology else { panic!("{ports:?}") };
    assert_eq!((&*keys[1].name, keys[1].default.as_deref()), ("protocol", Some("\"TCP\"")));
    // A volume's source stands among its fields.
    let volume = named("io.k8s.api.core.v1.Volume").unwrap();
    assert_eq!(volume.field("configMap").unwrap().message().unwrap().name, "ConfigMapVolumeSource");
    assert_eq!(volume.numbered(2).map(Field::is_inlined), Some(true));
    assert_eq!(at(deployment, "spec.strategy.type").values, Some(r#"["Recreate","RollingUpdate"]"#));
    let labels = at(deployment, "metadata.labels");
    assert_eq!((labels.label, labels.kind), (Label::Map, Kind::String));
}

#[test]
fn every_line_is_understood() {
    let text = include_str!("types.txt");
    let lines = text.lines().filter(|line| !line.starts_with(['#', 'p'])).count();
    let read: usize = types().iter().map(|schema| 1 + schema.fields().len()).sum();
    assert_eq!(read, lines);
    let mut names = BTreeSet::new();
    for schema in types() {
        assert!(names.insert(schema.full_name()), "{} twice", schema.full_name());
        assert!(schema.fields().is_sorted_by_key(|field| field.number), "{}", schema.full_name());
        for (field, _) in schema.members() {
            assert_eq!(schema.field(&field.name).map(|found| &found.name), Some(&field.name));
        }
    }
}

#[test]
fn every_kind_that_is_served_is_a_message() {
    let rows = [&rows::PODS, &rows::NODES, &rows::SERVICES, &rows::DEPLOYMENTS, &rows::LEASES, &rows::BINDINGS];
    for row in rows {
        let schema = find(&row.group, &row.version, &row.kind).unwrap();
        assert!(schema.is_message() && schema.field("metadata").unwrap().present(), "{}", row.kind);
        assert!(find(&row.group, &row.version, &row.list_kind()).is_some() || row.kind == "Binding", "{}", row.kind);
    }
    for (group, kind) in [("autoscaling", "Scale"), ("policy", "Eviction"), ("apps", "DeleteOptions"), ("", "Status")] {
        assert!(find(group, "v1", kind).is_some(), "{kind}");
    }
    assert!(find("example.com", "v1", "Pod").is_none());
}

#[test]
fn a_custom_resource_brings_its_schema() {
    let schema = Schema::custom(json!({
        "type": "object",
        "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {"type": "object", "properties": {
                        "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
                    }},
                },
                "words": {"type": "array", "items": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}},
                "owner": {"type": "object", "x-kubernetes-map-type": "atomic"},
                "by": {"type": "object", "additionalProperties": {"type": "object", "properties": {
                    "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                }}},
            }},
        },
    }).to_string().as_bytes());
    let Topology::Map(keys) = &at(&schema, "spec.ports").topology else { panic!() };
    assert_eq!((keys[0].default.as_deref(), keys[1].default.as_deref()), (None, Some("\"TCP\"")));
    assert_eq!(at(&schema, "spec.words").of().unwrap().element().unwrap().topology, Topology::Set);
    assert!(at(&schema, "spec.owner").of().unwrap().atomic);
    assert_eq!(at(&schema, "spec.by.anything.names").topology, Topology::Set);
    assert_eq!(at(&schema, "metadata.finalizers").topology, Topology::Set);
    assert!(!at(&schema, "spec").present() && !schema.is_message() && schema.document().is_some());
}
