//! Slices of endpoints that were written by hand.

use api_types::{
    core::{Endpoints, Service},
    discovery::EndpointSlice,
};
use component::informer::Store;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::Cluster;

/// The addresses and ports of the mirrors of `web`.
fn mirrored(slices: &Store<EndpointSlice>) -> String {
    let slices = slices.list();
    let of_web = slices.iter().filter(|slice| {
        let label = |key: &str| slice.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        label("kubernetes.io/service-name").as_deref() == Some("web")
            && label("endpointslice.kubernetes.io/managed-by").as_deref()
                == Some("endpointslicemirroring-controller.k8s.io")
    });
    let text = |slice: &EndpointSlice| {
        let addresses: Vec<String> =
            slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect();
        let ports: Vec<String> = slice.ports.iter().flatten().map(|port| port.port.unwrap().to_string()).collect();
        format!("{}:{}", addresses.join(","), ports.join(","))
    };
    of_web.map(|slice| text(slice)).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_without_a_selector_are_mirrored() {
    let mut cluster = Cluster::start("--leader-elect=false --controllers=endpointslicemirroring").await;
    let is = |expected: &'static str| move |slices: &Store<EndpointSlice>| mirrored(slices) == expected;
    cluster
        .create::<Service>(json!({
            "metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [{"port": 80}]},
        }))
        .await;
    cluster
        .create::<Endpoints>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 9376}]}],
        }))
        .await;
    cluster.until("a mirror", is("10.1.2.3:9376")).await;
    let changed = json!({"subsets": [{"addresses": [{"ip": "10.2.3.4"}], "ports": [{"port": 9377}]}]});
    cluster.patch::<Endpoints>("web", changed).await;
    cluster.until("a changed mirror", is("10.2.3.4:9377")).await;

    let skipped = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}});
    cluster.patch::<Endpoints>("web", skipped).await;
    cluster.until("no mirror of what is to be skipped", is("")).await;
    let mirrored = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": null}}});
    cluster.patch::<Endpoints>("web", mirrored).await;
    cluster.until_despite_restarts("a mirror again", is("10.2.3.4:9377")).await;
    cluster.patch::<Service>("web", json!({"spec": {"selector": {"app": "web"}}})).await;
    cluster.until("no mirror beside a selector", is("")).await;
    cluster.patch::<Service>("web", json!({"spec": {"selector": null}})).await;
    cluster.until("a mirror for the third time", is("10.2.3.4:9377")).await;
    cluster.api::<Endpoints>().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.until_despite_restarts("no mirror of nothing", is("")).await;
}
