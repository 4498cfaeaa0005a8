//! Clusters with volumes, as manifests.

use std::{sync::Arc, time::Duration};

use component::{informer::Event, volumes::Class};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{VolumeBinding, place::Place, reservation::Promised};
use crate::{
    framework::{Change, Hint, Plugin, Reservation},
    model::CsiNode,
    storage::Kept,
    testing::{Cluster, hint, labelled, node, with_candidate},
};

fn add<T: Kept + DeserializeOwned>(cluster: &Cluster, object: Value) {
    cluster.snapshot.storage().note(&Event::Added(Arc::new(serde_json::from_value::<T>(object).unwrap())));
}

/// A free volume of a node.
fn volume(cluster: &Cluster, name: &str, size: &str, host: &str, patch: Value) {
    let hostname = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]);
    let mut volume = json!({
        "metadata": {"name": name}, "status": {"phase": "Available"},
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "wait",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": hostname}]}},
        },
    });
    json_patch::merge(&mut volume, &patch);
    add::<component::volumes::Volume>(cluster, volume);
}

fn claim(cluster: &Cluster, name: &str, size: &str, patch: Value) {
    let mut claim = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name}, "status": {"phase": "Pending"},
        "spec": {
            "resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"], "storageClassName": "wait",
        },
    });
    json_patch::merge(&mut claim, &patch);
    add::<api_types::core::PersistentVolumeClaim>(cluster, claim);
}

/// What makes a claim one that is bound.
fn bound(volume: &str) -> Value {
    json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": volume}, "status": {"phase": "Bound"},
    })
}

fn class(cluster: &Cluster, name: &str, provisioner: &str, mode: &str, zones: &[&str]) {
    let topologies = json!([{"matchLabelExpressions": [{"key": "zone", "values": zones}]}]);
    let mut class = json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode});
    if !zones.is_empty() {
        class["allowedTopologies"] = topologies;
    }
    add::<Class>(cluster, class);
}

/// Nodes a and b, and a class whose volumes nobody makes.
fn cluster() -> Cluster {
    let of_zone = |name: &str| node(name, json!({"metadata": {"labels": {"zone": name}}}));
    let cluster = Cluster::of(&[of_zone("a"), of_zone("b")]);
    class(&cluster, "wait", "kubernetes.io/no-provisioner", "WaitForFirstConsumer", &[]);
    cluster
}

fn pod(claims: &[&str]) -> Value {
    let volume = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    let volumes: Vec<Value> = claims.iter().map(volume).collect();
    labelled("pod", json!({}), json!({"volumes": volumes, "containers": [{"name": "c"}]}))
}

const CONFLICT: &str = "node(s) had volume node affinity conflict (NeverHere)";
const NOTHING: &str = "node(s) didn't find available persistent volumes to bind (NeverHere)";

