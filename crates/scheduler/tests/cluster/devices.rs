//! Pods and their claims to devices, against the real API server.

use api_types::devices::{DeviceClass, ResourceClaim, ResourceSlice};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::harness::Cluster;

impl Cluster {
    fn device_claims(&self) -> Api<ResourceClaim> {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn device_class(&self) {
        let class = json!({"metadata": {"name": "gpu"}, "spec": {"selectors": [
            {"cel": {"expression": "device.driver == 'd.io' && device.attributes['d.io'].model == 'new'"}}]}});
        let class: DeviceClass = serde_json::from_value(class).unwrap();
        Api::<DeviceClass>::all(self.client.clone()).create(&PostParams::default(), &class).await.unwrap();
    }

    /// Devices of a node, by model.
    async fn devices(&self, node: &str, models: &[&str]) {
        let device = |(i, model): (usize, &&str)| json!({"name": format!("{node}-{i}"), "attributes": {"model": {"string": model}}});
        let devices: Vec<Value> = models.iter().enumerate().map(device).collect();
        let pool = json!({"name": node, "generation": 1, "resourceSliceCount": 1});
        let spec = json!({"driver": "d.io", "nodeName": node, "pool": pool, "devices": devices});
        let slice: ResourceSlice = serde_json::from_value(json!({"metadata": {"name": node}, "spec": spec})).unwrap();
        Api::<ResourceSlice>::all(self.client.clone()).create(&PostParams::default(), &slice).await.unwrap();
    }

    async fn device_claim(&self, name: &str, count: usize) {
        let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count});
        let spec = json!({"devices": {"requests": [{"name": "r", "exactly": exactly}]}});
        let claim = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.device_claims().create(&PostParams::default(), &claim).await.unwrap();
    }

    async fn pod_with_claim(&self, name: &str, claim: &str) {
        self.pod(name, json!({"resourceClaims": [{"name": "x", "resourceClaimName": claim}]})).await;
    }

    /// The devices of a claim, and its users.
    async fn has(&self, claim: &str) -> (Vec<String>, Vec<String>) {
        let claim = self.device_claims().get(claim).await.unwrap();
        assert_eq!(claim.metadata.finalizers.unwrap(), ["resource.kubernetes.io/delete-protection"]);
        let status = claim.status.unwrap();
        let results = status.allocation.unwrap().devices.unwrap().results.unwrap();
        let users = status.reserved_for.unwrap();
        (results.into_iter().map(|own| own.device).collect(), users.into_iter().map(|own| own.name).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_get_devices_of_the_pods_node() {
    let cluster = Cluster::start().await;
    for node in ["a", "b"] {
        cluster.node(node, "z", "8").await;
    }
    cluster.device_class().await;
    cluster.device_claim("two", 2).await;
    cluster.schedule(cluster.client.clone(), &[]).await;
    cluster.pod_with_claim("p", "two").await;
    cluster.until_rejected("p", "0/2 nodes are available: 2 cannot allocate all claims.").await;
    // Devices that come wake the pod.
    cluster.devices("a", &["old", "new"]).await;
    cluster.devices("b", &["new", "old", "new"]).await;
    assert_eq!(cluster.until_placed("p").await, "b");
    assert_eq!(cluster.has("two").await, (vec!["b-0".to_owned(), "b-2".to_owned()], vec!["p".to_owned()]));
    // Who shares a claim goes to the same node.
    cluster.pod_with_claim("q", "two").await;
    assert_eq!(cluster.until_placed("q").await, "b");
    assert_eq!(cluster.has("two").await.1, ["p", "q"]);
    cluster.pod_with_claim("late", "none").await;
    cluster.until_rejected("late", "0/2 nodes are available: resourceclaim \"none\" not found.").await;
    cluster.device_claim("none", 1).await;
    assert_eq!(cluster.until_placed("late").await, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_device_is_given_twice() {
    let cluster = Cluster::start().await;
    cluster.node("a", "z", "80").await;
    cluster.device_class().await;
    cluster.devices("a", &["new"; 8]).await;
    cluster.schedule(cluster.client.clone(), &[]).await;
    for i in 0..8 {
        cluster.device_claim(&format!("c{i}"), 1).await;
    }
    for i in 0..8 {
        cluster.pod_with_claim(&format!("p{i}"), &format!("c{i}")).await;
    }
    let mut given = Vec::new();
    for i in 0..8 {
        cluster.until_placed(&format!("p{i}")).await;
        given.extend(cluster.has(&format!("c{i}")).await.0);
    }
    given.sort();
    assert_eq!(given, (0..8).map(|i| format!("a-{i}")).collect::<Vec<_>>());
    cluster.device_claim("more", 1).await;
    cluster.pod_with_claim("more", "more").await;
    cluster.until_rejected("more", "0/1 nodes are available: 1 cannot allocate all claims.").await;
}
