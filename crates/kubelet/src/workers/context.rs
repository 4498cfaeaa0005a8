//! What all workers share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Pod, Service};
use component::Daemon;
use component::informer::Informer;

use crate::dns::ClusterDns;
use crate::env::Allocatable;
use crate::events::Events;
use crate::images::Images;
use crate::network::PodNetwork;
use crate::objects::ObjectWatches;
use crate::probes::ProbeContext;
use crate::runtime::Runtime;
use crate::status::manager::StatusManager;
use crate::tokens::TokenManager;

/// What the node is to its pods.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its addresses, the primary one first.
    pub ips: Vec<IpAddr>,
    /// What pods may use of it.
    pub allocatable: Allocatable,
    /// Its memory in bytes.
    pub memory: i64,
}

/// What all workers share.
pub struct Context {
    /// Shutdown, and the tracker of tasks.
    pub daemon: Daemon,
    /// Docker.
    pub runtime: Arc<dyn Runtime>,
    /// How pods get addresses.
    pub network: Arc<dyn PodNetwork>,
    /// Where events go.
    pub events: Events,
    /// Where statuses go.
    pub statuses: StatusManager,
    /// Pulls images.
    pub images: Images,
    /// Watches config maps and secrets.
    pub objects: Arc<ObjectWatches>,
    /// Fetches service account tokens.
    pub tokens: TokenManager,
    /// This node's pods in the API; `None` without an API server.
    pub api_pods: Option<Informer<Pod>>,
    /// All services; `None` without an API server.
    pub services: Option<Informer<Service>>,
    /// The node.
    pub node: NodeFacts,
    /// `--root-dir`.
    pub root: PathBuf,
    /// The cluster's DNS.
    pub dns: ClusterDns,
    /// `--resolv-conf`.
    pub resolv_conf: PathBuf,
    /// The first restart of a container that keeps failing waits so long.
    pub first_back_off: Duration,
}

impl Context {
    /// What probes need.
    #[must_use]
    pub fn probes(&self) -> ProbeContext {
        ProbeContext { runtime: Arc::clone(&self.runtime), events: self.events.clone() }
    }
}
