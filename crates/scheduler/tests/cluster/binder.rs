use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use api_types::core::Pod;
use component::recorder::Recorder;
use kube::client::Body;
use scheduler::{
    binder::{BindError, Binder, Nomination},
    model,
};
use serde_json::json;

use crate::harness::Cluster;

fn binder(cluster: &Cluster) -> Binder {
    Binder::new(cluster.client.clone(), Recorder::new(cluster.client.clone(), "default-scheduler", "", &cluster.daemon))
}

/// As the scheduler reads it.
fn read(pod: &Pod) -> model::Pod {
    serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap()
}

fn moot(result: Result<(), BindError>) -> String {
    match result {
        Err(BindError::Moot(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let cluster = Cluster::start().await;
    let binder = binder(&cluster);
    let pod = read(&cluster.pod("p", json!({})).await);
    binder.bind(&pod, "n1").await.unwrap();
    assert_eq!(cluster.until_placed("p").await, "n1");
    cluster.until_event("Scheduled", "p").await;
    let why = moot(binder.bind(&pod, "n2").await);
    assert!(why.contains("already assigned to node \"n1\""), "{why}");
    assert_eq!(cluster.until_placed("p").await, "n1");
}

#[tokio::test]
async fn a_pod_that_is_gone_or_another_is_not_bound() {
    let cluster = Cluster::start().await;
    let binder = binder(&cluster);
    let gone = read(&cluster.pod("p", json!({})).await);
    cluster.delete("p").await;
    assert!(moot(binder.bind(&gone, "n1").await).contains("not found"));
    assert!(!binder.reject(&gone, ("Unschedulable", "no"), &Nomination::For("n1".into())).await.unwrap());
    let other = cluster.pod("p", json!({})).await;
    let why = moot(binder.bind(&gone, "n1").await);
    assert!(why.contains("UID"), "{why}");
    assert!(!binder.reject(&gone, ("Unschedulable", "no"), &Nomination::For("n1".into())).await.unwrap());
    let now = cluster.pods().get("p").await.unwrap();
    assert_eq!((now.spec, now.status), (other.spec, other.status), "it is not this pod's business");
}

#[tokio::test]
async fn a_rejection_says_why_and_since_when() {
    let cluster = Cluster::start().await;
    let binder = binder(&cluster);
    cluster.pod("p", json!({})).await;
    let condition = |pod: &Pod| {
        let conditions = pod.status.as_ref().unwrap().conditions.clone().unwrap();
        conditions.into_iter().find(|condition| condition.type_ == "PodScheduled").unwrap()
    };
    let mut seen = Vec::new();
    for message in ["first", "second"] {
        binder
            .reject(&read(&cluster.pods().get("p").await.unwrap()), ("Unschedulable", message), &Nomination::Kept)
            .await
            .unwrap();
        cluster.until_rejected("p", message).await;
        seen.push(condition(&cluster.pods().get("p").await.unwrap()).last_transition_time);
    }
    assert_eq!(seen[0], seen[1], "it was not schedulable all the time");
    let before = cluster.pods().get("p").await.unwrap();
    assert!(binder.reject(&read(&before), ("Unschedulable", "second"), &Nomination::Withdrawn).await.unwrap());
    let after = cluster.pods().get("p").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "what is known is not written");
    cluster.until_event("FailedScheduling", "p").await;
}

/// The node has room for one. The first pod is assumed there, but its binding does not get through: the room is free
/// again.
#[tokio::test]
async fn a_placement_that_cannot_be_written_is_forgotten() {
    let cluster = Cluster::start().await;
    cluster.node("n1", "a", "1").await;
    let (broken, tried) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (flag, counter) = (broken.clone(), tried.clone());
    let client = cluster.bent(move |mut request: http::Request<Body>| {
        if request.uri().path().ends_with("/pods/first/binding") && flag.load(Ordering::SeqCst) {
            counter.fetch_add(1, Ordering::SeqCst);
            // Nothing that can be bound: the server refuses.
            let uri = request.uri().to_string().replace("/pods/first/binding", "/configmaps");
            *request.uri_mut() = uri.parse().unwrap();
        }
        request
    });
    let asks = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]});
    cluster.schedule(client, &[]).await;
    cluster.pod("first", asks.clone()).await;
    while tried.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    cluster.pod("second", asks).await;
    assert_eq!(cluster.until_placed("second").await, "n1");
    broken.store(false, Ordering::SeqCst);
    cluster.until_rejected("first", "0/1 nodes are available: 1 Insufficient cpu.").await;
    // When the other goes, it is told.
    cluster.delete("second").await;
    assert_eq!(cluster.until_placed("first").await, "n1");
}
