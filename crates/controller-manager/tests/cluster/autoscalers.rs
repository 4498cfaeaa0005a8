//! Horizontal pod autoscalers: against the real API server and its metrics, which a kubelet tells that shares a load among
//! the pods that there are.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use api_types::{
    apps::Deployment,
    autoscaling_v2::HorizontalPodAutoscaler,
    core::{Node, Pod},
};
use axum::{Router, routing::get};
use component::{
    Daemon,
    informer::{Informer, Store},
    serve::{self, certificates},
};
use controller_manager::slim::Autoscaler;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Cluster, key};

const FLAGS: &str = "--leader-elect=false --controllers=deployment,replicaset,horizontalpodautoscaling \
    --horizontal-pod-autoscaler-sync-period=1s --horizontal-pod-autoscaler-cpu-initialization-period=0s \
    --horizontal-pod-autoscaler-initial-readiness-delay=0s";

/// A kubelet whose pods use so many thousandths of a processor together; ten seconds have passed whenever it is asked.
struct Load {
    total: AtomicI64,
    asked: AtomicI64,
    /// Thousandths of processor seconds that a pod has used that was there from the beginning.
    used: AtomicI64,
}

impl Load {
    fn said(&self, pods: &Informer<Pod>) -> String {
        let time = 1_000_000 + self.asked.fetch_add(1, Ordering::Relaxed) * 10_000;
        let pods = pods.store().list_namespace("default");
        let each = self.total.load(Ordering::Relaxed) * 10 / i64::try_from(pods.len().max(1)).unwrap();
        let used = self.used.fetch_add(each, Ordering::Relaxed) + each;
        let mut text = format!("node_cpu_usage_seconds_total 1 {time}\nnode_memory_working_set_bytes 1 {time}\n");
        for pod in pods {
            let name = pod.metadata.name.as_deref().unwrap();
            let labels = format!(r#"{{container="web",namespace="default",pod="{name}"}}"#);
            let seconds = used as f64 / 1e3;
            text.push_str(&format!(
                "container_cpu_usage_seconds_total{labels} {seconds} {time}\ncontainer_memory_working_set_bytes{labels} 1 {time}\n"
            ));
        }
        text
    }
}

/// Starts the kubelet of the node `n`.
async fn start_kubelet(cluster: &Cluster, load: &Arc<Load>, daemon: &Daemon) {
    let certificate = certificates::make("kubelet", &["127.0.0.1".to_owned()]).unwrap();
    let tls = serve::tls::server_config(certificate).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (load, pods) = (Arc::clone(load), cluster.informers.of::<Pod>());
    let router = Router::new().route("/metrics/resource", get(async move || load.said(&pods)));
    serve::spawn_router(listener, Some(tls), router, daemon);
    cluster.create::<Node>(json!({"metadata": {"name": "n"}})).await;
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.patch_status("n", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn create_deployment(cluster: &Cluster) {
    let container = json!({"name": "web", "image": "v1", "resources": {"requests": {"cpu": "1"}}});
    cluster
        .create::<Deployment>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"nodeName": "n", "containers": [container]},
                },
            },
        }))
        .await;
}

