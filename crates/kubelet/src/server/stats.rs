//! `/stats/summary`: CPU and memory of running containers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::StreamExt;
use serde_json::{Value, json};

use super::ServerState;
use super::reply::Refusal;
use crate::runtime::{ContainerStats, ContainerStatus, RuntimePod};

/// How many containers are asked about at the same time.
const CONCURRENCY: usize = 8;

pub(super) async fn summary(State(server): State<Arc<ServerState>>) -> Result<Json<Value>, Refusal> {
    let pods = server.runtime.list_pods().await.map_err(|error| Refusal::internal(error.to_string()))?;
    let mut summaries = Vec::new();
    for pod in pods {
        let running = pod.containers.clone().into_iter().filter(|container| container.state.is_running());
        let read = futures::stream::iter(running.map(|container| of_container(Arc::clone(&server), container)));
        let containers: Vec<Value> = read.buffered(CONCURRENCY).filter_map(futures::future::ready).collect().await;
        summaries.push(of_pod(&pod, &containers));
    }
    Ok(Json(json!({"node": {"nodeName": server.node}, "pods": summaries})))
}

/// `None` if it has ended since it was listed.
async fn of_container(server: Arc<ServerState>, container: ContainerStatus) -> Option<Value> {
    let stats = server.runtime.stats(&container.id).await.ok()?;
    Some(render(&container.name, &stats))
}

fn of_pod(pod: &RuntimePod, containers: &[Value]) -> Value {
    let identity = &pod.identity;
    json!({
        "podRef": {"name": identity.name, "namespace": identity.namespace, "uid": identity.uid.as_str()},
        "containers": containers,
    })
}

fn render(name: &str, stats: &ContainerStats) -> Value {
    let time = stats.time.to_string();
    json!({
        "name": name,
        "cpu": {"time": time, "usageCoreNanoSeconds": stats.cpu_usage_ns},
        "memory": {"time": time, "usageBytes": stats.memory_usage, "workingSetBytes": stats.memory_working_set},
    })
}
