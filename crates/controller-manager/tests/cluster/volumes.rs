//! Volumes and claims in use.

use api_types::core::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::harness::{Cluster, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_goes_with_its_last_pod() {
    let cluster = Cluster::start("").await;
    let claim = json!({"metadata": {"name": "c", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim: PersistentVolumeClaim = cluster.create(claim).await;
    assert_eq!(claim.metadata.finalizers, Some(vec!["kubernetes.io/pvc-protection".to_owned()]));
    let spec = json!({"nodeName": "n", "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    cluster.create::<api_types::core::Node>(json!({"metadata": {"name": "n"}})).await;
    cluster.create::<Pod>(json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec})).await;
    let there = |pods: &component::informer::Store<Pod>| pods.get(&key("p")).is_some();
    cluster.until::<Pod>("the pod", there).await;
    cluster.api::<PersistentVolumeClaim>().delete("c", &DeleteParams::default()).await.unwrap();
    cluster
        .until::<PersistentVolumeClaim>("the mark", |claims| {
            claims.get(&key("c")).is_some_and(|claim| claim.metadata.deletion_timestamp.is_some())
        })
        .await;
    cluster.api::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
    cluster.until::<PersistentVolumeClaim>("the end of the claim", |claims| claims.get(&key("c")).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_not_bound_goes() {
    let cluster = Cluster::start("").await;
    let volume = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}});
    let volume: PersistentVolume = cluster.create(volume).await;
    assert_eq!(volume.metadata.finalizers, Some(vec!["kubernetes.io/pv-protection".to_owned()]));
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    volumes.delete("v", &DeleteParams::default()).await.unwrap();
    let gone = |all: &component::informer::Store<PersistentVolume>| all.is_empty();
    cluster.until::<PersistentVolume>("the end of the volume", gone).await;
}
