//! Ranges of cluster IPs that are in use.

use api_types::{core::Service, networking::ServiceCIDR};
use controller_manager::slim::ServiceCidr;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::harness::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_range_goes_with_its_last_service() {
    let cluster = Cluster::start("").await;
    let ranges: Api<ServiceCIDR> = Api::all(cluster.client.clone());
    let own =
        serde_json::from_value(json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.77.0.0/29"]}})).unwrap();
    ranges.create(&Default::default(), &own).await.unwrap();
    let find = |all: &component::informer::Store<ServiceCidr>| all.list().into_iter().find(|own| own.name() == "more");
    let kept = |own: &ServiceCidr| own.metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
    let ready = |own: &ServiceCidr| own.condition("Ready") == Some("True");
    cluster.until::<ServiceCidr>("it is ready", |all| find(all).is_some_and(|own| kept(&own) && ready(&own))).await;
    let service = json!({"metadata": {"name": "s", "namespace": "default"},
        "spec": {"clusterIP": "10.77.0.3", "ports": [{"port": 80}]}});
    cluster.create::<Service>(service).await;
    ranges.delete("more", &DeleteParams::default()).await.unwrap();
    let waits = |own: &ServiceCidr| own.condition("Ready") == Some("False");
    cluster.until::<ServiceCidr>("it waits", |all| find(all).is_some_and(|own| waits(&own))).await;
    cluster.api::<Service>().delete("s", &DeleteParams::default()).await.unwrap();
    cluster.until::<ServiceCidr>("it goes", |all| find(all).is_none()).await;
}