#[test]
fn claims_that_are_not_to_be_had_keep_pods_from_all_nodes() {
    let mut cluster = cluster();
    class(&cluster, "now", "example.com/p", "Immediate", &[]);
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    claim(&cluster, "going", "1Gi", going);
    claim(&cluster, "lost", "1Gi", json!({"spec": {"volumeName": "v"}, "status": {"phase": "Lost"}}));
    claim(&cluster, "now", "1Gi", json!({"spec": {"storageClassName": "now"}}));
    claim(&cluster, "none", "1Gi", json!({"spec": {"storageClassName": null}}));
    claim(&cluster, "pod-own", "1Gi", json!({}));
    for (name, why) in [
        ("missing", "persistentvolumeclaim \"missing\" not found"),
        ("going", "persistentvolumeclaim \"going\" is being deleted"),
        ("lost", "persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"v\""),
        ("now", "pod has unbound immediate PersistentVolumeClaims"),
        ("none", "pod has unbound immediate PersistentVolumeClaims"),
    ] {
        assert_eq!(cluster.decide(&pod(&[name])), Err(format!("0/2 nodes are available: {why}.")));
    }
    let mut own = pod(&[]);
    own["metadata"]["name"] = json!("pod");
    own["spec"]["volumes"] = json!([{"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]);
    const NOT_OWNER: &str = "PVC ns/pod-own was not created for pod ns/pod (pod is not owner)";
    assert_eq!(cluster.decide(&own), Err(format!("0/2 nodes are available: {NOT_OWNER}.")));
    own["metadata"]["name"] = json!("other");
    const LATER: &str = "waiting for ephemeral volume controller to create the persistentvolumeclaim \"other-own\"";
    assert_eq!(cluster.decide(&own), Err(format!("0/2 nodes are available: {LATER}.")));
}

#[test]
fn pods_go_where_their_volumes_are() {
    let mut cluster = cluster();
    volume(&cluster, "v", "1Gi", "b", json!({"spec": {"claimRef": {"namespace": "ns", "name": "c", "uid": "c"}}}));
    claim(&cluster, "c", "1Gi", bound("v"));
    assert_eq!(cluster.fits(&pod(&["c"])), [format!("a: {CONFLICT}"), "b: yes".to_owned()]);
    claim(&cluster, "gone", "1Gi", bound("nothing"));
    let gone = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s) (NeverHere)";
    assert_eq!(cluster.fits(&pod(&["gone"])), [format!("a: {gone}"), format!("b: {gone}")]);
}

#[test]
fn claims_that_wait_need_a_volume_each() {
    let mut cluster = cluster();
    volume(&cluster, "v1", "1Gi", "a", json!({}));
    volume(&cluster, "v2", "5Gi", "b", json!({}));
    volume(&cluster, "v3", "5Gi", "b", json!({}));
    claim(&cluster, "small", "1Gi", json!({}));
    claim(&cluster, "large", "5Gi", json!({}));
    assert_eq!(cluster.fits(&pod(&["small"])), ["a: yes", "b: yes"]);
    assert_eq!(cluster.fits(&pod(&["large"])), [format!("a: {NOTHING}"), "b: yes".to_owned()]);
    assert_eq!(cluster.fits(&pod(&["large", "small"])), [format!("a: {NOTHING}"), "b: yes".to_owned()]);
    claim(&cluster, "another", "5Gi", json!({}));
    let all = cluster.fits(&pod(&["large", "small", "another"]));
    assert_eq!(all, [format!("a: {NOTHING}"), format!("b: {NOTHING}")]);
    // What is promised is not to be had.
    let promised = ["v2".into(), "v3".into()];
    assert!(cluster.snapshot.storage().promise(&promised, &[], &"b".into()));
    assert_eq!(cluster.fits(&pod(&["large"])), [format!("a: {NOTHING}"), format!("b: {NOTHING}")]);
    cluster.snapshot.storage().forget(&promised, &[]);
    assert_eq!(cluster.fits(&pod(&["large"]))[1], "b: yes");
}

#[test]
fn volumes_are_made_where_their_class_allows() {
    let mut cluster = cluster();
    class(&cluster, "made", "example.com/p", "WaitForFirstConsumer", &[]);
    class(&cluster, "zoned", "example.com/p", "WaitForFirstConsumer", &["b", "c"]);
    claim(&cluster, "made", "1Gi", json!({"spec": {"storageClassName": "made"}}));
    claim(&cluster, "zoned", "1Gi", json!({"spec": {"storageClassName": "zoned"}}));
    assert_eq!(cluster.fits(&pod(&["made"])), ["a: yes", "b: yes"]);
    assert_eq!(cluster.fits(&pod(&["zoned"])), [format!("a: {NOTHING}"), "b: yes".to_owned()]);
    let chosen = json!({
        "metadata": {"annotations": {"volume.kubernetes.io/selected-node": "a"}}, "spec": {"storageClassName": "made"},
    });
    claim(&cluster, "chosen", "1Gi", chosen);
    assert_eq!(cluster.fits(&pod(&["chosen"])), ["a: yes".to_owned(), format!("b: {NOTHING}")]);
    // A pod that came before has been promised the node, so that the others go there, too.
    let key = [component::informer::ObjectKey::new("ns", "made")];
    let storage = Arc::clone(cluster.snapshot.storage());
    assert!(storage.promise(&[], &key, &"b".into()) && storage.promise(&[], &key, &"b".into()));
    assert!(!storage.promise(&[], &key, &"a".into()));
    assert_eq!(cluster.fits(&pod(&["made"])), [format!("a: {NOTHING}"), "b: yes".to_owned()]);
    storage.forget(&[], &key);
    assert_eq!(cluster.fits(&pod(&["made"]))[1], "b: yes");
    storage.forget(&[], &key);
    assert_eq!(cluster.fits(&pod(&["made"])), ["a: yes", "b: yes"]);
}

#[test]
fn zones_of_volumes_are_those_of_nodes() {
    let labels = |zone: &str| json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}});
    let mut cluster = Cluster::of(&[node("a", labels("a")), node("b", labels("b")), node("c", json!({}))]);
    let volume = json!({
        "metadata": {"name": "v", "labels": {"topology.kubernetes.io/zone": "b__d"}}, "spec": {"capacity": {"storage": "1Gi"}},
    });
    add::<component::volumes::Volume>(&cluster, volume);
    claim(&cluster, "c", "1Gi", bound("v"));
    let said = cluster.fits(&pod(&["c"]));
    assert_eq!(said, ["a: node(s) had no available volume zone (NeverHere)", "b: yes", "c: yes"]);
}

