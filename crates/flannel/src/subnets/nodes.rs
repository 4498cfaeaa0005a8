//! Subnets that are the nodes' Pod CIDRs. Nodes tell each other by annotations of upstream's names.

use std::collections::BTreeMap;
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
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::{Everybody, Subnets};
use crate::config::NetworkConfig;
use crate::lease::{Attributes, Lease};

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
}

/// A subnet manager by way of the API server.
pub struct NodeSubnets {
    client: Client,
    name: String,
    annotations: Annotations,
    config: PathBuf,
    nodes: Informer<Node>,
    changed: Arc<Notify>,
}

/// Names of annotations.
#[derive(Clone)]
struct Annotations {
    backend_data: String,
    backend_type: String,
    public_ip: String,
    managed: String,
}

impl Annotations {
    /// As upstream, a prefix may end in `/` or `-`.
    fn new(prefix: &str) -> Self {
        let prefix = match prefix {
            prefix if prefix.ends_with(['/', '-']) => prefix.to_owned(),
            prefix if prefix.contains('/') => format!("{prefix}-"),
            prefix => format!("{prefix}/"),
        };
        let named = |name: &str| format!("{prefix}{name}");
        Self {
            backend_data: named("backend-data"),
            backend_type: named("backend-type"),
            public_ip: named("public-ip"),
            managed: named("kube-subnet-manager"),
        }
    }

    /// The lease of a node; `None` when it has none.
    fn lease(&self, node: &Node) -> Option<Lease> {
        let all = node.metadata.annotations.as_ref()?;
        if all.get(&self.managed).map(String::as_str) != Some("true") {
            return None;
        }
        let data = all.get(&self.backend_data).map_or("null", String::as_str);
        let attributes = Attributes {
            public_ip: all.get(&self.public_ip)?.parse().ok()?,
            public_ipv6: None,
            backend_type: all.get(&self.backend_type)?.clone(),
            backend_data: serde_json::from_str(data).ok()?,
        };
        Some(Lease { subnet: subnet(node)?, attributes })
    }
}

fn subnet(node: &Node) -> Option<Ipv4Net> {
    node.spec.pod_cidr.as_deref()?.parse::<Ipv4Net>().ok().map(|net| net.trunc())
}

impl NodeSubnets {
    /// A manager for the node of this name. `prefix` begins the annotations' names, `config` is the network's file.
    #[must_use]
    pub fn new(client: Client, name: &str, prefix: &str, config: PathBuf, daemon: &Daemon) -> Self {
        let nodes = Informer::<Node>::new(&(), &Scope::default());
        let changed = Arc::new(Notify::new());
        let ring = Arc::clone(&changed);
        nodes.on_event(move |_| ring.notify_one());
        nodes.start(client.clone(), daemon);
        Self { client, name: name.to_owned(), annotations: Annotations::new(prefix), config, nodes, changed }
    }

    fn own(&self) -> Option<Arc<Node>> {
        self.nodes.store().get(&ObjectKey::new("", &self.name))
    }

    /// Waits until the node has a Pod CIDR.
    async fn pod_cidr(&self) -> Ipv4Net {
        self.nodes.synced().await;
        let mut told = false;
        loop {
            match self.own() {
                Some(node) => match subnet(&node) {
                    Some(subnet) => return subnet,
                    None if !told => tracing::info!("node {} has no Pod CIDR yet: waiting", self.name),
                    None => {}
                },
                None if !told => tracing::info!("there is no node {} yet: waiting", self.name),
                None => {}
            }
            told = true;
            self.changed.notified().await;
        }
    }

    async fn annotate(&self, own: &Attributes) -> anyhow::Result<()> {
        let names = &self.annotations;
        let annotations = BTreeMap::from([
            (&names.backend_data, own.backend_data.to_string()),
            (&names.backend_type, own.backend_type.clone()),
            (&names.public_ip, own.public_ip.to_string()),
            (&names.managed, "true".to_owned()),
        ]);
        let patch = json!({"metadata": {"annotations": annotations}});
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.context("annotating the node")?;
        Ok(())
    }

    async fn report_available(&self) -> anyhow::Result<()> {
        let now = api_types::meta::Time(jiff::Timestamp::now());
        let patch = json!({"status": {"conditions": [{
            "type": "NetworkUnavailable",
            "status": "False",
            "reason": "FlannelIsUp",
            "message": "Flannel is running on this node",
            "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        }]}});
        let nodes: Api<Node> = Api::all(self.client.clone());
        let patched = nodes.patch_status(&self.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        patched.context("telling that the node has a network")?;
        Ok(())
    }
}

#[async_trait]
impl Subnets for NodeSubnets {
    async fn config(&self) -> anyhow::Result<NetworkConfig> {
        let text =
            std::fs::read_to_string(&self.config).with_context(|| format!("reading {}", self.config.display()))?;
        Ok(NetworkConfig::parse(&text)?)
    }

    async fn backend_data(&self, own: &Attributes) -> anyhow::Result<Option<Value>> {
        self.nodes.synced().await;
        let lease = self.own().and_then(|node| self.annotations.lease(&node));
        let same = lease.filter(|lease| lease.attributes.backend_type == own.backend_type);
        Ok(same.map(|lease| lease.attributes.backend_data))
    }

    async fn acquire(&self, config: &NetworkConfig, own: &Attributes, _: Option<Ipv4Net>) -> anyhow::Result<Lease> {
        let subnet = self.pod_cidr().await;
        if !config.network.contains(&subnet) {
            anyhow::bail!("the node's Pod CIDR {subnet} is no part of the network {}", config.network);
        }
        self.annotate(own).await?;
        Ok(Lease { subnet, attributes: own.clone() })
    }

    fn start(&self, _: NetworkConfig, own: Lease, daemon: &Daemon) -> Everybody {
        let (tell, everybody) = watch::channel(None);
        let this = Self {
            client: self.client.clone(),
            name: self.name.clone(),
            annotations: self.annotations.clone(),
            config: self.config.clone(),
            nodes: self.nodes.clone(),
            changed: Arc::clone(&self.changed),
        };
        let stop = daemon.shutdown.clone();
        daemon.spawn_until_shutdown(async move {
            if let Err(error) = this.report_available().await {
                tracing::warn!("{error:#}");
            }
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
            loop {
                let nodes = this.nodes.store().list();
                let leases = nodes.iter().filter_map(|node| this.annotations.lease(node)).collect();
                tell.send_replace(Some(Arc::new(leases)));
                let node = this.own();
                if node.as_deref().and_then(subnet).is_some_and(|subnet| subnet != own.subnet) {
                    tracing::error!("the node's Pod CIDR is not {} any more: ending, to begin anew", own.subnet);
                    return stop.cancel();
                }
                // A node that was deleted and is there again is told anew.
                let stands = node.as_ref().is_none_or(|node| this.annotations.lease(node).as_ref() == Some(&own));
                if stands {
                    backoff.reset();
                    this.changed.notified().await;
                } else if let Err(error) = this.annotate(&own.attributes).await {
                    tracing::warn!("{error:#}");
                    sleep(backoff.next_delay()).await;
                } else {
                    this.changed.notified().await;
                    let _ = this.report_available().await.inspect_err(|error| tracing::warn!("{error:#}"));
                }
            }
        });
        everybody
    }
}
