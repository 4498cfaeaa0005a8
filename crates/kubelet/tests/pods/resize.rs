//! CPU and memory of pods that run, on real Docker.

use api_types::core::{ContainerStatus, Pod, PodCondition};
use kube::api::{Patch, PatchParams};
use kubelet::runtime::docker::DockerRuntime;
use kubelet::runtime::{LinuxResources, Runtime};
use serde_json::{Value, json};

use crate::api::{Cluster, running};
use crate::node::phase;

fn sized(cpu: &str, memory: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": memory});
    json!({"requests": amounts, "limits": amounts})
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == name)
}

/// Whether the status shows this in force, and nothing under way.
fn in_force(pod: Option<&Pod>, wanted: &Value) -> bool {
    let Some(pod) = pod else { return false };
    let shown = container(pod).and_then(|status| serde_json::to_value(status.resources.as_ref()?).ok());
    let allocated = container(pod).and_then(|status| serde_json::to_value(status.allocated_resources.as_ref()?).ok());
    let settled = ["PodResizePending", "PodResizeInProgress"].iter().all(|name| condition(pod, name).is_none());
    let observed = pod.status.as_ref().and_then(|status| status.observed_generation) == pod.metadata.generation;
    settled && observed && shown.as_ref() == Some(wanted) && allocated.as_ref() == wanted.get("requests")
}

async fn ask(cluster: &Cluster<DockerRuntime>, name: &str, resources: &Value) {
    let patch = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
    let (api, parameters) = (cluster.api(), PatchParams::default());
    api.patch_subresource("resize", name, &parameters, &Patch::Strategic(&patch)).await.unwrap();
}

/// What Docker has given the pod's newest container.
async fn limits(cluster: &Cluster<DockerRuntime>, pod: &Pod) -> LinuxResources {
    let uid = pod.metadata.uid.clone().unwrap().into();
    let found = cluster.machine.runtime.pod(&uid).await.unwrap();
    found.latest("c").unwrap().resources.clone().unwrap()
}

#[tokio::test]
async fn a_pod_is_resized_while_it_runs() {
    let Some(cluster) = Cluster::on_docker(&[]).await else { return };
    let mut spec = running("trap exit TERM; while true; do sleep 0.1; done");
    spec["restartPolicy"] = json!("OnFailure");
    spec["containers"][0]["resources"] = sized("100m", "32Mi");
    spec["containers"][0]["resizePolicy"] = json!([
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
    ]);
    let key = cluster.create("web", spec).await;
    cluster.pods.until(&key, "the pod to run", |pod| in_force(pod, &sized("100m", "32Mi"))).await;
    // Up, down, less than the smallest share, back; memory takes another container, even of one that ends well.
    for (cpu, memory, restarts, expected) in [
        ("200m", "32Mi", 0, (204, 20_000, 32)),
        ("50m", "32Mi", 0, (51, 5_000, 32)),
        ("1m", "32Mi", 0, (2, 1_000, 32)),
        ("100m", "48Mi", 1, (102, 10_000, 48)),
    ] {
        let wanted = sized(cpu, memory);
        ask(&cluster, "web", &wanted).await;
        let resized = |pod: Option<&Pod>| {
            in_force(pod, &wanted) && pod.and_then(container).is_some_and(|status| status.restart_count == restarts)
        };
        let pod = cluster.pods.until(&key, &format!("{cpu} and {memory} to be in force"), resized).await.unwrap();
        let LinuxResources { cpu_shares, cpu_quota, memory_limit, .. } = limits(&cluster, &pod).await;
        assert_eq!((cpu_shares, cpu_quota, memory_limit >> 20), expected, "{cpu} {memory}");
    }
    cluster.delete("web").await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_resize_that_does_not_fit_waits_or_is_refused() {
    let Some(cluster) = Cluster::on_docker(&["--max-pods=3"]).await else { return };
    let cpus = std::thread::available_parallelism().unwrap().get();
    let most = format!("{}m", cpus * 1000 - 100);
    let create = async |name: &str| {
        let mut spec = running("sleep 1000");
        spec["containers"][0]["resources"] = sized("200m", "32Mi");
        let key = cluster.create(name, spec).await;
        cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
        key
    };
    let first = create("first").await;
    create("second").await;
    for (cpu, reason) in [("1000", "Infeasible"), (most.as_str(), "Deferred")] {
        ask(&cluster, "first", &sized(cpu, "32Mi")).await;
        let pending = |pod: Option<&Pod>| {
            let condition = pod.and_then(|pod| condition(pod, "PodResizePending"));
            condition.is_some_and(|condition| condition.reason.as_deref() == Some(reason))
        };
        let pod = cluster.pods.until(&first, &format!("the resize to be {reason}"), pending).await.unwrap();
        let shown = container(&pod).unwrap().resources.as_ref().unwrap().requests.as_ref().unwrap()["cpu"].0.clone();
        assert_eq!(shown, "200m");
    }
    // A kubelet that is started again takes the wish for no promise.
    cluster.crash().await;
    let _kubelet = cluster.start_kubelet().await;
    let uid = cluster.api().get("first").await.unwrap();
    assert_eq!(limits(&cluster, &uid).await.cpu_shares, 204);
    cluster.delete("second").await;
    cluster.pods.until(&first, "room to be used", |pod| in_force(pod, &sized(&most, "32Mi"))).await;
    cluster.delete("first").await;
    cluster.stop().await;
}