#[test]
fn one_pod_has_a_claim_alone() {
    let mut cluster = cluster();
    volume(&cluster, "v", "1Gi", "b", json!({"spec": {"accessModes": ["ReadWriteOncePod"]}}));
    let mut alone = bound("v");
    alone["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    claim(&cluster, "c", "1Gi", alone);
    assert_eq!(cluster.fits(&pod(&["c"]))[1], "b: yes");
    let mut first = pod(&["c"]);
    first["metadata"]["uid"] = json!("first");
    cluster.place(&first, "b");
    let why = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode (NotNow)";
    assert_eq!(cluster.fits(&pod(&["c"])), [format!("a: {why}"), format!("b: {why}")]);
    let without = cluster.fits_without(&pod(&["c"]), "b", |pod| &*pod.identity.uid == "first");
    assert_eq!(without[1], "b: yes");
}

#[test]
fn nodes_attach_so_many_volumes() {
    let mut cluster = cluster();
    add::<CsiNode>(
        &cluster,
        json!({"metadata": {"name": "a"}, "spec": {"drivers": [{"name": "d", "allocatable": {"count": 1}}]}}),
    );
    for name in ["v1", "v2"] {
        let csi = json!({"driver": "d", "volumeHandle": name});
        let spec = json!({"capacity": {"storage": "1Gi"}, "csi": csi});
        add::<component::volumes::Volume>(&cluster, json!({"metadata": {"name": name}, "spec": spec}));
        claim(&cluster, name, "1Gi", bound(name));
    }
    let mut first = pod(&["v1"]);
    first["metadata"]["uid"] = json!("first");
    cluster.place(&first, "a");
    assert_eq!(cluster.fits(&pod(&["v2"])), ["a: node(s) exceed max volume count (NotNow)", "b: yes"]);
    assert_eq!(cluster.fits(&pod(&["v1"])), ["a: yes", "b: yes"]);
}

#[test]
fn pods_wake_when_their_storage_changes() {
    let claim = |name: &str| -> Change {
        let claim = json!({"metadata": {"name": name, "namespace": "ns"}});
        Change::Claim(Arc::new(serde_json::from_value(claim).unwrap()))
    };
    let own = pod(&["c"]);
    let volume = Change::Volume(Arc::default());
    let cases = [
        ("VolumeBinding", claim("c"), Hint::Queue),
        ("VolumeBinding", claim("d"), Hint::Skip),
        ("VolumeBinding", volume.clone(), Hint::Queue),
        ("VolumeBinding", Change::Class(Arc::default()), Hint::Queue),
        ("VolumeBinding", Change::Limits, Hint::Skip),
        ("VolumeRestrictions", claim("c"), Hint::Queue),
        ("VolumeRestrictions", volume.clone(), Hint::Skip),
        ("VolumeZone", volume, Hint::Queue),
        ("NodeVolumeLimits", Change::Limits, Hint::Queue),
        ("NodeResourcesFit", claim("c"), Hint::Skip),
    ];
    for (plugin, change, expected) in cases {
        assert_eq!(hint(plugin, &own, &change), expected, "{plugin} {change:?}");
    }
    assert_eq!(hint("VolumeBinding", &pod(&[]), &Change::Volume(Arc::default())), Hint::Skip);
}

#[tokio::test(start_paused = true)]
async fn promises_end_when_claims_are_bound_or_given_back() {
    let mut cluster = cluster();
    class(&cluster, "made", "example.com/p", "WaitForFirstConsumer", &[]);
    claim(&cluster, "c", "1Gi", json!({"spec": {"storageClassName": "made"}}));
    cluster.fits(&pod(&["c"]));
    let storage = Arc::clone(cluster.snapshot.storage());
    let promised = || {
        let made = vec![storage.claim(&component::informer::ObjectKey::new("ns", "c")).unwrap()];
        let place = Place { made, ..Place::default() };
        Promised::new(Arc::clone(&storage), place, "a".into(), Duration::from_secs(9)).unwrap()
    };
    let late = promised().pre_bind().await.unwrap_err();
    assert_eq!(late.reasons, ["binding volumes: context deadline exceeded"]);
    let chosen = json!({
        "metadata": {"annotations": {"volume.kubernetes.io/selected-node": "a"}}, "spec": {"storageClassName": "made"},
    });
    let own = promised();
    let waiting = tokio::spawn(async move { own.pre_bind().await });
    tokio::task::yield_now().await;
    claim(&cluster, "c", "1Gi", chosen);
    tokio::task::yield_now().await;
    claim(&cluster, "c", "1Gi", json!({"spec": {"storageClassName": "made"}}));
    let reset = waiting.await.unwrap().unwrap_err();
    assert_eq!(reset.reasons, ["binding volumes: selectedNode annotation reset for PVC \"c\""]);
    let own = promised();
    let waiting = tokio::spawn(async move { own.pre_bind().await });
    tokio::task::yield_now().await;
    claim(&cluster, "c", "1Gi", bound("v"));
    waiting.await.unwrap().unwrap();
    assert_eq!(storage.promised_node(&component::informer::ObjectKey::new("ns", "c")), None);
}

#[test]
fn what_is_settled_needs_no_promise() {
    let mut cluster = cluster();
    volume(&cluster, "v", "1Gi", "b", json!({}));
    claim(&cluster, "c", "1Gi", bound("v"));
    claim(&cluster, "d", "1Gi", json!({}));
    cluster.fits(&pod(&["c"]));
    let plugin = VolumeBinding::new(super::Args::default(), &api_types::field::Path::default()).unwrap();
    let reserve = |name: &str| {
        with_candidate(&pod(&[name]), |candidate| {
            plugin.reserve(candidate, cluster.snapshot.node("b").unwrap(), &cluster.snapshot)
        })
    };
    assert!(reserve("c").unwrap().is_none());
    let first = reserve("d").unwrap().unwrap();
    assert!(reserve("d").is_err());
    drop(first);
    assert!(reserve("d").unwrap().is_some());
}
