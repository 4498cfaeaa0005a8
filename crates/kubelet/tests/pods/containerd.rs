//! Pods on real containerd, in its own network.

use std::sync::Arc;

use api_types::core::{ContainerStatus, Node, Pod};
use kube::Api;
use kubelet::network::cri::CriNetwork;
use kubelet::runtime::cri::CriRuntime;
use kubelet::runtime::{ContainerState, Runtime};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::api::{Cluster, running};
use crate::node::{Machine, phase};
use crate::own_containerd::Containerd;
use crate::shared::{IMAGE, busybox};

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_deref()?.first()
}

/// Runs, and has been started so often.
fn runs(pod: Option<&Pod>, restarts: i32) -> bool {
    let status = pod.filter(|pod| phase(pod) == "Running").and_then(container);
    status.is_some_and(|status| status.ready && status.restart_count == restarts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_on_containerd_live_as_those_on_docker() {
    let Some(daemon) = Containerd::start(IMAGE, busybox()).await else { return };
    let mut machine: Machine<CriRuntime> = Machine::on(daemon.runtime());
    machine.network = Arc::new(CriNetwork::new(Arc::clone(&machine.runtime) as _, None));
    let cluster = Cluster::on(machine, &[]).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let info = nodes.get(&cluster.machine.node).await.unwrap().status.unwrap().node_info.unwrap();
    assert!(info.container_runtime_version.starts_with("containerd://"), "{info:?}");

    let mut spec = running("echo $POD_IP > /dev/termination-log; exec sleep 1000");
    spec["containers"][0]["env"] =
        json!([{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    let key = cluster.create("web", spec).await;
    let first = cluster.pods.until(&key, "the pod to run", |pod| runs(pod, 0)).await.unwrap();
    let id = container(&first).unwrap().container_id.clone().unwrap();
    let ip = first.status.as_ref().unwrap().pod_ip.clone().unwrap();
    assert!(id.starts_with("containerd://") && ip.starts_with("10."), "{id} {ip}");

    // A restarted kubelet finds the same container.
    cluster.crash().await;
    let kubelet = cluster.start_kubelet().await;
    let found = cluster.machine.runtime.pod(&first.metadata.uid.clone().unwrap().into()).await.unwrap();
    let ContainerState::Running { pid, .. } = found.containers[0].state else { panic!("{found:?}") };
    // Its end is noticed without anybody telling.
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let second = cluster.pods.until(&key, "the container to run again", |pod| runs(pod, 1)).await.unwrap();
    let status = container(&second).unwrap();
    let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).unwrap();
    assert_eq!((ended.container_id.as_ref(), ended.exit_code), (Some(&id), 137));
    assert_eq!(ended.message.as_deref(), Some(format!("{ip}\n").as_str()));
    assert_ne!(status.container_id.as_ref(), Some(&id));

    cluster.delete("web").await;
    cluster.machine.until("nothing to be left", <[_]>::is_empty).await;
    kubelet.stop().await;
    cluster.stop().await;
}
