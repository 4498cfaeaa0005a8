//! What is used of quotas.

use api_types::core::{Pod, ResourceQuota};
use component::informer::Store;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Cluster, key, template};

fn used(quotas: &Store<ResourceQuota>) -> Value {
    let status = quotas.get(&key("q")).and_then(|quota| quota.status.clone());
    serde_json::to_value(status.and_then(|status| status.used)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_counted_and_given_back() {
    let cluster = Cluster::start("").await;
    cluster
        .create::<Pod>(json!({"metadata": {"name": "before", "namespace": "default"}, "spec": template("v1")["spec"]}))
        .await;
    let hard = json!({"pods": "3", "count/configmaps": "9", "count/deployments.apps": "9", "services": "5"});
    let quota = json!({"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}});
    cluster.create::<ResourceQuota>(quota).await;
    let expect = |pods: &str, deployments: &str| json!({"pods": pods, "count/configmaps": "0", "count/deployments.apps": deployments, "services": "1"});
    cluster.until::<ResourceQuota>("the count", |quotas| used(quotas) == expect("1", "0")).await;
    // Two of the deployment's three pods still fit.
    cluster.create_deployment(json!({})).await;
    cluster.until::<ResourceQuota>("the charge", |quotas| used(quotas) == expect("3", "1")).await;
    cluster.api::<Pod>().delete("before", &DeleteParams::default()).await.unwrap();
    cluster.until_rolled_out(3, "v1").await;
    cluster.until::<ResourceQuota>("the third pod", |quotas| used(quotas) == expect("3", "1")).await;
}
