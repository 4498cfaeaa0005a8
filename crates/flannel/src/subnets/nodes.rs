//! Subnets that are the nodes' Pod CIDRs. Nodes tell each other by annotations of upstream's names.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api_types::meta::ObjectMeta;
use async_trait::async_trait;
use component::Daemon;
use component::api::Api;
use component::backoff::Backoff;
use component::informer::{Informer, ObjectKey, Scope};
use ipnet::Ipv4Net;
use kube::Client;
use kube::api::{Patch, PatchParams};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::allocate::Wishes;
use super::{Everybody, Subnets, Tell, publish};
use crate::config::NetworkConfig;
use crate::lease::{Attributes, Lease, MAX_FAULTS, Told, quote};

/// Of a longer configuration, no more is read.
const MAX_CONFIG: u64 = 1 << 20;

/// What of a node matters here.
#[derive(Clone, Debug, Deserialize)]
struct Node {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NodeSpec,
}
component::slim_resource!(Node => api_types::core::Node);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<Box<str>>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<Box<str>>>,
}

impl Node {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        Some(self.metadata.annotations.as_ref()?.get(name)?.as_str()).filter(|value| !value.is_empty())
    }

    /// The Pod CIDR of our family.
    fn subnet(&self) -> Option<Ipv4Net> {
        let all = self.spec.pod_cidrs.iter().flatten().chain(&self.spec.pod_cidr);
        // A subnet needs an address for the node's bridge and one for a pod.
        all.filter_map(|net| net.parse::<Ipv4Net>().ok()).map(|net| net.trunc()).find(|net| net.prefix_len() <= 30)
    }
}

/// A subnet manager by way of the API server.
#[derive(Clone)]
pub struct NodeSubnets {
    client: Client,
    settings: Arc<Settings>,
    nodes: Informer<Node>,
    changed: Arc<Notify>,
}

/// What a manager is told.
pub struct Settings {
    /// The node's name.
    pub name: String,
    /// Names of annotations.
    pub annotations: Annotations,
    /// The network's file.
    pub config: PathBuf,
    /// Whether the node's condition `NetworkUnavailable` is this daemon's to clear.
    pub clear_unavailable: bool,
}

/// Names of annotations.
pub struct Annotations {
    backend_data: String,
    backend_type: String,
    public_ip: String,
    managed: String,
    /// Where the others find a node, by its owner's word, when it is not where it thinks.
    overwrite: String,
    /// The same, for the node itself, too.
    node_public_ip: String,
}

impl Annotations {
    /// As upstream, a prefix is a domain, with or without a slash and the beginning of a name.
    ///
    /// # Errors
    /// When it is no such thing.
    pub fn new(prefix: &str) -> anyhow::Result<Self> {
        let shape = Regex::new(r"^([a-z0-9_-]+\.)+[a-z0-9_-]+(/([a-z0-9_-]+)?)?$")?;
        anyhow::ensure!(
            shape.is_match(prefix),
            "{prefix:?} is not a domain, or a domain, a slash and the beginning of a name"
        );
        let prefix = match prefix {
            prefix if prefix.ends_with(['/', '-']) && prefix.contains('/') => prefix.to_owned(),
            prefix if prefix.contains('/') => format!("{prefix}-"),
            prefix => format!("{prefix}/"),
        };
        let named = |name: &str| format!("{prefix}{name}");
        Ok(Self {
            backend_data: named("backend-data"),
            backend_type: named("backend-type"),
            public_ip: named("public-ip"),
            managed: named("kube-subnet-manager"),
            overwrite: named("public-ip-overwrite"),
            node_public_ip: named("node-public-ip"),
        })
    }

    fn is_managed(&self, node: &Node) -> bool {
        node.annotation(&self.managed) == Some("true")
    }

    /// What a node says of itself.
    fn attributes(&self, node: &Node) -> Result<Attributes, String> {
        let of = |name: &str| node.annotation(name).unwrap_or_default();
        Attributes::from_parts(of(&self.public_ip), of(&self.backend_type), of(&self.backend_data))
    }

