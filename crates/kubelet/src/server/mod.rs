//! The kubelet's own API on port 10250: what the API server's `logs`, `exec`, `attach` and `portforward` end at.
//!
//! [`router`] is the whole API over two seams, the [`Runtime`] and a [`PodDirectory`]; [`listen`] serves it over TLS.

pub mod access;
pub mod configz;
mod listen;
mod local_volumes;
mod logs;
mod pods;
mod reply;
mod resource_metrics;
mod select;
mod stats;
mod streams;

use std::sync::Arc;

use api_types::core::Pod;
use axum::Router;
use axum::middleware;
use axum::routing::{any, delete, get};
use component::Daemon;
use component::profiling::Profiling;
use component::serve::health::Health;

use self::access::Access;
use crate::runtime::{PodUid, Runtime};
use crate::volumes::LocalVolumes;

pub use listen::{ListenConfig, ListenError, ServingCertificate, listen};

/// The pods of this node, as the kubelet knows them.
pub trait PodDirectory: Send + Sync + 'static {
    /// All pods, with the statuses that the kubelet gave them.
    fn pods(&self) -> Vec<Arc<Pod>>;

    /// One pod by name.
    fn pod(&self, namespace: &str, name: &str) -> Option<PodEntry>;
}

/// A pod and the uid by which the runtime knows it (a static pod has another in the API).
#[derive(Debug, Clone)]
pub struct PodEntry {
    /// The pod, with the status that the kubelet gave it.
    pub pod: Arc<Pod>,
    /// Its uid in container labels.
    pub runtime_uid: PodUid,
}

/// What the handlers work with.
pub struct ServerState {
    /// The node's name.
    pub node: String,
    /// Where containers run.
    pub runtime: Arc<dyn Runtime>,
    /// Which pods there are.
    pub pods: Arc<dyn PodDirectory>,
    /// Volumes whose directories are taken away here.
    pub local_volumes: Arc<LocalVolumes>,
    /// What `/configz` tells.
    pub settings: serde_json::Value,
    /// Sessions are its tasks.
    pub daemon: Daemon,
}

/// The API. `health` brings `/healthz` and `/metrics`, `profiling` what is below `/debug/`. Nothing is answered that `access` does not let through.
pub fn router(state: Arc<ServerState>, health: &Health, profiling: Profiling, access: Access) -> Router {
    let access = Arc::new(access);
    Router::new()
        .route("/pods", get(pods::all))
        .route("/runningpods", get(pods::running))
        .route("/runningpods/", get(pods::running))
        .route("/configz", get(configz::configz))
        .route("/stats/summary", get(stats::summary))
        .route("/metrics/resource", get(resource_metrics::resource))
        .route(&format!("{}/{{volume}}", component::volumes::local::ROUTE), delete(local_volumes::remove))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::container_logs))
        .route("/exec/{namespace}/{pod}/{container}", any(streams::exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", any(streams::exec_with_uid))
        .route("/attach/{namespace}/{pod}/{container}", any(streams::attach))
        .route("/attach/{namespace}/{pod}/{uid}/{container}", any(streams::attach_with_uid))
        .route("/portForward/{namespace}/{pod}", any(streams::port_forward))
        .route("/portForward/{namespace}/{pod}/{uid}", any(streams::port_forward_with_uid))
        .with_state(state)
        .merge(health.router())
        .merge(profiling.router())
        .layer(middleware::from_fn(move |request, next| access::guard(Arc::clone(&access), request, next)))
}

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
