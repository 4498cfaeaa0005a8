use component::recorder::EventType;
use serde_json::{Value, json};

use super::{Everything, claim, read, volume};
use crate::persistent_volumes::{
    binding,
    claim::{Verdict, judge},
};

fn said(verdict: Verdict) -> String {
    let note = |note: crate::persistent_volumes::Note| {
        let kind = if note.kind == EventType::Warning { "!" } else { "" };
        format!("{kind}{}: {}", note.reason, note.message)
    };
    match verdict {
        Verdict::Bind(volume) => format!("bind {}", volume.name()),
        Verdict::Wait(None) => "wait".to_owned(),
        Verdict::Wait(Some(own)) => format!("wait, {}", note(own)),
        Verdict::TakeClass(name) => format!("class {name}"),
        Verdict::Provision(provisioner) => format!("provision by {provisioner}"),
        Verdict::Lost(own) => format!("lost, {}", note(own)),
        Verdict::Leave => "leave".to_owned(),
    }
}

fn check(of_claim: &Value, volumes: &[Value], classes: &[Value], pods: &[&str], expected: &str) {
    let world = Everything {
        volumes: volumes.iter().map(read).collect(),
        classes: classes.iter().map(read).collect(),
        pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
    };
    let claim = read(&claim("c", of_claim));
    assert_eq!(said(judge(&claim, &world)), expected, "{of_claim} {volumes:?} {classes:?}");
}

fn class(name: &str, patch: &Value) -> Value {
    super::merged(json!({"metadata": {"name": name}, "provisioner": "example.com/p"}), patch)
}

const ANNOTATION: &str = "storageclass.kubernetes.io/is-default-class";

#[test]
fn a_claim_takes_the_smallest_volume_that_suits() {
    let sized = |name, size| volume(name, &json!({"spec": {"capacity": {"storage": size}}}));
    let shared = volume("shared", &json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}}));
    let large = [sized("large", "9Gi"), sized("less", "8Gi"), sized("small", "1Gi")];
    check(&json!({}), &large, &[], &[], "bind less");
    // Better too large than for more than it is used for.
    check(&json!({}), &[shared.clone(), sized("large", "9Gi")], &[], &[], "bind large");
    check(&json!({}), &[shared], &[], &[], "bind shared");
    const NONE: &str =
        "wait, FailedBinding: no persistent volumes available for this claim and no storage class is set";
    check(&json!({}), &[sized("small", "1Gi")], &[], &[], NONE);
    let taken = volume("taken", &json!({"spec": {"claimRef": {"name": "d", "namespace": "ns"}}}));
    check(&json!({}), &[taken], &[], &[], NONE);
    check(&json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), &large, &[], &[], "leave");
}

