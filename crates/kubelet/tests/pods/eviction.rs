//! A node that runs short of memory, on real Docker.

use api_types::core::{Node, Pod};
use component::informer::ObjectKey;

use crate::api::{Cluster, running};
use crate::node::phase;

fn condition<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let conditions = node.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == name).map(|condition| condition.status.as_str())
}

fn is_evicted(pod: Option<&Pod>) -> bool {
    let reason = pod.and_then(|pod| pod.status.as_ref()?.reason.as_deref());
    pod.is_some_and(|pod| phase(pod) == "Failed") && reason == Some("Evicted")
}

#[tokio::test]
async fn a_node_that_runs_short_says_so_and_ends_pods() {
    let Some(cluster) = Cluster::on_docker(&[]).await else { return };
    let node = ObjectKey::new("", cluster.machine.node.as_str());
    let first = cluster.create("first", running("sleep 1000")).await;
    cluster.pods.until(&first, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    cluster.crash().await;

    // More than any machine has.
    let _kubelet = cluster.start_kubelet_with(&["--eviction-hard=memory.available<1Pi"]).await;
    let pressed = |node: Option<&Node>| node.is_some_and(|node| condition(node, "MemoryPressure") == Some("True"));
    let told = cluster.nodes.until(&node, "the node to say so", pressed).await.unwrap();
    assert_eq!((condition(&told, "DiskPressure"), condition(&told, "Ready")), (Some("False"), Some("True")));
    let pod = cluster.pods.until(&first, "the pod to be ended", is_evicted).await.unwrap();
    let status = pod.status.as_ref().unwrap();
    let message = status.message.as_deref().unwrap();
    assert!(message.starts_with("The node was low on resource: memory. Threshold quantity: 1Pi"), "{message}");
    let target = status.conditions.iter().flatten().find(|condition| condition.type_ == "DisruptionTarget").unwrap();
    assert_eq!(target.reason.as_deref(), Some("TerminationByKubelet"));
    // Who asks for no memory is not welcome.
    let second = cluster.create("second", running("sleep 1000")).await;
    let pod = cluster.pods.until(&second, "the pod to be refused", is_evicted).await.unwrap();
    let message = pod.status.as_ref().unwrap().message.clone().unwrap();
    assert_eq!(message, "Pod was rejected: The node had condition: [MemoryPressure]. ");
    cluster.delete("first").await;
    cluster.delete("second").await;
    cluster.stop().await;
}
