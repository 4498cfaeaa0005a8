//! `/pods` and `/runningpods/`.

use std::sync::Arc;

use api_types::core::{Container, Pod, PodSpec};
use api_types::meta::ObjectMeta;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ServerState;
use super::reply::Refusal;
use crate::runtime::RuntimePod;

/// The pods that the kubelet was given.
pub(super) async fn all(State(server): State<Arc<ServerState>>) -> Json<Value> {
    Json(list(&server.pods.pods()))
}

/// The pods that the runtime runs, whoever wants them.
pub(super) async fn running(State(server): State<Arc<ServerState>>) -> Result<Json<Value>, Refusal> {
    let pods = server.runtime.list_pods().await.map_err(|error| Refusal::internal(error.to_string()))?;
    let running: Vec<Arc<Pod>> = pods.iter().filter_map(of_runtime).map(Arc::new).collect();
    Ok(Json(list(&running)))
}

fn list(pods: &[Arc<Pod>]) -> Value {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
}

fn of_runtime(pod: &RuntimePod) -> Option<Pod> {
    let running = pod.containers.iter().filter(|container| container.state.is_running());
    let containers: Vec<Container> = running
        .map(|container| Container {
            name: container.name.clone(),
            image: Some(container.image.clone()),
            ..Container::default()
        })
        .collect();
    (!containers.is_empty()).then(|| Pod {
        metadata: ObjectMeta {
            name: Some(pod.identity.name.clone()),
            namespace: Some(pod.identity.namespace.clone()),
            uid: Some(pod.identity.uid.0.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { containers, ..PodSpec::default() }),
        status: None,
    })
}
