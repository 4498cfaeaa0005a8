//! What goes when its owner or its namespace goes.

use api_types::{
    apps::{Deployment, ReplicaSet},
    core::{ConfigMap, Namespace, Pod, ServiceAccount},
};
use component::informer::{ObjectKey, Store};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PropagationPolicy},
};
use serde_json::json;

use crate::harness::{Cluster, key, template};

async fn delete_deployment(cluster: &Cluster, policy: PropagationPolicy) {
    cluster.create_deployment(json!({})).await;
    cluster.until_rolled_out(3, "v1").await;
    let parameters = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    cluster.api::<Deployment>().delete("web", &parameters).await.unwrap();
    cluster.until::<Deployment>("the deployment is gone", |deployments| deployments.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn background_and_foreground_deletion_take_everything() {
    let cluster = Cluster::start("--leader-elect=false").await;
    delete_deployment(&cluster, PropagationPolicy::Background).await;
    cluster.until::<ReplicaSet>("no replica set", |sets| sets.is_empty()).await;
    cluster.until::<Pod>("no pod", |pods| pods.is_empty()).await;

    delete_deployment(&cluster, PropagationPolicy::Foreground).await;
    // The deployment went last, so the server has nothing any more.
    assert!(cluster.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items.is_empty());
    assert!(cluster.api::<Pod>().list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_stay() {
    let cluster = Cluster::start("--leader-elect=false").await;
    delete_deployment(&cluster, PropagationPolicy::Orphan).await;
    cluster
        .until::<ReplicaSet>("a replica set without owner", |sets| {
            sets.len() == 1 && sets.list()[0].metadata.owner_references.as_ref().is_none_or(Vec::is_empty)
        })
        .await;
    cluster.until::<Pod>("three pods", |pods| pods.len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_never_was_is_noticed() {
    let cluster = Cluster::start("--leader-elect=false").await;
    let owner =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"});
    let mut pod = template("v1");
    pod["metadata"]["name"] = "lost".into();
    pod["metadata"]["namespace"] = "default".into();
    pod["metadata"]["ownerReferences"] = json!([owner]);
    cluster.create::<Pod>(pod).await;
    cluster.until::<Pod>("the pod is collected", |pods| pods.get(&key("lost")).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_it_holds() {
    let cluster = Cluster::start("--leader-elect=false").await;
    cluster.create::<Namespace>(json!({"metadata": {"name": "shop"}})).await;
    let account = ObjectKey::new("shop", "default");
    cluster.until::<ServiceAccount>("a default account", |accounts| accounts.get(&account).is_some()).await;
    // However long a pod may take to end: none of these has a node on which it could.
    for (name, grace) in [("a", 30), ("b", i64::MAX)] {
        let mut pod = template("v1");
        pod["metadata"]["name"] = name.into();
        pod["metadata"]["namespace"] = "shop".into();
        pod["spec"]["terminationGracePeriodSeconds"] = grace.into();
        cluster.create::<Pod>(pod).await;
        cluster.create::<ConfigMap>(json!({"metadata": {"name": name, "namespace": "shop"}})).await;
    }
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    let gone = |namespaces: &Store<Namespace>| namespaces.get(&ObjectKey::new("", "shop")).is_none();
    cluster.until("the namespace is gone", gone).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "shop");
    assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
}
