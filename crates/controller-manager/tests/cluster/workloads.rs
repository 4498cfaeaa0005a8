//! Deployments, replication controllers, services.

use api_types::{
    apps::{Deployment, ReplicaSet},
    core::{Endpoints, Pod, ReplicationController, Service},
    discovery::EndpointSlice,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{Cluster, key, template};

const REVISION: &str = "deployment.kubernetes.io/revision";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_out_scales_and_rolls_back() {
    let cluster = Cluster::start("--leader-elect=false").await;
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    cluster.create_deployment(strategy).await;
    cluster.until_rolled_out(3, "v1").await;
    cluster.until_event("ScalingReplicaSet", |message| message.ends_with("from 0 to 3")).await;
    cluster.until_event("SuccessfulCreate", |message| message.starts_with("Created pod: web-")).await;

    cluster.patch_deployment(json!({"spec": {"template": template("v2")}})).await;
    cluster.until_rolled_out(3, "v2").await;
    cluster.patch_deployment(json!({"spec": {"replicas": 5}})).await;
    cluster.until_rolled_out(5, "v2").await;
    cluster.patch_deployment(json!({"spec": {"template": template("v1")}})).await;
    cluster.until_rolled_out(5, "v1").await;

    cluster
        .until::<ReplicaSet>("two sets with revisions 2 and 3", |sets| {
            let annotation = |set: &ReplicaSet| set.metadata.annotations.as_ref().unwrap()[REVISION].clone();
            let mut revisions: Vec<String> = sets.list().iter().map(|set| annotation(set)).collect();
            revisions.sort();
            revisions == ["2", "3"]
        })
        .await;
    cluster
        .until::<Deployment>("the new set is available", |deployments| {
            let deployment = deployments.get(&key("web")).unwrap();
            let status = deployment.status.clone().unwrap();
            let reason = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind)?.reason.clone();
            deployment.metadata.annotations.as_ref().unwrap()[REVISION] == "3"
                && reason("Progressing").as_deref() == Some("NewReplicaSetAvailable")
                && reason("Available").as_deref() == Some("MinimumReplicasAvailable")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreation_has_no_old_pods_beside_new_ones() {
    let cluster = Cluster::start("--leader-elect=false").await;
    cluster.create_deployment(json!({"type": "Recreate"})).await;
    cluster.until_rolled_out(3, "v1").await;
    cluster.patch_deployment(json!({"spec": {"template": template("v2")}})).await;
    cluster.until_rolled_out(3, "v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let cluster = Cluster::start("--leader-elect=false").await;
    cluster.create_deployment(json!({})).await;
    cluster.until_rolled_out(3, "v1").await;
    cluster.patch_deployment(json!({"spec": {"paused": true, "replicas": 4, "template": template("v2")}})).await;
    cluster
        .until::<Pod>("four old pods", |pods| {
            let pods = pods.list();
            pods.len() == 4
                && pods.iter().all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("v1"))
        })
        .await;
    cluster.patch_deployment(json!({"spec": {"paused": false}})).await;
    cluster.until_rolled_out(4, "v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_controller_keeps_and_adopts_pods() {
    let cluster = Cluster::start("--leader-elect=false").await;
    let mut orphan = template("v1");
    orphan["metadata"]["name"] = "orphan".into();
    orphan["metadata"]["namespace"] = "default".into();
    cluster.create::<Pod>(orphan).await;
    cluster
        .create::<ReplicationController>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"app": "web"}, "template": template("v1")},
        }))
        .await;
    let ready = |count: usize| {
        move |controllers: &component::informer::Store<ReplicationController>| {
            let status = controllers.get(&key("web")).and_then(|controller| controller.status.clone());
            status.is_some_and(|status| status.ready_replicas == i32::try_from(count).ok())
        }
    };
    cluster.until("two pods", ready(2)).await;
    cluster
        .until::<Pod>("the orphan is one of two", |pods| {
            let owned =
                |pod: &Pod| pod.metadata.owner_references.as_ref().is_some_and(|owners| owners[0].name == "web");
            pods.len() == 2 && pods.list().iter().all(|pod| owned(pod))
        })
        .await;
    cluster.api::<Pod>().delete("orphan", &DeleteParams::default()).await.unwrap();
    cluster.until::<Pod>("a replacement", |pods| pods.len() == 2 && pods.get(&key("orphan")).is_none()).await;
    // A pod whose labels change is let go.
    let pods = cluster.api::<Pod>();
    let name = pods.list(&Default::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "mine"}}}));
    pods.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    cluster
        .until::<Pod>("the pod is released and replaced", |pods| {
            let released = pods
                .get(&key(&name))
                .is_some_and(|pod| pod.metadata.owner_references.as_ref().is_none_or(Vec::is_empty));
            released && pods.len() == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_endpoints_and_slices() {
    let cluster = Cluster::start("--leader-elect=false").await;
    cluster.create_deployment(json!({})).await;
    cluster
        .create::<Service>(json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"team": "a"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        }))
        .await;
    cluster
        .until::<Endpoints>("three addresses", |endpoints| {
            let subsets =
                endpoints.get(&key("web")).and_then(|endpoints| endpoints.subsets.clone()).unwrap_or_default();
            subsets.len() == 1
                && subsets[0].addresses.as_ref().is_some_and(|addresses| addresses.len() == 3)
                && subsets[0].ports.as_ref().unwrap()[0].port == 8080
        })
        .await;
    let ready = |slices: &component::informer::Store<EndpointSlice>| {
        let slices = slices.list();
        let of_web = slices.iter().filter(|slice| {
            slice
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get("kubernetes.io/service-name"))
                .is_some_and(|name| name == "web")
        });
        of_web
            .flat_map(|slice| slice.endpoints.clone().unwrap_or_default())
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true))
            .count()
    };
    cluster.until("three ready endpoints", |slices| ready(slices) == 3).await;
    cluster.patch_deployment(json!({"spec": {"replicas": 1}})).await;
    cluster.until("one ready endpoint", |slices| ready(slices) == 1).await;
    cluster.api::<Service>().delete("web", &DeleteParams::default()).await.unwrap();
    cluster
        .until("no endpoints", |endpoints: &component::informer::Store<Endpoints>| endpoints.get(&key("web")).is_none())
        .await;
    cluster.until("no slices", |slices| ready(slices) == 0).await;
}
