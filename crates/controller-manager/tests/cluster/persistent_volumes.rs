//! Claims get volumes.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    core::{Node, PersistentVolume, PersistentVolumeClaim, Pod},
    storage::StorageClass,
};
use component::informer::{ObjectKey, Store};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::harness::{Cluster, key};

type Claims = Store<PersistentVolumeClaim>;
type Volumes = Store<PersistentVolume>;

fn volume(name: &str, size: &str, spec: Value) -> Value {
    let mut own = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}});
    own.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": own})
}

fn claim(name: &str, size: &str, spec: Value) -> Value {
    let mut own =
        json!({"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"], "storageClassName": ""});
    own.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": own})
}

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    let annotations = json!({"storageclass.kubernetes.io/is-default-class": "false"});
    json!({"metadata": {"name": name, "annotations": annotations}, "provisioner": provisioner, "volumeBindingMode": mode,
        "allowVolumeExpansion": true})
}

fn phase_of(volumes: &Volumes, name: &str) -> Option<String> {
    volumes.get(&ObjectKey::new("", name))?.status.clone()?.phase
}

/// Phase of a claim, and its volume.
fn state_of(claims: &Claims, name: &str) -> Option<(String, String)> {
    let claim = claims.get(&key(name))?;
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
    Some((claim.status.as_ref()?.phase.clone()?, volume))
}

fn annotation(claims: &Claims, name: &str, key_of: &str) -> Option<String> {
    claims.get(&key(name))?.metadata.annotations.as_ref()?.get(key_of).cloned()
}

impl Cluster {
    async fn volume(&self, name: &str, size: &str, spec: Value) {
        self.create::<PersistentVolume>(volume(name, size, spec)).await;
    }

    async fn claim(&self, name: &str, size: &str, spec: Value) {
        self.create::<PersistentVolumeClaim>(claim(name, size, spec)).await;
    }

    async fn until_bound(&self, claim: &str, volume: &str) {
        self.until::<PersistentVolumeClaim>("the claim's binding", |claims| {
            state_of(claims, claim) == Some(("Bound".to_owned(), volume.to_owned()))
        })
        .await;
        self.until_phase(volume, "Bound").await;
    }

