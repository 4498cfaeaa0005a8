//! Claims to devices.

use api_types::{
    core::Pod,
    devices::{ResourceClaim, ResourceClaimTemplate},
};
use component::informer::Store;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::harness::{Cluster, key};

/// The claim that a pod was told of.
fn told(pods: &Store<Pod>) -> Option<String> {
    let pod = pods.get(&key("p"))?;
    pod.status.as_ref()?.resource_claim_statuses.as_ref()?.first()?.resource_claim_name.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_from_a_template_lives_as_long_as_its_pod() {
    let cluster = Cluster::start("").await;
    let spec = json!({"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0,
        "resourceClaims": [{"name": "x", "resourceClaimTemplateName": "t"}]});
    let metadata = json!({"name": "p", "namespace": "default"});
    let pod: Pod = cluster.create(json!({"metadata": metadata, "spec": spec})).await;
    cluster
        .until_event("FailedResourceClaimCreation", |message| {
            message == "PodResourceClaim x: resourceclaimtemplates.resource.k8s.io \"t\" not found"
        })
        .await;
    let spec = json!({"metadata": {"labels": {"l": "1"}}, "spec": {"devices": {"requests": [
        {"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}});
    let metadata = json!({"name": "t", "namespace": "default"});
    cluster.create::<ResourceClaimTemplate>(json!({"metadata": metadata, "spec": spec})).await;
    cluster.until::<Pod>("the claim", |pods| told(pods).is_some()).await;
    let name = told(cluster.informers.of::<Pod>().store()).unwrap();
    assert!(name.starts_with("p-x-"), "{name}");
    let claims: Api<ResourceClaim> = cluster.api();
    let claim = claims.get(&name).await.unwrap();
    assert_eq!(claim.metadata.labels.unwrap()["l"], "1");
    // As the scheduler does it.
    let finalizers = json!({"metadata": {"finalizers": ["resource.kubernetes.io/delete-protection"]}});
    claims.patch(&name, &PatchParams::default(), &Patch::Merge(finalizers)).await.unwrap();
    let user = json!({"resource": "pods", "name": "p", "uid": pod.metadata.uid});
    let status = Patch::Merge(json!({"status": {"allocation": {}, "reservedFor": [user]}}));
    claims.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
    cluster.api::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
    cluster.until::<ResourceClaim>("the end of the claim", |claims| claims.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_that_are_done_are_struck_off() {
    let mut cluster = Cluster::start("").await;
    let requests = json!([{"name": "r", "exactly": {"deviceClassName": "gpu"}}]);
    let finalizer = "resource.kubernetes.io/delete-protection";
    let metadata = json!({"name": "c", "namespace": "default", "finalizers": [finalizer]});
    let spec = json!({"devices": {"requests": requests}});
    cluster.create::<ResourceClaim>(json!({"metadata": metadata, "spec": spec})).await;
    let claims: Api<ResourceClaim> = cluster.api();
    let mut users = vec![json!({"resource": "pods", "name": "gone", "uid": "gone"})];
    for name in ["p", "q"] {
        let spec = json!({"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0,
            "resourceClaims": [{"name": "x", "resourceClaimName": "c"}]});
        let metadata = json!({"name": name, "namespace": "default"});
        let pod: Pod = cluster.create(json!({"metadata": metadata, "spec": spec})).await;
        users.push(json!({"resource": "pods", "name": name, "uid": pod.metadata.uid}));
    }
    let status = Patch::Merge(json!({"status": {"allocation": {}, "reservedFor": users}}));
    claims.patch_status("c", &PatchParams::default(), &status).await.unwrap();
    let users = |claims: &Store<ResourceClaim>| -> Vec<String> {
        let status = claims.get(&key("c")).unwrap().status.clone().unwrap_or_default();
        status.reserved_for.into_iter().flatten().map(|user| user.name).collect()
    };
    cluster.until::<ResourceClaim>("one is not there", |claims| users(claims) == ["p", "q"]).await;
    cluster.patch_pod_status("p", json!({"phase": "Succeeded"})).await;
    cluster.until_despite_restarts::<ResourceClaim>("one is over", |claims| users(claims) == ["q"]).await;
    assert!(claims.get("c").await.unwrap().status.unwrap().allocation.is_some());
    cluster.api::<Pod>().delete("q", &DeleteParams::default()).await.unwrap();
    cluster
        .until::<ResourceClaim>("the devices are free", |claims| {
            let claim = claims.get(&key("c")).unwrap();
            let status = claim.status.clone().unwrap_or_default();
            status.allocation.is_none() && claim.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
        })
        .await;
}