    /// The lease of a node.
    fn lease(&self, node: &Node) -> Result<Lease, String> {
        let subnet = node.subnet().ok_or("it has no Pod CIDR of IPv4 in which there is room for pods")?;
        Ok(Lease { subnet, attributes: self.attributes(node)? })
    }

    /// What this node is to say of itself.
    fn wanted(&self, node: Option<&Node>, own: &Attributes) -> BTreeMap<&str, String> {
        let overwrite = node.and_then(|node| self.address(node, &self.overwrite));
        BTreeMap::from([
            (self.backend_data.as_str(), own.backend_data.to_string()),
            (self.backend_type.as_str(), own.backend_type.clone()),
            (self.public_ip.as_str(), overwrite.unwrap_or(own.public_ip).to_string()),
            (self.managed.as_str(), "true".to_owned()),
        ])
    }

    fn address(&self, node: &Node, name: &str) -> Option<Ipv4Addr> {
        let text = node.annotation(name)?;
        let ip = text.parse().ok();
        if ip.is_none() {
            tracing::warn!("annotation {name} of this node is no IPv4 address: {}", quote(text));
        }
        ip
    }
}

impl NodeSubnets {
    /// A manager.
    #[must_use]
    pub fn new(client: Client, settings: Settings, daemon: &Daemon) -> Self {
        let nodes = Informer::<Node>::new(&(), &Scope::default());
        let changed = Arc::new(Notify::new());
        let ring = Arc::clone(&changed);
        nodes.on_event(move |_| ring.notify_one());
        nodes.start(client.clone(), daemon);
        Self { client, settings: Arc::new(settings), nodes, changed }
    }

    fn own(&self) -> Option<Arc<Node>> {
        self.nodes.store().get(&ObjectKey::new("", &self.settings.name))
    }

    /// Waits until there is something to be had of this node; says once what is waited for.
    async fn wait<T>(&self, what: &str, have: impl Fn(&Node) -> Option<T>) -> T {
        self.nodes.synced().await;
        let mut told = false;
        loop {
            let node = self.own();
            if let Some(found) = node.as_deref().and_then(&have) {
                return found;
            }
            if !told {
                let missing = if node.is_some() { what } else { "object" };
                tracing::info!("node {} has no {missing} yet: waiting", self.settings.name);
            }
            told = true;
            self.changed.notified().await;
        }
    }