async fn create_autoscaler(cluster: &Cluster, name: &str, target: (&str, &str), more: Value) {
    let (kind, target) = target;
    let mut spec = json!({"maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let autoscaler = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
    cluster.create::<HorizontalPodAutoscaler>(autoscaler).await;
}

/// Status, reason and message of a condition.
fn condition(autoscalers: &Store<Autoscaler>, name: &str, kind: &str) -> (String, String, String) {
    let autoscaler = autoscalers.get(&key(name));
    let conditions = autoscaler.and_then(|own| own.status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map(|own| (own.status, own.reason.unwrap_or_default(), own.message.unwrap_or_default())).unwrap_or_default()
}

async fn until_condition(cluster: &Cluster, name: &str, kind: &str, status: &str, reason: &str, message: &str) {
    let expected = (status.to_owned(), reason.to_owned(), message.to_owned());
    cluster.until::<Autoscaler>(reason, |autoscalers| condition(autoscalers, name, kind) == expected).await;
}

async fn until_replicas(cluster: &Cluster, replicas: i32) {
    cluster
        .until::<Deployment>("the size", |deployments| {
            let deployment = deployments.get(&key("web")).unwrap();
            let status = deployment.status.clone().unwrap_or_default();
            let wanted = deployment.spec.as_ref().unwrap().replicas;
            wanted == Some(replicas) && status.ready_replicas.unwrap_or(0) == replicas
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_grows_under_load_and_shrinks_after_it() {
    let cluster = Cluster::start_beside(&["--metric-resolution=2s"], FLAGS).await;
    let daemon = Daemon::new();
    let load = Arc::new(Load { total: 1800.into(), asked: 0.into(), used: 0.into() });
    start_kubelet(&cluster, &load, &daemon).await;
    create_deployment(&cluster).await;
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]);
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    create_autoscaler(&cluster, "web", ("Deployment", "web"), json!({"metrics": metrics, "behavior": behavior})).await;

    until_replicas(&cluster, 4).await;
    let reason = "New size: 4; reason: cpu resource utilization (percentage of request) above target";
    cluster.until_event("SuccessfulRescale", |message| message == reason).await;
    cluster
        .until::<Autoscaler>("what is measured", |autoscalers| {
            let status = autoscalers.get(&key("web")).unwrap().status.clone();
            let current = status.current_metrics.iter().flatten().next().and_then(|metric| metric.resource.clone());
            let utilization = current.and_then(|resource| resource.current.average_utilization);
            (status.current_replicas, status.desired_replicas, utilization) == (Some(4), 4, Some(45))
        })
        .await;
    let message = "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)";
    until_condition(&cluster, "web", "ScalingActive", "True", "ValidMetricFound", message).await;

    load.total.store(0, Ordering::Relaxed);
    until_replicas(&cluster, 1).await;
    cluster
        .until_event("SuccessfulRescale", |message| message == "New size: 1; reason: All metrics below target")
        .await;
    let message = "the desired replica count is less than the minimum replica count";
    until_condition(&cluster, "web", "ScalingLimited", "True", "TooFewReplicas", message).await;
    daemon.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_told() {
    let cluster = Cluster::start(FLAGS).await;
    create_deployment(&cluster).await;
    let unable = "the HPA controller was unable to get the target's current scale: ";
    let unknown = "the HPA was unable to compute the replica count: ";
    for (name, kind, target, message) in [
        ("lost", "Deployment", "nothing", r#"deployments.apps "nothing" not found"#),
        ("strange", "Thing", "web", r#"no matches for kind "Thing" in group "apps""#),
    ] {
        create_autoscaler(&cluster, name, (kind, target), json!({})).await;
        let message = format!("{unable}{message}");
        until_condition(&cluster, name, "AbleToScale", "False", "FailedGetScale", &message).await;
    }
    let resource = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
    create_autoscaler(&cluster, "web", ("Deployment", "web"), json!({"metrics": [resource]})).await;
    let error = "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    let message = format!("{unknown}{error}");
    until_condition(&cluster, "web", "ScalingActive", "False", "FailedGetResourceMetric", &message).await;
    cluster.until_event("FailedGetResourceMetric", |message| message == error).await;
    let all = format!(
        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {error}"
    );
    cluster.until_event("FailedComputeMetricsReplicas", |message| message == all).await;

    let target = json!({"type": "AverageValue", "averageValue": "5"});
    let metric = |name: &str| json!({"name": name});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    for (source, reason, error) in [
        (
            json!({"type": "Pods", "pods": {"metric": metric("m"), "target": target}}),
            "FailedGetPodsMetric",
            "unable to get metric m: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
        ),
        (
            json!({"type": "Object", "object": {"metric": metric("m"), "target": target, "describedObject": object}}),
            "FailedGetObjectMetric",
            "unable to get metric m: Deployment on default web/unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
        ),
        (
            json!({"type": "External", "external": {"metric": metric("m"), "target": target}}),
            "FailedGetExternalMetric",
            "unable to get external metric default/m/nil: unable to fetch metrics from external metrics API: the server could not find the requested resource (get m.external.metrics.k8s.io)",
        ),
    ] {
        cluster.patch::<HorizontalPodAutoscaler>("web", json!({"spec": {"metrics": [source]}})).await;
        let message = format!("{unknown}{error}");
        until_condition(&cluster, "web", "ScalingActive", "False", reason, &message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_hold_without_metrics_and_pods_have_one_autoscaler() {
    let mut cluster = Cluster::start(FLAGS).await;
    create_deployment(&cluster).await;
    create_autoscaler(&cluster, "web", ("Deployment", "web"), json!({"minReplicas": 3})).await;
    until_replicas(&cluster, 3).await;
    let reason = "New size: 3; reason: Current number of replicas below Spec.MinReplicas";
    cluster.until_event("SuccessfulRescale", |message| message == reason).await;
    cluster.patch::<HorizontalPodAutoscaler>("web", json!({"spec": {"minReplicas": 1, "maxReplicas": 2}})).await;
    let two = |deployments: &Store<Deployment>| {
        deployments.get(&key("web")).unwrap().spec.as_ref().unwrap().replicas == Some(2)
    };
    cluster.until_despite_restarts("no more than two", two).await;

    create_autoscaler(&cluster, "rival", ("Deployment", "web"), json!({})).await;
    let message = "pods by selector app=web are controlled by multiple HPAs: [default/rival default/web]";
    until_condition(&cluster, "rival", "ScalingActive", "False", "AmbiguousSelector", message).await;
    cluster.api::<HorizontalPodAutoscaler>().delete("rival", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.patch_deployment(json!({"spec": {"replicas": 0}})).await;
    let message = "scaling is disabled since the replica count of the target is zero";
    until_condition(&cluster, "web", "ScalingActive", "False", "ScalingDisabled", message).await;
}
