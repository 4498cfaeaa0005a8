use std::{collections::BTreeSet, io::Write};

use serde_json::{Value, json};

use crate::harness::Cluster;

fn spread(key: &str) -> Value {
    json!({"topologySpreadConstraints": [{"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}}]})
}

fn apart() -> Value {
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}}})
}

#[tokio::test]
async fn pods_are_spread_over_zones() {
    let cluster = Cluster::start().await;
    for (node, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        cluster.node(node, zone, "4").await;
    }
    cluster.schedule(cluster.client.clone(), &[]).await;
    let mut zones = Vec::new();
    for name in ["p1", "p2", "p3", "p4"] {
        cluster.pod(name, spread("zone")).await;
        zones.push(cluster.until_placed(name).await.remove(0));
    }
    assert_eq!(zones.iter().filter(|zone| **zone == 'a').count(), 2, "{zones:?}");
}

#[tokio::test]
async fn pods_that_shun_each_other_wait_until_there_is_room() {
    let cluster = Cluster::start().await;
    for node in ["n1", "n2"] {
        cluster.node(node, "a", "4").await;
    }
    cluster.schedule(cluster.client.clone(), &[]).await;
    let mut nodes = BTreeSet::new();
    for name in ["p1", "p2"] {
        cluster.pod(name, apart()).await;
        nodes.insert(cluster.until_placed(name).await);
    }
    assert_eq!(nodes.len(), 2);
    cluster.pod("p3", apart()).await;
    let message = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.";
    cluster.until_rejected("p3", message).await;
    cluster.delete("p1").await;
    cluster.until_placed("p3").await;
    cluster.pod("p4", apart()).await;
    cluster.until_rejected("p4", message).await;
    cluster.node("n3", "a", "4").await;
    assert_eq!(cluster.until_placed("p4").await, "n3");
}

#[tokio::test]
async fn profiles_decide_by_their_own_plugins() {
    let cluster = Cluster::start().await;
    cluster.node("empty", "a", "4").await;
    cluster.node("full", "a", "4").await;
    let asks = |cpu: &str, more: Value| {
        let mut spec = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(
        b"apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: NodeResourcesBalancedAllocation}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}
",
    )
    .unwrap();
    let config = format!("--config={}", file.path().display());
    cluster.schedule(cluster.client.clone(), &[&config]).await;
    cluster.pod("first", asks("1", json!({"nodeSelector": {"kubernetes.io/hostname": "full"}}))).await;
    assert_eq!(cluster.until_placed("first").await, "full");
    cluster.pod("packed", asks("1", json!({"schedulerName": "packing"}))).await;
    assert_eq!(cluster.until_placed("packed").await, "full");
    cluster.pod("spread", asks("1", json!({}))).await;
    assert_eq!(cluster.until_placed("spread").await, "empty");
}
