//! What volumes may be, and what of them stays.

use serde_json::json;

use super::*;

fn volume(mut spec: Value) -> PersistentVolume {
    let own = spec.as_object_mut().unwrap();
    own.entry("accessModes").or_insert(json!(["ReadWriteOnce"]));
    own.entry("capacity").or_insert(json!({"storage": "1Gi"}));
    let mut volume: PersistentVolume =
        serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": spec})).unwrap();
    volume.set_defaults();
    volume
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_are_told() {
    let cases = [
        (json!({"hostPath": {"path": "/a"}}), vec![]),
        (json!({}), vec!["spec: Required value: must specify a volume type"]),
        (
            json!({"hostPath": {"path": "/a"}, "nfs": {"server": "s", "path": "/"}}),
            vec!["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            json!({"hostPath": {"path": "/a/.."}, "persistentVolumeReclaimPolicy": "Recycle"}),
            vec![
                r#"spec.hostPath.path: Invalid value: "/a/..": must not contain '..'"#,
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ],
        ),
        (
            json!({"local": {"path": "/a"}}),
            vec!["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            json!({"csi": {"driver": "a b", "volumeHandle": ""}, "accessModes": []}),
            vec![
                "spec.accessModes: Required value",
                r#"spec.csi.driver: Invalid value: "a b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
                "spec.csi.volumeHandle: Required value",
            ],
        ),
        (
            json!({"hostPath": {"path": "/a"}, "capacity": {"cpu": "1"}}),
            vec![r#"spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage""#],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(texts(&volume(spec.clone()).validate()), expected, "{spec}");
    }
}

#[test]
fn the_source_stays() {
    let old = volume(json!({"hostPath": {"path": "/a"}}));
    let new = volume(json!({"hostPath": {"path": "/b"}, "volumeMode": "Block", "capacity": {"storage": "2Gi"}}));
    assert_eq!(
        texts(&new.validate_update(&old)),
        [
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
            r#"volumeMode: Invalid value: "Block": field is immutable"#,
        ]
    );
}

#[test]
fn rows_tell_the_claim() {
    let volume = volume(json!({
        "hostPath": {"path": "/a"}, "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s",
    }));
    let cells = volume.cells();
    assert_eq!(
        cells[1..9],
        [
            json!("1Gi"),
            json!("RWO"),
            json!("Retain"),
            json!("Pending"),
            json!("n/c"),
            json!("s"),
            json!("<unset>"),
            json!("")
        ]
    );
}
