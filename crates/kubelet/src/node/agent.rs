//! Registers the node and tells its status.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::codec::ToJson;
use api_types::core::{Node, NodeSpec, NodeStatus};
use api_types::jiff::Timestamp;
use api_types::meta::ObjectMeta;
use component::api::Api;
use component::informer::{Event, Informer};
use component::recorder::EventType::{Normal, Warning};
use component::volumes::local::DIRECTORY;
use ipnet::IpNet;
use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::machine::{Machine, architecture};
use super::status::{self, NodeFacts};
use crate::config::NodeConfig;
use crate::events::Events;
use crate::eviction::Pressures;
use crate::network::PodNetwork;
use crate::runtime::Runtime;

/// How long one look at the runtime, or one request, may hold up a status.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the agent works with.
#[derive(Clone)]
pub struct NodeHandles {
    /// The API server.
    pub client: Client,
    /// This node in the API.
    pub informer: Informer<Node>,
    /// Docker.
    pub runtime: Arc<dyn Runtime>,
    /// How pods get addresses.
    pub network: Arc<dyn PodNetwork>,
    /// Where events go.
    pub events: Events,
    /// What the node is short of.
    pub pressures: watch::Receiver<Pressures>,
}

/// Keeps the node's object true.
pub struct NodeAgent {
    handles: NodeHandles,
    config: NodeConfig,
    /// Where volumes are that are made here.
    local_volumes: PathBuf,
    machine: Machine,
    /// Rung when the node's object has changed.
    changed: Arc<Notify>,
    /// Rung when the API server is there again after it was not.
    recovered: Arc<Notify>,
    /// Whether the status is told although it is what was told last.
    anew: bool,
    /// Called when pods can be connected that could not before.
    network_is_up: Box<dyn Fn() + Send + Sync>,
    /// What was told last, and when.
    told: Option<(NodeStatus, Instant)>,
    /// Whether pods could be connected at the last look.
    was_connected: bool,
}

impl NodeAgent {
    /// An agent that has not told anything yet.
    pub fn new(
        handles: NodeHandles,
        config: NodeConfig,
        local_volumes: PathBuf,
        machine: Machine,
        network_is_up: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let bell = Arc::clone(&changed);
        handles.informer.on_event(move |event: &Event<Node>| {
            // Our own heartbeats come back as updates; only these matter.
            let matters = match event {
                Event::Updated { old, new } => pod_cidrs(old) != pod_cidrs(new) || readiness(new) == Some("Unknown"),
                Event::Added(_) | Event::Deleted(_) => true,
            };
            if matters {
                bell.notify_one();
            }
        });
        let network_is_up = Box::new(network_is_up);
        let recovered = Arc::default();
        Self {
            handles,
            config,
            local_volumes,
            machine,
            changed,
            recovered,
            anew: false,
            network_is_up,
            told: None,
            was_connected: false,
        }
    }

    /// To be rung when the API server is there again after it was not: meanwhile the node may have been given up, of which
    /// a watch that broke tells late.
    pub fn recovered(&self) -> Arc<Notify> {
        Arc::clone(&self.recovered)
    }

