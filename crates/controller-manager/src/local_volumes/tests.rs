use api_types::core::PersistentVolumeClaim;
use component::volumes::{Class, Volume};
use serde_json::{Value, json};

use super::plan::{Farewell, Refusal, farewell, node_of, removal, volume_for};
use crate::slim::Node;

const UID: &str = "0f39d2a0-7a3b-4c5d-8e9f-001122334455";

fn claim(spec: &Value) -> PersistentVolumeClaim {
    let mut own = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "c"});
    own.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let annotations = json!({"volume.kubernetes.io/selected-node": "n"});
    let metadata = json!({"name": "c", "namespace": "ns", "uid": UID, "annotations": annotations});
    serde_json::from_value(json!({"metadata": metadata, "spec": own})).unwrap()
}

fn class(patch: Value) -> Class {
    let mut class =
        json!({"metadata": {"name": "c"}, "provisioner": "ferrokube.io/local-path", "reclaimPolicy": "Delete"});
    class.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    serde_json::from_value(class).unwrap()
}

fn node(directory: Option<&str>) -> Node {
    let annotations = json!({"ferrokube.io/local-volumes": directory});
    let annotations = if directory.is_some() { annotations } else { json!({}) };
    let labels = json!({"kubernetes.io/hostname": "host"});
    serde_json::from_value(json!({"metadata": {"name": "n", "labels": labels, "annotations": annotations}})).unwrap()
}

#[test]
fn a_claim_gets_a_directory_of_its_node() {
    let volume = volume_for(&claim(&json!({})), &class(json!({})), Some(&node(Some("/var/lib/v/")))).unwrap();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": format!("pvc-{UID}"),
            "annotations": {"pv.kubernetes.io/provisioned-by": "ferrokube.io/local-path"},
            "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "ns", "name": "c", "uid": UID,
            },
            "local": {"path": format!("/var/lib/v/pvc-{UID}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["host"]},
            ]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "c",
            "volumeMode": "Filesystem",
        },
    });
    assert_eq!(serde_json::to_value(&volume).unwrap(), expected);
    let volume: Volume = serde_json::from_value(expected).unwrap();
    assert_eq!(node_of(&volume), Some("host"));
    assert_eq!(
        removal(&volume, "n"),
        format!("/api/v1/nodes/n/proxy/localVolumes/pvc-{UID}?path=/var/lib/v/pvc-{UID}")
    );
}

#[test]
fn what_there_is_not_is_refused() {
    let never = |spec: Value| match volume_for(&claim(&spec), &class(json!({})), Some(&node(Some("/v")))) {
        Err(Refusal::Never(why)) => why,
        other => panic!("{spec}: {other:?}"),
    };
    for (spec, why) in [
        (
            json!({"accessModes": ["ReadWriteMany"]}),
            "only access modes ReadWriteOnce and ReadWriteOncePod are supported",
        ),
        (json!({"volumeMode": "Block"}), "block volumes are not supported"),
        (json!({"selector": {}}), "claim.spec.selector is not supported"),
        (
            json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "d"}}),
            "claim.spec.dataSource is not supported",
        ),
    ] {
        assert_eq!(never(spec), why);
    }
    for directory in [None, Some(""), Some("/"), Some("relative"), Some("/a/../b"), Some("/a\nb")] {
        let refused = volume_for(&claim(&json!({})), &class(json!({})), Some(&node(directory)));
        assert!(matches!(refused, Err(Refusal::NotThere(_))), "{directory:?} {refused:?}");
    }
    assert!(matches!(volume_for(&claim(&json!({})), &class(json!({})), None), Err(Refusal::NotThere(_))));
    let other = class(json!({"provisioner": "example.com/p"}));
    assert!(matches!(volume_for(&claim(&json!({})), &other, Some(&node(Some("/v")))), Err(Refusal::Never(_))));
}

#[test]
fn a_volume_goes_when_nobody_has_it() {
    const OURS: &str = "ferrokube.io/local-path";
    let volume = |by: &str, policy: &str, phase: &str, going: bool, claimed: bool| -> Volume {
        let deleted = going.then_some("2026-01-01T00:00:00Z");
        let metadata = json!({
            "name": format!("pvc-{UID}"), "deletionTimestamp": deleted,
            "annotations": {"pv.kubernetes.io/provisioned-by": by},
            "finalizers": ["kubernetes.io/pv-protection", "external-provisioner.volume.kubernetes.io/finalizer"],
        });
        let claim = claimed.then(|| json!({"name": "c", "namespace": "ns", "uid": UID}));
        let spec = json!({"persistentVolumeReclaimPolicy": policy, "claimRef": claim});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}})).unwrap()
    };
    let forget = |with_directory| Some(Farewell::Forget { with_directory });
    for (by, policy, phase, going, claimed, expected) in [
        (OURS, "Delete", "Bound", false, true, None),
        (OURS, "Delete", "Released", false, true, Some(Farewell::Delete)),
        (OURS, "Delete", "Failed", false, true, Some(Farewell::Delete)),
        (OURS, "Retain", "Released", false, true, None),
        ("other", "Delete", "Released", false, true, None),
        (OURS, "Delete", "Available", false, false, None),
        (OURS, "Delete", "Bound", true, true, None),
        (OURS, "Delete", "Pending", true, true, None),
        (OURS, "Delete", "Released", true, true, forget(true)),
        (OURS, "Delete", "Available", true, false, forget(true)),
        (OURS, "Retain", "Released", true, true, forget(false)),
    ] {
        let volume = volume(by, policy, phase, going, claimed);
        assert_eq!(farewell(&volume), expected, "{by} {policy} {phase} {going} {claimed}");
        assert_eq!(super::plan::other_finalizers(&volume), ["kubernetes.io/pv-protection"]);
    }
    let mut foreign = volume(OURS, "Delete", "Released", true, true);
    foreign.metadata.name = Some("etc".to_owned());
    assert_eq!(farewell(&foreign), None);
}
