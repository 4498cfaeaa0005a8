//! What Go's decoder makes of texts.

use api_types::schema;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::read;

fn kind(kind: &str) -> &'static schema::Type {
    let (group, version) = match kind {
        "Deployment" => ("apps", "v1"),
        "Lease" => ("coordination.k8s.io", "v1"),
        _ => ("", "v1"),
    };
    schema::of(group, version, kind)
}

#[track_caller]
fn check(of: &str, text: &str, expected: Value) {
    assert_eq!(read(text.as_bytes(), kind(of)), Ok(expected), "{text}");
}

#[track_caller]
fn refused(of: &str, text: &str, words: &str) {
    assert_eq!(read(text.as_bytes(), kind(of)), Err(words.to_owned()), "{text}");
}

#[test]
fn null_is_the_zero_value() {
    check("ConfigMap", r#"{"data":{"a":null,"b":"c"}}"#, json!({"data": {"a": "", "b": "c"}}));
    check("ConfigMap", r#"{"data":null,"metadata":null,"immutable":null,"kind":null}"#, json!({}));
    check("ConfigMap", r#"{"binaryData":{"a":null}}"#, json!({"binaryData": {"a": ""}}));
    check("Pod", r#"{"spec":{"containers":[null]}}"#, json!({"spec": {"containers": [{}]}}));
    check("Pod", r#"{"metadata":{"finalizers":[null]}}"#, json!({"metadata": {"finalizers": [""]}}));
    check("Node", r#"{"status":{"capacity":{"cpu":null}}}"#, json!({"status": {"capacity": {"cpu": "0"}}}));
    check("Pod", "null", json!({}));
}

#[test]
fn what_is_given_twice_is_merged() {
    check(
        "ConfigMap",
        r#"{"metadata":{"name":"a","labels":{"x":"1"}},"metadata":{"annotations":{"b":"c"},"labels":{"y":"2"}}}"#,
        json!({"metadata": {"name": "a", "labels": {"x": "1", "y": "2"}, "annotations": {"b": "c"}}}),
    );
    check("ConfigMap", r#"{"data":{"a":"1","a":"2"}}"#, json!({"data": {"a": "2"}}));
    check("ConfigMap", r#"{"immutable":true,"immutable":null}"#, json!({}));
    check("Pod", r#"{"spec":{"nodeName":"a","nodeName":null}}"#, json!({"spec": {"nodeName": "a"}}));
    check("Pod", r#"{"spec":{"nodeName":"a","nodeName":""}}"#, json!({"spec": {}}));
    check(
        "Pod",
        r#"{"spec":{"containers":[{"name":"a"},{"name":"b"}],"containers":[{"image":"x"}]}}"#,
        json!({"spec": {"containers": [{"name": "a", "image": "x"}]}}),
    );
}

#[test]
fn empty_fields_are_left_out_as_go_leaves_them_out() {
    check(
        "Pod",
        r#"{"metadata":{"labels":{},"finalizers":[],"ownerReferences":[ ]},"spec":{"hostNetwork":false,"priority":0,
            "containers":[{"name":"","tty":false,"env":[{"name":"A","value":""}],"resources":{},"command":[]}]}}"#,
        json!({
            "metadata": {},
            "spec": {"priority": 0, "containers": [{"name": "", "env": [{"name": "A"}], "resources": {}}]},
        }),
    );
    check("ConfigMap", r#"{"data":{"a":""},"binaryData":{}}"#, json!({"data": {"a": ""}}));
    check("Deployment", r#"{"spec":{"replicas":0,"minReadySeconds":0}}"#, json!({"spec": {"replicas": 0}}));
}

#[test]
fn texts_are_read_leniently() {
    check("ConfigMap", r#"{"data":{"a":"\ud800x"}}"#, json!({"data": {"a": "\u{fffd}x"}}));
    assert_eq!(read(b"{\"data\":{\"a\":\"\xff\"}}", kind("ConfigMap")), Ok(json!({"data": {"a": "\u{fffd}"}})));
    check("Secret", r#"{"data":{"a":"YWJj\nZGVm\r\n"}}"#, json!({"data": {"a": "YWJjZGVm"}}));
    check(
        "Node",
        r#"{"status":{"capacity":{"cpu":" 2 ","memory":4}}}"#,
        json!({"status": {"capacity": {"cpu": "2", "memory": "4"}}}),
    );
    check(
        "Service",
        r#"{"spec":{"ports":[{"targetPort":"http","port":1}]}}"#,
        json!({"spec": {"ports": [{"targetPort": "http", "port": 1}]}}),
    );
}

#[test]
fn fields_of_other_kinds_are_passed_over() {
    check("ConfigMap", r#"{"spec":{"a":[1]},"Data":{"a":"b"},"data":{"a":"b"}}"#, json!({"data": {"a": "b"}}));
}

#[test]
fn a_condition_without_its_time_has_the_zero_time() {
    check(
        "Service",
        r#"{"status":{"conditions":[{"type":"A","lastTransitionTime":null}]}}"#,
        json!({"status": {"conditions": [{"type": "A", "lastTransitionTime": "0001-01-01T00:00:00Z"}]}}),
    );
}

#[test]
fn refusals_are_in_gos_words() {
    let cannot = |rest: &str| format!("json: cannot unmarshal {rest}");
    let cases = [
        (
            "Pod",
            r#"{"spec":{"containers":"a"}}"#,
            "string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[1]}}"#,
            "number into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            "Deployment",
            r#"{"spec":{"template":{"spec":{"containers":[{"env":[{"value":1}]}]}}}}"#,
            "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        ("ConfigMap", r#"{"data":{"a":1}}"#, "number into Go struct field ConfigMap.data of type string"),
        ("ConfigMap", r#"{"data":[]}"#, "array into Go struct field ConfigMap.data of type map[string]string"),
        ("ConfigMap", r#"{"metadata":"a"}"#, "string into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
        (
            "Deployment",
            r#"{"spec":{"replicas":1.5}}"#,
            "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":"1"}}"#,
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":3000000000}}"#,
            "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
            "bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            "Pod",
            r#"{"metadata":{"creationTimestamp":1}}"#,
            "number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        ("Pod", "[]", "array into Go value of type v1.Pod"),
    ];
    for (of, text, rest) in cases {
        refused(of, text, &cannot(rest));
    }
    refused("Secret", r#"{"data":{"a":"a*bc"}}"#, "illegal base64 data at input byte 1");
    refused("Pod", "{", "unexpected end of JSON input");
    refused(
        "Lease",
        r#"{"spec":{"renewTime":"2024-01-02T03:04:05Z"}}"#,
        r#"parsing time "2024-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
    );
    refused(
        "Node",
        r#"{"status":{"capacity":{"cpu":"x"}}}"#,
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    // What ends the reading is worse than a value of another type before it.
    refused(
        "Pod",
        r#"{"metadata":{"name":1,"creationTimestamp":""}}"#,
        r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#,
    );
}

#[test]
fn the_first_of_several_is_told() {
    refused(
        "Pod",
        r#"{"metadata":{"name":1},"spec":2}"#,
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
    );
}

#[test]
fn nesting_is_bounded() {
    let deep = |depth: usize| {
        format!(r#"{{"metadata":{{"managedFields":[{{"fieldsV1":{}1{}}}]}}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    assert!(read(deep(100).as_bytes(), kind("Pod")).is_ok());
    refused("Pod", &deep(1000), "exceeded max depth");
}

/// Values that somebody may send for a field.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9:.-]{0,4}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "name",
        "labels",
        "containers",
        "env",
        "value",
        "ports",
        "containerPort",
        "limits",
        "x",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_read_the_types_read_too(metadata in anything(), spec in anything()) {
        let text = json!({"metadata": metadata, "spec": spec}).to_string();
        if let Ok(tree) = read(text.as_bytes(), kind("Pod")) {
            let decoded = api_types::rows::PODS.ops.decode(tree.to_string().as_bytes());
            prop_assert!(decoded.is_ok(), "{tree}: {decoded:?}");
        }
    }

    #[test]
    fn reading_again_changes_nothing(metadata in anything(), spec in anything()) {
        let text = json!({"metadata": metadata, "spec": spec}).to_string();
        if let Ok(tree) = read(text.as_bytes(), kind("Pod")) {
            prop_assert_eq!(read(tree.to_string().as_bytes(), kind("Pod")), Ok(tree));
        }
    }

    #[test]
    fn nothing_panics(text in r#"[\[\]{}:,"\\a0-9eu.tfnml\- ]{0,40}"#) {
        let _ = read(text.as_bytes(), kind("ConfigMap"));
    }
}