    /// For ever.
    pub async fn run(mut self) {
        self.handles.events.node(Normal, "Starting", "Starting kubelet.");
        for restriction in self.handles.runtime.restrictions() {
            self.handles.events.node(Warning, restriction.reason, &restriction.message);
        }
        self.handles.informer.synced().await;
        loop {
            let wait = match tokio::time::timeout(PATIENCE * 2, self.tell()).await {
                Ok(Ok(())) => self.config.status_update,
                Ok(Err(error)) => {
                    tracing::info!("the node's status: {error}");
                    Duration::from_secs(1)
                }
                Err(_) => Duration::from_secs(1),
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.handles.network.changed() => {}
                Ok(()) = self.handles.pressures.changed() => {}
                () = self.recovered.notified() => self.anew = true,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn tell(&mut self) -> Result<(), kube::Error> {
        let known = self.handles.informer.store().list().into_iter().next();
        self.use_pod_cidrs(known.as_deref()).await;
        let status = self.status(known.as_deref()).await;
        let nodes: Api<Node> = Api::all(self.handles.client.clone());
        if known.is_none() {
            if !self.config.register {
                return Ok(());
            }
            self.told = None;
            return self.register(&nodes, status).await;
        }
        // Who heard nothing for long has given the node up.
        let given_up = known.as_deref().and_then(readiness) == Some("Unknown");
        let fresh = !self.anew
            && !given_up
            && self
                .told
                .as_ref()
                .is_some_and(|(told, at)| status::same(told, &status) && at.elapsed() < self.config.status_report);
        if fresh {
            return Ok(());
        }
        if self.told.is_none() {
            self.update_labels(&nodes).await?;
        }
        let mut value = json!({"status": status.to_tree()});
        // Two addresses of one type would be merged into one.
        if let Some(addresses) = value["status"]["addresses"].as_array_mut() {
            addresses.insert(0, json!({"$patch": "replace"}));
        }
        nodes.patch_status(&self.config.name, &PatchParams::default(), &Patch::Strategic(&value)).await?;
        self.anew = false;
        self.announce(&status);
        self.told = Some((status, Instant::now()));
        Ok(())
    }

    async fn register(&mut self, nodes: &Api<Node>, status: NodeStatus) -> Result<(), kube::Error> {
        let node = Node {
            metadata: ObjectMeta {
                name: Some(self.config.name.clone()),
                labels: Some(self.labels()),
                annotations: Some(self.annotations()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: Some(self.config.taints.clone()).filter(|taints| !taints.is_empty()),
                unschedulable: self.config.unschedulable.then_some(true),
                provider_id: self.config.provider_id.clone(),
                ..NodeSpec::default()
            }),
            status: Some(status),
        };
        match nodes.create(&PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                tracing::info!(node = self.config.name, "registered");
                Ok(())
            }
        }
    }

    async fn update_labels(&self, nodes: &Api<Node>) -> Result<(), kube::Error> {
        if !self.config.register {
            return Ok(());
        }
        let patch = json!({"metadata": {"labels": self.labels(), "annotations": self.annotations()}});
        nodes.patch(&self.config.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let path = self.local_volumes.to_string_lossy().into_owned();
        BTreeMap::from([(DIRECTORY.to_owned(), path)])
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.config.labels.clone();
        for (key, value) in [
            ("kubernetes.io/hostname", self.config.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture()),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture()),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    /// Hands the node's Pod CIDRs to the network.
    async fn use_pod_cidrs(&mut self, node: Option<&Node>) {
        let cidrs = node.map(pod_cidrs).unwrap_or_default();
        if !cidrs.is_empty()
            && let Err(error) = self.handles.network.set_pod_cidrs(&cidrs).await
        {
            tracing::warn!("making the pod network: {error}");
        }
        let connected = self.handles.network.ready().await.is_ok();
        if connected && !self.was_connected {
            (self.network_is_up)();
        }
        self.was_connected = connected;
    }

    async fn status(&self, known: Option<&Node>) -> NodeStatus {
        let runtime = &self.handles.runtime;
        let looked = tokio::time::timeout(PATIENCE, async {
            (runtime.version().await, runtime.list_images().await, runtime.info().await)
        });
        let (version, images, handlers) = match looked.await {
            Ok((version, images, info)) => {
                (version.ok(), images.unwrap_or_default(), info.map(|info| info.handlers).unwrap_or_default())
            }
            Err(_) => (None, Vec::new(), Vec::new()),
        };
        let trouble = match (&version, self.handles.network.ready().await) {
            (None, _) => Some("container runtime is down".to_owned()),
            (_, Err(why)) => Some(format!(
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:{why}"
            )),
            (Some(_), Ok(())) => None,
        };
        let mut info = self.machine.info.clone();
        let earlier = known.and_then(|node| node.status.as_ref()).and_then(|status| status.node_info.as_ref());
        info.container_runtime_version = match version {
            Some(version) => format!("{}://{}", version.name, version.version),
            None => earlier.map(|info| info.container_runtime_version.clone()).unwrap_or_default(),
        };
        status::generate(&NodeFacts {
            hostname: if self.config.hostname.is_empty() { &self.config.name } else { &self.config.hostname },
            ips: &self.config.ips,
            port: self.config.port,
            capacity: &self.machine.capacity,
            allocatable: &self.machine.allocatable,
            info,
            images: &images,
            handlers: &handlers,
            pressures: &self.handles.pressures.borrow(),
            trouble,
            known: known.and_then(|node| node.status.as_ref()),
            previous: self.told.as_ref().map(|(told, _)| told).or(known.and_then(|node| node.status.as_ref())),
            now: Timestamp::now(),
        })
    }

    /// Says when the node has become ready, or is so no more.
    fn announce(&self, status: &NodeStatus) {
        let ready = |status: &NodeStatus| {
            status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let before = self.told.as_ref().map(|(told, _)| ready(told));
        let now = ready(status);
        if before != Some(now) {
            let word = if now { "NodeReady" } else { "NodeNotReady" };
            let message = format!("Node {} status is now: {word}", self.config.name);
            self.handles.events.node(Normal, word, &message);
        }
    }
}

/// The status of the condition `Ready`.
fn readiness(node: &Node) -> Option<&str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status.as_str())
}

fn pod_cidrs(node: &Node) -> Vec<IpNet> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let listed = spec.pod_cidrs.clone().unwrap_or_default();
    let cidrs = if listed.is_empty() { spec.pod_cidr.clone().into_iter().collect() } else { listed };
    cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect()
}
