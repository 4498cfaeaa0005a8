//! What all workers share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Pod, Service};
use component::Daemon;
use component::api::Api;
use component::informer::Informer;
use tokio::sync::watch;

use crate::allocation::Allocations;
use crate::dns::ClusterDns;
use crate::env::Allocatable;
use crate::events::Events;
use crate::eviction::{Evictions, Pressures};
use crate::images::Images;
use crate::network::PodNetwork;
use crate::objects::ObjectWatches;
use crate::probes::ProbeContext;
use crate::runtime::Runtime;
use crate::status::manager::StatusManager;
use crate::tokens::TokenManager;
use crate::volumes::LocalVolumes;
use crate::volumes::claims::ClaimSource;
use crate::workers::log_links::LogLinks;
use crate::workers::runtime_class::RuntimeClass;

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
    /// `--allowed-unsafe-sysctls`.
    pub unsafe_sysctls: Vec<String>,
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
    /// Looks up claims.
    pub claims: ClaimSource,
    /// This node's own volumes.
    pub local_volumes: Arc<LocalVolumes>,
    /// Fetches service account tokens.
    pub tokens: TokenManager,
    /// Reads runtime classes; `None` without an API server.
    pub runtime_classes: Option<Api<RuntimeClass>>,
    /// This node's pods in the API; `None` without an API server.
    pub api_pods: Option<Informer<Pod>>,
    /// All services; `None` without an API server.
    pub services: Option<Informer<Service>>,
    /// The node.
    pub node: NodeFacts,
    /// What pods hold of it.
    pub allocations: Allocations,
    /// Where collectors of logs look.
    pub log_links: LogLinks,
    /// Pods that have to go for the node's sake.
    pub evictions: Evictions,
    /// What the node is short of.
    pub pressures: watch::Receiver<Pressures>,
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
