//! Stateful sets.

use api_types::{
    apps::{ControllerRevision, StatefulSet, StatefulSetStatus},
    core::{PersistentVolumeClaim, Pod},
};
use component::informer::Store;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, key, template};

const CONTROLLERS: &str = "--leader-elect=false --controllers=statefulset,pvc-protection,garbagecollector";

async fn create_set(cluster: &Cluster, replicas: i32, changes: Value) {
    let mut set = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("v1"),
        },
    });
    for (name, value) in changes.as_object().unwrap() {
        set["spec"][name] = value.clone();
    }
    cluster.create::<StatefulSet>(set).await;
}

fn status(sets: &Store<StatefulSet>) -> Option<StatefulSetStatus> {
    let set = sets.get(&key("web"))?;
    set.status.clone().filter(|status| status.observed_generation == set.metadata.generation)
}

/// So many pods are there and available, all of the newest template.
fn rolled_out(replicas: i32) -> impl Fn(&Store<StatefulSet>) -> bool {
    move |sets| {
        status(sets).is_some_and(|status| {
            status.replicas == replicas
                && status.available_replicas == Some(replicas)
                && status.updated_replicas.unwrap_or(0) == replicas
                && status.current_revision == status.update_revision
        })
    }
}

fn images(pods: &Store<Pod>) -> Vec<(String, String)> {
    let image = |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
    pods.list().iter().map(|pod| (pod.metadata.name.clone().unwrap(), image(pod))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_have_names_and_claims() {
    let cluster = Cluster::start(CONTROLLERS).await;
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}},
    }});
    let policy = json!({"whenScaled": "Delete", "whenDeleted": "Retain"});
    let changes = json!({
        "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy, "ordinals": {"start": 3},
    });
    create_set(&cluster, 2, changes).await;
    cluster.until("two pods", rolled_out(2)).await;
    let created = |message: &str| message == "create Claim data-web-3 Pod web-3 in StatefulSet web success";
    cluster.until_event("SuccessfulCreate", created).await;
    cluster
        .until_event("SuccessfulCreate", |message| message == "create Pod web-4 in StatefulSet web successful")
        .await;
    let pod = cluster.informers.of::<Pod>().store().get(&key("web-4")).unwrap();
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("web-4"), Some("web")));
    let labels = pod.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "4");
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "web-4");
    let revisions = cluster.informers.of::<ControllerRevision>().store().list();
    assert_eq!(revisions[0].metadata.name.as_ref(), Some(&labels["controller-revision-hash"]));

    // The claim goes with the pod, and a pod that comes again gets another.
    let uid =
        |claims: &Store<PersistentVolumeClaim>| claims.get(&key("data-web-4")).and_then(|own| own.metadata.uid.clone());
    let first = uid(cluster.informers.of().store());
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 1}})).await;
    cluster.until::<PersistentVolumeClaim>("the claim goes", |claims| uid(claims).is_none()).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 2}})).await;
    cluster.until("two pods again", rolled_out(2)).await;
    assert_ne!(uid(cluster.informers.of().store()), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_stops_at_the_partition_and_a_failed_pod_comes_again() {
    let cluster = Cluster::start(CONTROLLERS).await;
    create_set(&cluster, 3, json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}})).await;
    cluster.until("three pods", rolled_out(3)).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"template": template("v2")}})).await;
    let canary = |pods: &Store<Pod>| {
        images(pods) == [("web-0", "v1"), ("web-1", "v1"), ("web-2", "v2")].map(|(n, i)| (n.to_owned(), i.to_owned()))
    };
    cluster.until::<Pod>("one of three", canary).await;
    cluster
        .until("the status tells both revisions", |sets| {
            status(sets).is_some_and(|status| {
                (status.available_replicas, status.current_replicas, status.updated_replicas)
                    == (Some(3), Some(2), Some(1))
                    && status.current_revision != status.update_revision
            })
        })
        .await;
    let before = cluster.informers.of::<Pod>().store().get(&key("web-0")).unwrap().metadata.uid.clone();
    cluster.patch_pod_status("web-0", json!({"phase": "Failed"})).await;
    cluster
        .until::<Pod>("another of the old template", |pods| {
            pods.get(&key("web-0")).is_some_and(|pod| pod.metadata.uid != before) && canary(pods)
        })
        .await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})).await;
    cluster.until("all are updated", rolled_out(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_cannot_be_created_is_in_no_failed_ones_way() {
    let cluster = Cluster::start(CONTROLLERS).await;
    let mut other = template("v1");
    other["metadata"] = json!({"name": "web-2", "namespace": "default"});
    cluster.create::<Pod>(other).await;
    create_set(&cluster, 3, json!({"podManagementPolicy": "Parallel"})).await;
    let two = |sets: &Store<StatefulSet>| status(sets).is_some_and(|status| status.available_replicas == Some(2));
    cluster.until("those whose names are free", two).await;
    let before = cluster.informers.of::<Pod>().store().get(&key("web-1")).unwrap().metadata.uid.clone();
    cluster.patch_pod_status("web-1", json!({"phase": "Failed"})).await;
    cluster.until::<Pod>("another", |pods| pods.get(&key("web-1")).is_some_and(|pod| pod.metadata.uid != before)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_scale_roll_and_roll_back_while_the_controller_dies() {
    for policy in ["OrderedReady", "Parallel"] {
        let mut cluster = Cluster::start(CONTROLLERS).await;
        create_set(&cluster, 4, json!({"podManagementPolicy": policy})).await;
        cluster.until_despite_restarts("four pods", rolled_out(4)).await;
        cluster.patch::<StatefulSet>("web", json!({"spec": {"template": template("v2")}})).await;
        cluster.until_despite_restarts("an update", rolled_out(4)).await;
        cluster.patch::<StatefulSet>("web", json!({"spec": {"template": template("v1"), "replicas": 2}})).await;
        cluster.until_despite_restarts("back, and smaller", rolled_out(2)).await;
        cluster
            .until::<ControllerRevision>("revisions 2 and 3", |revisions| {
                let mut numbers: Vec<i64> = revisions.list().iter().map(|revision| revision.revision).collect();
                numbers.sort_unstable();
                numbers == [2, 3]
            })
            .await;
        cluster.api::<StatefulSet>().delete("web", &DeleteParams::default()).await.unwrap();
        cluster.until::<Pod>("no pods", |pods| pods.is_empty()).await;
    }
}
