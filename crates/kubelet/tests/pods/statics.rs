//! Static pods without an API server.

use kubelet::runtime::{ContainerState, Runtime, RuntimePod};

use crate::node::{IMAGE, Machine};

const POD_CIDR: &str = "--pod-cidr=10.9.0.0/24";

fn manifest(command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
         - {{name: c, image: \"{IMAGE}\", command: [sh, -c, {command:?}]}}\n"
    )
}

fn runs(pods: &[RuntimePod], count: usize) -> bool {
    let running = pods.iter().flat_map(|pod| &pod.containers).filter(|container| container.state.is_running());
    running.count() == count
}

#[tokio::test]
async fn a_manifest_is_a_pod_for_as_long_as_it_is_there() {
    let machine = Machine::new();
    let kubelet = machine.start(&[POD_CIDR.into()]).await;
    std::fs::write(machine.manifest("web.yaml"), manifest("sleep 1000")).unwrap();
    machine.until("the pod to run", |pods| runs(pods, 1)).await;
    std::fs::write(machine.manifest("web.yaml"), manifest("echo new; sleep 1000")).unwrap();
    machine
        .until("the new pod alone to run", |pods| {
            runs(pods, 1) && pods.len() == 1 && pods[0].identity.name == "web-node1"
        })
        .await;
    std::fs::remove_file(machine.manifest("web.yaml")).unwrap();
    machine.until("nothing to be left", <[RuntimePod]>::is_empty).await;
    kubelet.stop().await;
}

#[tokio::test]
async fn a_restart_disturbs_no_container() {
    let machine = Machine::new();
    std::fs::write(machine.manifest("web.yaml"), manifest("sleep 1000")).unwrap();
    let first = machine.start(&[POD_CIDR.into()]).await;
    machine.until("the pod to run", |pods| runs(pods, 1)).await;
    first.stop().await;
    let before = machine.runtime.calls();
    let second = machine.start(&[POD_CIDR.into()]).await;
    // The next pod comes after the old one has been looked at.
    std::fs::write(machine.manifest("b.yaml"), manifest("sleep 2000").replace("name: web", "name: b")).unwrap();
    machine.until("the other pod to run", |pods| runs(pods, 2)).await;
    let since = machine.runtime.calls().split_off(before.len());
    assert!(since.iter().all(|call| !call.contains("stop") && !call.contains("remove")), "{since:?}");
    assert_eq!(since.iter().filter(|call| call.starts_with("start_container")).count(), 1, "{since:?}");
    second.stop().await;
}

#[tokio::test]
async fn what_was_deleted_while_nobody_looked_is_removed() {
    let machine = Machine::new();
    std::fs::write(machine.manifest("web.yaml"), manifest("sleep 1000")).unwrap();
    let first = machine.start(&[POD_CIDR.into()]).await;
    machine.until("the pod to run", |pods| runs(pods, 1)).await;
    first.stop().await;
    std::fs::remove_file(machine.manifest("web.yaml")).unwrap();
    let second = machine.start(&[POD_CIDR.into()]).await;
    machine.until("nothing to be left", <[RuntimePod]>::is_empty).await;
    second.stop().await;
}

#[tokio::test]
async fn a_container_that_ends_is_started_again() {
    let machine = Machine::new();
    std::fs::write(machine.manifest("web.yaml"), manifest("sleep 1000")).unwrap();
    let kubelet = machine.start(&[POD_CIDR.into()]).await;
    machine.until("the pod to run", |pods| runs(pods, 1)).await;
    let pods = machine.runtime.list_pods().await.unwrap();
    machine.runtime.exit(&pods[0].containers[0].id, 3);
    machine
        .until("its successor to run", |pods| {
            let newest = pods.first().and_then(|pod| pod.latest("c"));
            newest.is_some_and(|container| {
                container.attempt == 1 && matches!(container.state, ContainerState::Running { .. })
            })
        })
        .await;
    kubelet.stop().await;
}

#[tokio::test]
async fn a_sandbox_that_dies_is_replaced() {
    let machine = Machine::new();
    std::fs::write(machine.manifest("web.yaml"), manifest("sleep 1000")).unwrap();
    let kubelet = machine.start(&[POD_CIDR.into()]).await;
    machine.until("the pod to run", |pods| runs(pods, 1)).await;
    let pods = machine.runtime.list_pods().await.unwrap();
    machine.runtime.kill_sandbox(&pods[0].sandboxes[0].id);
    machine
        .until("the pod to run in another", |pods| {
            let sandbox = pods.first().and_then(RuntimePod::ready_sandbox);
            runs(pods, 1) && sandbox.is_some_and(|sandbox| sandbox.attempt == 1)
        })
        .await;
    kubelet.stop().await;
}