#[test]
fn a_volume_that_is_set_aside_comes_first() {
    let aside = |uid: Value| {
        let reference = json!({"name": "c", "namespace": "ns", "uid": uid});
        volume(
            "aside",
            &json!({"spec": {"claimRef": reference, "capacity": {"storage": "50Gi"}, "storageClassName": "x"}}),
        )
    };
    check(&json!({}), &[volume("v", &json!({})), aside(json!(null))], &[], &[], "bind aside");
    check(&json!({}), &[volume("v", &json!({})), aside(json!("c"))], &[], &[], "bind aside");
    check(&json!({}), &[volume("v", &json!({})), aside(json!("another"))], &[], &[], "bind v");
    let waits = class("w", &json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    check(&json!({"spec": {"storageClassName": "w"}}), &[aside(json!(null))], &[waits], &[], "bind aside");
}

#[test]
fn a_claim_can_name_its_volume() {
    let named = json!({"spec": {"volumeName": "v"}});
    check(&named, &[], &[], &[], "wait");
    check(&named, &[volume("v", &json!({}))], &[], &[], "bind v");
    let small = volume("v", &json!({"spec": {"capacity": {"storage": "1Gi"}}}));
    const SMALL: &str = r#"wait, !VolumeMismatch: Cannot bind to requested volume "v": requested PV is too small"#;
    check(&named, &[small], &[], &[], SMALL);
    let others = volume("v", &json!({"spec": {"claimRef": {"name": "d", "namespace": "ns"}}}));
    const OTHERS: &str = r#"wait, !FailedBinding: volume "v" already bound to a different claim."#;
    check(&named, std::slice::from_ref(&others), &[], &[], OTHERS);
    let chosen = json!({"metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}}, "spec": {"volumeName": "v"}});
    check(&chosen, &[others], &[], &[], "leave");
}

#[test]
fn what_was_bound_can_be_lost() {
    let bound = |name: &str| json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": name}});
    const REFERENCE: &str =
        "lost, !ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
    check(&bound(""), &[volume("v", &json!({}))], &[], &[], REFERENCE);
    const VOLUME: &str = "lost, !ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!";
    check(&bound("v"), &[], &[], &[], VOLUME);
    check(&bound("v"), &[volume("v", &json!({}))], &[], &[], "bind v");
    let of = |uid: &str| [volume("v", &json!({"spec": {"claimRef": {"name": "c", "namespace": "ns", "uid": uid}}}))];
    check(&bound("v"), &of("c"), &[], &[], "bind v");
    check(&bound("v"), &of(""), &[], &[], "bind v");
    const OTHER: &str = "lost, !ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly";
    check(&bound("v"), &of("before"), &[], &[], OTHER);
}

#[test]
fn classes_say_who_makes_volumes_and_when() {
    let of = |class: &str| json!({"spec": {"storageClassName": class}});
    let waits = |provisioner: &str| {
        class("w", &json!({"volumeBindingMode": "WaitForFirstConsumer", "provisioner": provisioner}))
    };
    check(&of("x"), &[], &[class("x", &json!({}))], &[], "provision by example.com/p");
    const MISSING: &str = r#"wait, !ProvisioningFailed: storageclass.storage.k8s.io "x" not found"#;
    check(&of("x"), &[], &[], &[], MISSING);
    const FIRST: &str = "wait, WaitForFirstConsumer: waiting for first consumer to be created before binding";
    check(&of("w"), &[volume("v", &of("w"))], &[waits("p")], &[], FIRST);
    check(&of("w"), &[], &[waits("p")], &["a"], "wait, WaitForPodScheduled: waiting for pod a to be scheduled");
    const PODS: &str = "wait, WaitForPodScheduled: waiting for pods a,b to be scheduled";
    check(&of("w"), &[], &[waits("p")], &["a", "b"], PODS);
    let placed = json!({
        "metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}, "spec": {"storageClassName": "w"},
    });
    check(&placed, &[], &[waits("p")], &[], "provision by p");
    const NOBODY: &str = "wait, !ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner";
    check(&placed, &[], &[waits("kubernetes.io/no-provisioner")], &[], NOBODY);
}

#[test]
fn a_claim_without_a_class_takes_the_default_when_there_is_one() {
    let none = json!({"spec": {"storageClassName": null}});
    let default = |name: &str, created: &str| {
        let metadata = json!({"annotations": {ANNOTATION: "true"}, "creationTimestamp": created});
        class(name, &json!({"metadata": metadata}))
    };
    let classes = [
        default("old", "2026-01-01T00:00:00Z"),
        default("b", "2026-01-02T00:00:00Z"),
        default("a", "2026-01-02T00:00:00Z"),
    ];
    check(&none, &[], &classes, &[], "class a");
    check(&none, &[volume("v", &json!({}))], &classes, &[], "bind v");
    const EMPTY: &str =
        "wait, FailedBinding: no persistent volumes available for this claim and no storage class is set";
    check(&json!({}), &[], &classes, &[], EMPTY);
    check(&none, &[], &[class("x", &json!({}))], &[], EMPTY);
    let annotated = json!({
        "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}}, "spec": {"storageClassName": null},
    });
    check(&annotated, &[], &classes, &[], "provision by example.com/p");
}

#[test]
fn a_selector_that_cannot_be_read_is_told() {
    let selector = json!({"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}});
    const WHY: &str = r#"wait, !FailedBinding: error creating internal label selector for claim: c: "Near" is not a valid label selector operator"#;
    check(&selector, &[volume("v", &json!({}))], &[], &[], WHY);
}

/// Writes of a binding one after the other; what is written of objects as they were read carries their version.
fn steps(of_volume: &Value, of_claim: &Value) -> Vec<String> {
    let (mut volume, mut claim) = (volume("v", of_volume), claim("c", of_claim));
    let mut steps = Vec::new();
    while let Some(step) = binding::next(&read(&volume), &read(&claim)) {
        let (what, patch, on) = match step {
            binding::Step::Volume(patch) => ("volume", patch, &mut volume),
            binding::Step::VolumeStatus(patch) => ("volume's status", patch, &mut volume),
            binding::Step::Claim(patch) => ("claim", patch, &mut claim),
            binding::Step::ClaimStatus(patch) => ("claim's status", patch, &mut claim),
        };
        super::merge(on, &patch);
        let mut shown = patch;
        for name in ["uid", "resourceVersion"] {
            shown["metadata"].as_object_mut().unwrap().remove(name).unwrap();
        }
        steps.push(format!("{what} {shown}"));
        assert!(steps.len() < 10, "{steps:#?}");
    }
    steps
}

#[test]
fn the_volume_is_written_first() {
    let all = [
        r#"volume {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":"yes"}},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"c","namespace":"ns","resourceVersion":null,"uid":"c"}}}"#,
        r#"volume's status {"metadata":{},"status":{"message":null,"phase":"Bound"}}"#,
        r#"claim {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes"}},"spec":{"volumeName":"v"}}"#,
        r#"claim's status {"metadata":{},"status":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"5Gi"},"phase":"Bound"}}"#,
    ];
    assert_eq!(steps(&json!({}), &json!({})), all);
    // Whoever set it aside by name wants it back so.
    let by_volume = steps(&json!({"spec": {"claimRef": {"name": "c", "namespace": "ns"}}}), &json!({}));
    assert!(!by_volume[0].contains("bound-by-controller") && by_volume[0].contains(r#""uid":"c""#), "{by_volume:#?}");
    assert_eq!(by_volume[1..], all[1..]);
    let by_claim = steps(&json!({}), &json!({"spec": {"volumeName": "v"}}));
    assert_eq!(by_claim[2], r#"claim {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes"}}}"#);
    // While it is bound, its size is told by others.
    let grown = json!({"metadata": {"annotations": {"volume.alpha.kubernetes.io/pre-resize-capacity": "1Gi"}}});
    assert!(steps(&grown, &json!({}))[3].contains(r#""capacity":{"storage":"1Gi"}"#));
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}});
    assert_eq!(steps(&json!({}), &bound).len(), 3);
}
