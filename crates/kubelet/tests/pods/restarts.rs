//! A kubelet that dies and comes back: what runs is found again, what was on its way out goes on.

use std::collections::{BTreeMap, BTreeSet};

use api_types::core::{ConfigMap, Pod};
use component::informer::ObjectKey;
use kube::api::{DeleteParams, PostParams};
use kubelet::runtime::fake::Reachability;
use kubelet::runtime::{ContainerId, PodIdentity, Runtime, RuntimePod, SandboxConfig};
use kubelet::workers::NODE_LABEL;
use serde_json::json;

use crate::api::{Cluster, running};
use crate::node::{Machine, NODE, phase};

const PODS: usize = 20;
const RESTARTS: usize = 50;

fn runs(pod: Option<&Pod>) -> bool {
    pod.is_some_and(|pod| phase(pod) == "Running")
}

fn running_containers(pods: &[RuntimePod]) -> BTreeSet<ContainerId> {
    let containers = pods.iter().flat_map(|pod| &pod.containers);
    containers.filter(|container| container.state.is_running()).map(|container| container.id.clone()).collect()
}

/// A sandbox of a pod that nobody knows: it goes when the kubelet has looked for what nobody owns. Its uid is behind
/// every other, and so is its removal.
async fn stray_sandbox(machine: &Machine, number: usize) -> PodIdentity {
    let pod = PodIdentity { uid: format!("zz-{number}").into(), namespace: "gone".into(), name: "stray".into() };
    let labels = BTreeMap::from([(NODE_LABEL.to_owned(), NODE.to_owned())]);
    let config = SandboxConfig { pod: pod.clone(), labels, ..SandboxConfig::default() };
    machine.runtime.run_sandbox(&config).await.unwrap();
    pod
}

#[tokio::test]
async fn fifty_restarts_end_no_container_of_the_api() {
    let cluster = Cluster::start().await;
    for number in 0..PODS {
        cluster.create(&format!("web-{number}"), running("sleep 1000")).await;
    }
    let manifest = json!({"kind": "Pod", "metadata": {"name": "st"}, "spec": running("sleep 1000")});
    std::fs::write(cluster.machine.manifest("st.json"), manifest.to_string()).unwrap();
    for number in 0..PODS {
        let key = ObjectKey::new("default", format!("web-{number}"));
        cluster.pods.until(&key, "the pod to run", runs).await;
    }
    let mirror = ObjectKey::new("default", format!("st-{NODE}"));
    let shown = cluster.pods.until(&mirror, "the mirror to run", runs).await.unwrap();
    let before = running_containers(&cluster.machine.runtime.list_pods().await.unwrap());
    assert_eq!(before.len(), PODS + 1);
    cluster.crash().await;
    let calls = cluster.machine.runtime.calls().len();

    for number in 0..RESTARTS {
        let stray = stray_sandbox(&cluster.machine, number).await;
        let kubelet = cluster.start_kubelet().await;
        let gone = |pods: &[RuntimePod]| pods.iter().all(|pod| pod.identity != stray);
        cluster.machine.until("what nobody owns to be removed", gone).await;
        kubelet.stop().await;
        let now = running_containers(&cluster.machine.runtime.list_pods().await.unwrap());
        assert_eq!(now, before, "after restart {number}");
    }
    let since = cluster.machine.runtime.calls().split_off(calls);
    let strays = ["run_sandbox stray", "stop_sandbox stray", "remove_sandbox stray"];
    assert!(since.iter().all(|call| strays.contains(&call.as_str())), "{since:?}");
    let still = cluster.pods.until(&mirror, "the mirror to be there", |pod| pod.is_some()).await.unwrap();
    assert_eq!(still.metadata.uid, shown.metadata.uid, "the mirror was made again");
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_was_terminating_is_finished() {
    for left in ["everything", "the sandbox", "nothing"] {
        let cluster = Cluster::start().await;
        let key = cluster.create("web", running("sleep 1000")).await;
        cluster.pods.until(&key, "the pod to run", runs).await;
        cluster.crash().await;
        cluster.api().delete("web", &DeleteParams::default()).await.unwrap();
        let runtime = &cluster.machine.runtime;
        let pod = runtime.list_pods().await.unwrap().remove(0);
        if left != "everything" {
            runtime.remove_container(&pod.containers[0].id).await.unwrap();
        }
        if left == "nothing" {
            runtime.remove_sandbox(&pod.sandboxes[0].id).await.unwrap();
        }
        let _kubelet = cluster.start_kubelet().await;
        cluster.pods.until(&key, &format!("the pod of which {left} was left to be gone"), |pod| pod.is_none()).await;
        cluster.machine.until("nothing to be left", <[_]>::is_empty).await;
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_sandbox_that_was_not_connected_is_connected() {
    let cluster = Cluster::start().await;
    cluster.crash().await;
    let key = cluster.create("web", running("sleep 1000")).await;
    let uid = cluster.api().get("web").await.unwrap().metadata.uid.unwrap();
    let pod = PodIdentity { uid: uid.into(), namespace: "default".into(), name: "web".into() };
    cluster.machine.runtime.run_sandbox(&SandboxConfig { pod, ..SandboxConfig::default() }).await.unwrap();
    let _kubelet = cluster.start_kubelet().await;
    let pod = cluster.pods.until(&key, "the pod to run", runs).await.unwrap();
    assert!(pod.status.as_ref().unwrap().pod_ip.is_some());
    cluster.stop().await;
}

#[tokio::test]
async fn what_runs_is_probed_although_a_volume_fails() {
    let cluster = Cluster::start().await;
    let maps: kube::Api<ConfigMap> = kube::Api::default_namespaced(cluster.client.clone());
    let map = serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"k": "v"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let mut spec = running("sleep 1000");
    spec["volumes"] = json!([{"name": "v", "configMap": {"name": "m"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    spec["containers"][0]["readinessProbe"] =
        json!({"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1});
    let key = cluster.create("web", spec).await;
    let ready = |pod: Option<&Pod>| {
        let conditions = pod?.status.as_ref()?.conditions.as_deref()?;
        Some(conditions.iter().find(|condition| condition.type_ == "Ready")?.status == "True")
    };
    cluster.pods.until(&key, "the pod to be ready", |pod| ready(pod) == Some(true)).await;
    cluster.machine.runtime.set_exec_exit_code("c", 1);
    cluster.pods.until(&key, "the pod not to be ready", |pod| ready(pod) == Some(false)).await;
    cluster.crash().await;

    maps.delete("m", &DeleteParams::default()).await.unwrap();
    cluster.machine.runtime.set_exec_exit_code("c", 0);
    let _kubelet = cluster.start_kubelet().await;
    cluster.pods.until(&key, "the pod to be ready again", |pod| ready(pod) == Some(true)).await;
    cluster.stop().await;
}

#[tokio::test]
async fn housekeeping_that_hangs_holds_up_nobody() {
    let cluster = Cluster::start().await;
    cluster.crash().await;
    let stray = stray_sandbox(&cluster.machine, 0).await;
    cluster.machine.runtime.set_reachable(Reachability::ListsHang);
    let _kubelet = cluster.start_kubelet().await;
    for name in ["first", "second"] {
        let key = cluster.create(name, running("sleep 1000")).await;
        cluster.pods.until(&key, "the pod to run", runs).await;
    }
    cluster.machine.runtime.set_reachable(Reachability::Up);
    let gone = |pods: &[RuntimePod]| pods.iter().all(|pod| pod.identity != stray);
    cluster.machine.until("what nobody owns to be removed", gone).await;
    cluster.stop().await;
}
