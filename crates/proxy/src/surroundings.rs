//! What all rules depend on besides Services: this node, and the ranges of virtual addresses.

use std::net::IpAddr;

use component::Daemon;
use component::informer::{Informer, ObjectKey, Scope};
use ipnet::IpNet;
use kube::Client;

use crate::changes::Changes;
use crate::config::{Config, NodePortPlace};
use crate::endpoint::Place;
use crate::health::ProxyHealth;
use crate::model::{Node, ServiceCidr};
use crate::node;
use crate::settings::{PodTraffic, Settings};

/// The label that names a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Informers of them.
#[derive(Clone, Debug)]
pub struct Surroundings {
    nodes: Informer<Node>,
    /// `None` when a flag names the ranges.
    ranges: Option<Informer<ServiceCidr>>,
}

/// What they are now.
#[derive(Clone, Debug)]
pub struct Now {
    /// Where this proxy is.
    pub place: Place,
    /// Settings of the rules.
    pub settings: Settings,
}

impl Surroundings {
    /// Idle until started.
    #[must_use]
    pub fn new(config: &Config, changes: &Changes, health: &ProxyHealth) -> Self {
        let scope = Scope { field_selector: Some(format!("metadata.name={}", config.node)), ..Scope::default() };
        let nodes = Informer::<Node>::new(&(), &scope);
        let (health, noted) = (health.clone(), changes.clone());
        nodes.on_event(move |event| {
            health.node(event.object());
            noted.surroundings();
        });
        let ranges = config.settings.service_ranges.is_empty().then(|| {
            let ranges = Informer::<ServiceCidr>::new(&(), &Scope::default());
            let noted = changes.clone();
            ranges.on_event(move |_| noted.surroundings());
            ranges
        });
        Self { nodes, ranges }
    }

    /// Starts the informers.
    pub fn start(&self, client: &Client, daemon: &Daemon) {
        self.nodes.start(client.clone(), daemon);
        if let Some(ranges) = &self.ranges {
            ranges.start(client.clone(), daemon);
        }
    }

    /// Waits for what rules must not be made without.
    pub async fn settled(&self, config: &Config) {
        if config.settings.pods == PodTraffic::NodeCidrs || config.node_ports.contains(&NodePortPlace::Primary) {
            self.nodes.synced().await;
        }
    }

    /// What they are now. What is not known yet is left out; a change is told when it is.
    #[must_use]
    pub fn now(&self, config: &Config) -> Now {
        let node = self.nodes.store().get(&ObjectKey::new("", config.node.clone()));
        let zone = node.as_ref().and_then(|node| node.metadata.labels.as_ref()?.get(ZONE).cloned());
        let place = Place { node: config.node.clone(), zone: zone.filter(|zone| !zone.is_empty()) };
        let mut settings = config.settings.clone();
        if settings.pods == PodTraffic::NodeCidrs {
            let texts = node.iter().flat_map(|node| &node.spec.pod_cidrs);
            settings.pods = PodTraffic::Cidrs(texts.filter_map(|text| text.parse().ok()).collect());
        }
        settings.service_ranges.extend(self.ranges.iter().flat_map(service_ranges));
        let addresses = node::addresses().unwrap_or_else(|error| {
            tracing::error!("list this node's addresses: {error}");
            Vec::new()
        });
        let primary = node.as_deref().map(primary_addresses).unwrap_or_default();
        let networks: Vec<IpNet> = config.node_ports.iter().flat_map(|place| place.networks(&primary)).collect();
        let networks = (!config.node_ports.is_empty()).then_some(networks.as_slice());
        Now { place, settings: node::with_addresses(&settings, addresses, networks) }
    }
}

fn service_ranges(ranges: &Informer<ServiceCidr>) -> Vec<IpNet> {
    let ranges = ranges.store().list();
    let texts = ranges.iter().flat_map(|range| range.spec.cidrs.iter().flatten());
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// The first address of each family, those inside of the cluster before those outside.
fn primary_addresses(node: &Node) -> Vec<IpAddr> {
    let of = |kind: &'static str| node.status.addresses.iter().flatten().filter(move |address| address.kind == kind);
    let all = of("InternalIP").chain(of("ExternalIP")).filter_map(|address| address.address.parse::<IpAddr>().ok());
    let mut primary: Vec<IpAddr> = Vec::new();
    for ip in all {
        if primary.iter().all(|known| known.is_ipv4() != ip.is_ipv4()) {
            primary.push(ip);
        }
    }
    primary
}