    async fn until_phase(&self, volume: &str, phase: &str) {
        self.until::<PersistentVolume>(phase, |volumes| phase_of(volumes, volume).as_deref() == Some(phase)).await;
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    async fn patch_volume(&self, name: &str, patch: Value) {
        self.volumes().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn delete_claim(&self, name: &str) {
        self.api::<PersistentVolumeClaim>().delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gets_the_smallest_volume_and_leaves_it_behind() {
    let cluster = Cluster::start("").await;
    cluster.volume("large", "9Gi", json!({})).await;
    cluster.volume("small", "1Gi", json!({})).await;
    cluster.until_phase("small", "Available").await;
    cluster.until_phase("large", "Available").await;
    cluster.claim("first", "1Gi", json!({})).await;
    cluster.until_bound("first", "small").await;
    cluster.claim("second", "2Gi", json!({})).await;
    cluster.until_bound("second", "large").await;
    let claim = cluster.informers.of::<PersistentVolumeClaim>().store().get(&key("second")).unwrap();
    let status = serde_json::to_value(claim.status.as_ref().unwrap()).unwrap();
    assert_eq!((&status["capacity"]["storage"], &status["accessModes"]), (&json!("9Gi"), &json!(["ReadWriteOnce"])));
    cluster.claim("third", "2Gi", json!({})).await;
    cluster.until_event("FailedBinding", |message| message.starts_with("no persistent volumes available")).await;
    // It waits for what comes.
    cluster.volume("late", "2Gi", json!({})).await;
    cluster.until_bound("third", "late").await;
    cluster.delete_claim("first").await;
    cluster.until_phase("small", "Released").await;
    let small = cluster.informers.of::<PersistentVolume>().store().get(&ObjectKey::new("", "small")).unwrap();
    assert!(small.status.as_ref().unwrap().last_phase_transition_time.is_some());
    // Somebody has looked at what is on it, and frees it.
    cluster.patch_volume("small", json!({"spec": {"claimRef": null}})).await;
    cluster.until_phase("small", "Available").await;
    // A volume that goes all the same takes its claim's data along.
    cluster.volumes().delete("large", &DeleteParams::default()).await.unwrap();
    cluster.patch_volume("large", json!({"metadata": {"finalizers": null}})).await;
    cluster.until_event("ClaimLost", |_| true).await;
    cluster
        .until::<PersistentVolumeClaim>("the loss", |claims| {
            state_of(claims, "second").is_some_and(|(phase, _)| phase == "Lost")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_can_name_the_other() {
    let cluster = Cluster::start("").await;
    cluster.volume("by-volume", "9Gi", json!({"claimRef": {"namespace": "default", "name": "a"}})).await;
    cluster.volume("by-claim", "9Gi", json!({})).await;
    cluster.volume("other", "1Gi", json!({})).await;
    for volume in ["by-volume", "by-claim", "other"] {
        cluster.until_phase(volume, "Available").await;
    }
    cluster.claim("b", "1Gi", json!({"volumeName": "by-claim"})).await;
    cluster.claim("a", "1Gi", json!({})).await;
    cluster.until_bound("a", "by-volume").await;
    cluster.until_bound("b", "by-claim").await;
    cluster.claim("c", "1Gi", json!({"volumeName": "by-claim"})).await;
    cluster
        .until_event("FailedBinding", |message| message == "volume \"by-claim\" already bound to a different claim.")
        .await;
    cluster.claim("d", "5Gi", json!({"volumeName": "other"})).await;
    cluster.until_event("VolumeMismatch", |message| message.ends_with("requested PV is too small")).await;
    // By name once more for another claim of the same name.
    cluster.delete_claim("a").await;
    cluster.until_phase("by-volume", "Released").await;
    assert!(!cluster.informers.of::<PersistentVolume>().store().list().iter().any(|volume| {
        volume.metadata.name.as_deref() == Some("by-volume") && volume.metadata.annotations.is_some()
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_wait_for_pods_and_ask_provisioners() {
    let cluster = Cluster::start("").await;
    cluster.create::<StorageClass>(class("later", "example.com/p", "WaitForFirstConsumer")).await;
    cluster.create::<StorageClass>(class("now", "example.com/q", "Immediate")).await;
    cluster.volume("free", "1Gi", json!({"storageClassName": "later"})).await;
    cluster.until_phase("free", "Available").await;
    cluster.claim("waits", "1Gi", json!({"storageClassName": "later"})).await;
    cluster.until_event("WaitForFirstConsumer", |_| true).await;
    const ASKED: &str = "volume.kubernetes.io/storage-provisioner";
    let selected = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    cluster.patch::<PersistentVolumeClaim>("waits", selected).await;
    let asked = |claims: &Claims| annotation(claims, "waits", ASKED).as_deref() == Some("example.com/p");
    cluster.until::<PersistentVolumeClaim>("the request", asked).await;
    cluster.claim("asks", "1Gi", json!({"storageClassName": "now"})).await;
    cluster.until_event("ExternalProvisioning", |message| message.contains("'example.com/q'")).await;
    cluster.claim("nothing", "1Gi", json!({"storageClassName": "absent"})).await;
    let absent = |message: &str| message == "storageclass.storage.k8s.io \"absent\" not found";
    cluster.until_event("ProvisioningFailed", absent).await;
    // A class that comes, or becomes the default one, is noticed by those who wait for it.
    cluster.claim("any", "1Gi", json!({"storageClassName": null})).await;
    cluster.create::<StorageClass>(class("absent", "example.com/r", "Immediate")).await;
    let found = |claims: &Claims| annotation(claims, "nothing", ASKED).as_deref() == Some("example.com/r");
    cluster.until::<PersistentVolumeClaim>("the class", found).await;
    let default = json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    let classes: Api<StorageClass> = Api::all(cluster.client.clone());
    classes.patch("now", &PatchParams::default(), &Patch::Merge(default)).await.unwrap();
    let given = |claims: &Claims| annotation(claims, "any", ASKED).as_deref() == Some("example.com/q");
    cluster.until::<PersistentVolumeClaim>("the default class", given).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_volume_has_two_claims_whenever_the_controllers_end() {
    const CLAIMS: usize = 24;
    const VOLUMES: usize = 20;
    let mut cluster = Cluster::start("").await;
    for number in 0..CLAIMS.max(VOLUMES) {
        if number < VOLUMES {
            cluster.volume(&format!("v{number}"), "1Gi", json!({})).await;
        }
        if number < CLAIMS {
            cluster.claim(&format!("c{number}"), "1Gi", json!({})).await;
        }
    }
    let bound = |claims: &Claims| -> Vec<String> {
        let states = (0..CLAIMS).filter_map(|number| state_of(claims, &format!("c{number}")));
        states.filter(|(phase, _)| phase == "Bound").map(|(_, volume)| volume).collect()
    };
    cluster
        .until_despite_restarts::<PersistentVolumeClaim>("the bindings", |claims| {
            let all = bound(claims);
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
            all.len() == VOLUMES
        })
        .await;
    // Every volume's claim is the one that names it.
    cluster
        .until::<PersistentVolume>("the volumes' side", |volumes| {
            let claims = cluster.informers.of::<PersistentVolumeClaim>();
            let named: BTreeMap<String, String> = (0..CLAIMS)
                .filter_map(|number| Some((state_of(claims.store(), &format!("c{number}"))?.1, format!("c{number}"))))
                .collect();
            volumes.list().iter().all(|volume| {
                let owner = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.name.clone());
                owner.as_ref() == named.get(volume.metadata.name.as_deref().unwrap())
                    && phase_of(volumes, volume.metadata.name.as_deref().unwrap()).as_deref() == Some("Bound")
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_volumes_come_grow_and_go() {
    let cluster = Cluster::start("").await;
    cluster.create::<StorageClass>(class("local-path", "ferrokube.io/local-path", "WaitForFirstConsumer")).await;
    let metadata = json!({
        "name": "n", "labels": {"kubernetes.io/hostname": "n"}, "annotations": {"ferrokube.io/local-volumes": "/var/v"},
    });
    cluster.create::<Node>(json!({"metadata": metadata})).await;
    cluster.claim("c", "1Gi", json!({"storageClassName": "local-path"})).await;
    let selected = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    cluster.patch::<PersistentVolumeClaim>("c", selected).await;
    let claim = cluster.api::<PersistentVolumeClaim>().get("c").await.unwrap();
    let volume = format!("pvc-{}", claim.metadata.uid.unwrap());
    cluster.until_bound("c", &volume).await;
    cluster.until_event("ProvisioningSucceeded", |message| message.ends_with(&volume)).await;
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    cluster.patch::<PersistentVolumeClaim>("c", more).await;
    cluster
        .until::<PersistentVolumeClaim>("the growth", |claims| {
            let status = claims.get(&key("c")).and_then(|claim| claim.status.clone()).unwrap_or_default();
            status.capacity.is_some_and(|capacity| capacity["storage"].0 == "2Gi")
        })
        .await;
    cluster.delete_claim("c").await;
    // Its directory can be taken away by nobody else than this kubelet, which is not there.
    cluster.until_event("VolumeFailedDelete", |_| true).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.delete("n", &DeleteParams::default()).await.unwrap();
    cluster.until::<PersistentVolume>("the volume's end", Store::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_node_has_no_directory_is_given_back() {
    let cluster = Cluster::start("").await;
    cluster.create::<StorageClass>(class("local-path", "ferrokube.io/local-path", "WaitForFirstConsumer")).await;
    cluster.create::<Node>(json!({"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}})).await;
    cluster.claim("c", "1Gi", json!({"storageClassName": "local-path"})).await;
    let selected = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    cluster.patch::<PersistentVolumeClaim>("c", selected).await;
    cluster.until_event("ProvisioningFailed", |message| message.ends_with("has no directory for local volumes")).await;
    cluster
        .until::<PersistentVolumeClaim>("another choice", |claims| {
            annotation(claims, "c", "volume.kubernetes.io/selected-node").is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_have_volumes_of_their_own() {
    let cluster = Cluster::start("").await;
    let template = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let pod = |name: &str| {
        json!({"metadata": {"name": name, "namespace": "default"}, "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}],
        }})
    };
    let own: Pod = cluster.create(pod("p")).await;
    cluster.until::<PersistentVolumeClaim>("the claim", |claims| claims.get(&key("p-v")).is_some()).await;
    let claim = cluster.api::<PersistentVolumeClaim>().get("p-v").await.unwrap();
    let owner = &claim.metadata.owner_references.unwrap()[0];
    assert_eq!((Some(&owner.uid), owner.controller), (own.metadata.uid.as_ref(), Some(true)));
    assert_eq!(claim.metadata.labels.unwrap()["a"], "b");
    // Somebody else's is not taken.
    cluster.claim("q-v", "1Gi", json!({})).await;
    cluster.until::<PersistentVolumeClaim>("the other claim", |claims| claims.get(&key("q-v")).is_some()).await;
    cluster.create::<Pod>(pod("q")).await;
    let why = "ephemeral volume v: PVC default/q-v was not created for pod default/q (pod is not owner)";
    cluster.until_event("FailedBinding", |message| message == why).await;
    cluster.api::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
    cluster.until::<PersistentVolumeClaim>("the claim's end", |claims| claims.get(&key("p-v")).is_none()).await;
}
