//! Ephemeral containers on real Docker.

use api_types::core::{ContainerStatus, Pod};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::{Cluster, running};
use crate::node::{IMAGE, phase};

fn ephemeral<'a>(pod: Option<&'a Pod>, name: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod?.status.as_ref()?.ephemeral_container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

#[tokio::test]
async fn a_container_is_added_to_a_pod_that_runs() {
    let Some(cluster) = Cluster::on_docker(&[]).await else { return };
    let key = cluster.create("web", running("sleep 1000")).await;
    cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    // One sees the processes of its target, one only its own, one asks for a target that is not there.
    let sees = json!(["sh", "-c", "ps | grep -q 'sleep [1]000'"]);
    let patch = json!({"spec": {"ephemeralContainers": [
        {"name": "seeing", "image": IMAGE, "command": sees, "targetContainerName": "c"},
        {"name": "blind", "image": IMAGE, "command": sees},
        {"name": "nowhere", "image": "no/such:v1", "imagePullPolicy": "Never"},
    ]}});
    let api = cluster.api();
    api.patch_subresource("ephemeralcontainers", "web", &PatchParams::default(), &Patch::Strategic(&patch))
        .await
        .unwrap();
    let ended =
        |name: &'static str, code: i32| move |pod: Option<&Pod>| ephemeral(pod, name).and_then(exit_code) == Some(code);
    cluster.pods.until(&key, "the target's processes to be seen", ended("seeing", 0)).await;
    cluster.pods.until(&key, "other processes not to be seen", ended("blind", 1)).await;
    let waits = |pod: Option<&Pod>| {
        let state = ephemeral(pod, "nowhere").and_then(|status| status.state.as_ref()?.waiting.as_ref());
        state.is_some_and(|waiting| waiting.reason.as_deref() == Some("ErrImageNeverPull"))
    };
    let pod = cluster.pods.until(&key, "the image to be missed", waits).await.unwrap();
    let status = pod.status.as_ref().unwrap();
    let app = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!((phase(&pod), app.ready, app.restart_count), ("Running", true, 0));
    assert_eq!(ephemeral(Some(&pod), "seeing").unwrap().started, None);
    cluster.delete("web").await;
    cluster.stop().await;
}