    /// By way of the status, as upstream: its role for flannel has no right to change nodes otherwise.
    async fn patch(&self, patch: Patch<Value>) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch_status(&self.settings.name, &PatchParams::default(), &patch).await.map(drop)
    }

    async fn annotate(&self, own: &Attributes) -> anyhow::Result<()> {
        let node = self.own();
        let annotations = self.settings.annotations.wanted(node.as_deref(), own);
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.patch(patch).await.context("annotating the node")
    }

    async fn report_available(&self) -> anyhow::Result<()> {
        if !self.settings.clear_unavailable {
            return Ok(());
        }
        let now = api_types::meta::Time(jiff::Timestamp::now());
        let patch = json!({"status": {"conditions": [{
            "type": "NetworkUnavailable",
            "status": "False",
            "reason": "FlannelIsUp",
            "message": "Flannel is running on this node",
            "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        }]}});
        self.patch(Patch::Strategic(patch)).await.context("telling that the node has a network")
    }

    /// The others' leases: who was there first comes first.
    fn told(&self) -> Told {
        let mut nodes = self.nodes.store().list();
        nodes.retain(|node| node.name() != self.settings.name && self.settings.annotations.is_managed(node));
        nodes.sort_by_cached_key(|node| {
            (node.metadata.creation_timestamp.as_ref().map(|time| time.0), node.name().to_owned())
        });
        let mut told = Told::default();
        for node in nodes {
            match self.settings.annotations.lease(&node) {
                Ok(lease) => told.leases.push(lease),
                Err(fault) if told.faults.len() < MAX_FAULTS => {
                    told.faults.push(format!("node {}: {fault}", node.name()));
                }
                Err(_) => {}
            }
        }
        told
    }

    /// Whether this node says of itself what it is to say.
    fn stands(&self, node: &Node, own: &Attributes) -> bool {
        let wanted = self.settings.annotations.wanted(Some(node), own);
        wanted.iter().all(|(name, value)| node.annotation(name) == Some(value))
    }

    /// Follows the nodes for as long as this one has its subnet.
    async fn follow(&self, own: &Lease, tell: &Tell) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut is_reported = false;
        loop {
            publish(tell, self.told());
            let node = self.own();
            if node.as_deref().and_then(Node::subnet).is_some_and(|subnet| subnet != own.subnet) {
                return;
            }
            // A node that was deleted and is there again is told anew.
            let stands = node.map(|node| self.stands(&node, &own.attributes));
            is_reported &= stands == Some(true);
            let done = match stands {
                Some(false) => self.annotate(&own.attributes).await,
                Some(true) if !is_reported => self.report_available().await.map(|()| is_reported = true),
                _ => Ok(()),
            };
            match done {
                Ok(()) => {
                    backoff.reset();
                    self.changed.notified().await;
                }
                Err(error) => {
                    tracing::warn!("{error:#}");
                    sleep(backoff.next_delay()).await;
                }
            }
        }
    }
}

#[async_trait]
impl Subnets for NodeSubnets {
    async fn config(&self) -> anyhow::Result<NetworkConfig> {
        let path = &self.settings.config;
        let mut text = String::new();
        let file = std::fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
        file.take(MAX_CONFIG).read_to_string(&mut text).with_context(|| format!("reading {}", path.display()))?;
        let mut config = NetworkConfig::parse(&text)?;
        // Who hands out Pod CIDRs does not ask which subnets the configuration allows.
        config.pods = config.network.network()..=config.network.broadcast();
        Ok(config)
    }

    async fn backend_data(&self, own: &Attributes) -> anyhow::Result<Option<Value>> {
        self.nodes.synced().await;
        let before = self.own().and_then(|node| self.settings.annotations.attributes(&node).ok());
        let same = before.filter(|before| before.backend_type == own.backend_type);
        Ok(same.map(|before| before.backend_data))
    }

    async fn public_ip(&self) -> anyhow::Result<Option<Ipv4Addr>> {
        let annotations = &self.settings.annotations;
        Ok(self.wait("object", |node| Some(annotations.address(node, &annotations.node_public_ip))).await)
    }

    async fn acquire(&self, config: &NetworkConfig, own: &Attributes, wishes: Wishes) -> anyhow::Result<Lease> {
        let subnet = self.wait("Pod CIDR", Node::subnet).await;
        anyhow::ensure!(
            config.network.contains(&subnet),
            "the node's Pod CIDR {subnet} is no part of the network {}",
            config.network
        );
        let link = wishes.link;
        anyhow::ensure!(
            !subnet.contains(&link) && !link.contains(&subnet),
            "the node's Pod CIDR {subnet} overlaps {link}, on which the nodes are"
        );
        self.annotate(own).await?;
        Ok(Lease { subnet, attributes: own.clone() })
    }

    fn start(&self, _: NetworkConfig, own: Lease, daemon: &Daemon) -> Everybody {
        let (tell, everybody) = watch::channel(None);
        let this = self.clone();
        let stop = daemon.shutdown.clone();
        daemon.spawn_until_shutdown(async move {
            this.follow(&own, &tell).await;
            tracing::error!("the node's Pod CIDR is not {} any more: ending, to begin anew", own.subnet);
            stop.cancel();
        });
        everybody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_annotations() {
        let cases = [
            ("flannel.alpha.coreos.com", "flannel.alpha.coreos.com/public-ip"),
            ("flannel.alpha.coreos.com/", "flannel.alpha.coreos.com/public-ip"),
            ("example.com/net-1", "example.com/net-1-public-ip"),
            ("example.com/net-", "example.com/net-public-ip"),
        ];
        for (prefix, expected) in cases {
            assert_eq!(Annotations::new(prefix).unwrap().public_ip, expected);
        }
        for prefix in ["", "flannel", "a.b/c/d", "A.b/c", "a.b/c d", "/x", "a.b/\n"] {
            assert!(Annotations::new(prefix).is_err(), "{prefix:?}");
        }
    }
}
