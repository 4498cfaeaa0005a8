//! The proxy of the node, one family of it, without an API server.

use component::informer::ObjectKey;
use ipnet::IpNet;
use iptables::{Family, Flavour, HostIptables, Iptables};
use proxy::conntrack::UdpServices;
use proxy::endpoint::Place;
use proxy::mode::{ProxyMode, Rules};
use proxy::model::{EndpointSlice, Service};
use proxy::settings::{PodTraffic, Settings};
use proxy::table::ServiceTable;
use serde_json::{Value, json};

use crate::net::Net;

/// The node of these tests; the pod `b` is said to run on another, although it does not.
pub const NODE: &str = "n1";

/// Services and their slices.
#[derive(Clone)]
pub struct Objects {
    pub services: Vec<Service>,
    pub slices: Vec<EndpointSlice>,
}

impl Objects {
    /// Replaces the slice of a service.
    pub fn replace(&mut self, slice: EndpointSlice) {
        self.slices.retain(|other| other.service() != slice.service());
        self.slices.push(slice);
    }
}

/// An address of the pod or member of this name.
pub fn address(family: Family, member: &str) -> &'static str {
    match (family, member) {
        (Family::V4, "a") => "10.244.0.5",
        (Family::V4, "b") => "10.244.0.6",
        (Family::V4, "c") => "10.244.0.9",
        (Family::V4, "node") => "10.244.0.1",
        (Family::V6, "a") => "fd00:244::5",
        (Family::V6, "b") => "fd00:244::6",
        (Family::V6, "c") => "fd00:244::9",
        (Family::V6, "node") => "fd00:244::1",
        _ => panic!("{member} has no address"),
    }
}

/// The slice of a service whose ready endpoints are these pods.
pub fn slice(family: Family, service: &str, protocol: &str, port: u16, pods: &[&str]) -> EndpointSlice {
    let endpoints = pods.iter().map(|pod| endpoint(family, pod, json!({})));
    slice_of(family, service, protocol, port, endpoints.collect())
}

/// An endpoint with more fields.
pub fn endpoint(family: Family, pod: &str, more: Value) -> Value {
    let node = if pod == "a" { NODE } else { "n2" };
    let mut endpoint = json!({"addresses": [address(family, pod)], "nodeName": node});
    if let (Some(endpoint), Value::Object(more)) = (endpoint.as_object_mut(), more) {
        endpoint.extend(more);
    }
    endpoint
}

/// The slice of a service.
pub fn slice_of(family: Family, service: &str, protocol: &str, port: u16, endpoints: Vec<Value>) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family.name(),
        "ports": [{"name": "p", "port": port, "protocol": protocol}],
        "endpoints": endpoints,
    }))
    .unwrap()
}

/// Whether the mode works in this thread's network namespace.
pub fn probe(mode: ProxyMode) -> Result<ProxyMode, String> {
    block_on(ProxyMode::choose(Some(mode), &[Family::V4, Family::V6])).map_err(|error| error.to_string())
}

/// Whether this thread's network namespace takes rules of the legacy flavour.
pub fn probe_legacy() -> Result<(), String> {
    let iptables = HostIptables::with_flavour(Flavour::Legacy);
    let saved = async { iptables.has_chain(Family::V6, iptables::Table::Nat, &iptables::ChainName::OUTPUT).await };
    match block_on(saved) {
        Ok(true) => Ok(()),
        Ok(false) => Err("there is no nat table".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub struct Node<'n> {
    pub net: &'n Net,
    pub mode: ProxyMode,
    pub rules: Rules<HostIptables>,
    /// What is different from what these tests are told otherwise.
    pub adjust: fn(&mut Settings),
    table: ServiceTable,
    family: Family,
}

impl<'n> Node<'n> {
    pub fn new(net: &'n Net, mode: ProxyMode, family: Family) -> Self {
        let iptables = net.within("node", || block_on(HostIptables::detect()).unwrap());
        Self::with(net, mode, family, iptables)
    }

    /// With this flavour of iptables, whatever is in use here.
    pub fn with_flavour(net: &'n Net, mode: ProxyMode, family: Family, flavour: Flavour) -> Self {
        Self::with(net, mode, family, HostIptables::with_flavour(flavour))
    }

    fn with(net: &'n Net, mode: ProxyMode, family: Family, iptables: HostIptables) -> Self {
        let rules = Rules::new(mode, family, Some(iptables));
        Self { net, mode, rules, adjust: |_| {}, table: ServiceTable::new(family), family }
    }

    /// Brings what has changed into force; how many rules or elements were written.
    pub fn apply(&mut self, objects: &Objects) -> usize {
        let known = self.table.ports().keys().map(|port| ObjectKey::new("default", port.name.clone()));
        let mut keys: Vec<ObjectKey> = known.chain(objects.services.iter().map(ObjectKey::of)).collect();
        keys.sort();
        keys.dedup();
        let place = Place { node: NODE.into(), zone: Some("z1".into()) };
        let mut changes = Vec::new();
        for key in &keys {
            let service = objects.services.iter().find(|service| ObjectKey::of(*service) == *key);
            let slices = objects.slices.iter().filter(|slice| slice.service() == Some(&key.name));
            changes.extend(self.table.update(key, service, slices, &place));
        }
        let (rules, table, family, adjust) = (&mut self.rules, &self.table, self.family, self.adjust);
        self.net.within("node", move || {
            let mut settings = settings();
            adjust(&mut settings);
            block_on(async {
                let applied = rules.apply(table, &changes, &settings).await.unwrap();
                let mut flows = UdpServices::default();
                flows.note(&changes, table.ports());
                flows.delete_stale(family, settings.node_addresses.clone()).await.unwrap();
                applied.written
            })
        })
    }

    pub fn clean_up(&mut self) {
        self.rules = Rules::new(self.mode, self.family, None);
        let clean = async {
            for family in [Family::V4, Family::V6] {
                let iptables = HostIptables::detect().await.unwrap();
                proxy::apply::FamilyRules::new(family).clean_up(&iptables).await.unwrap();
                proxy::nft::apply::FamilyTable::new(family).clean_up().await.unwrap();
            }
        };
        self.net.within("node", || block_on(clean));
        let tables = self.net.within("node", || std::process::Command::new("nft").args(["list", "tables"]).output());
        assert!(!String::from_utf8_lossy(&tables.unwrap().stdout).contains("kube-proxy"));
    }

    pub fn saved(&self) -> String {
        let save = async { HostIptables::detect().await.unwrap().save(Family::V4).await.unwrap().to_string() };
        self.net.within("node", || block_on(save))
    }

    /// The lines of our nftables table, in an order that does not depend on how it came about. Clients that are
    /// remembered are left out.
    pub fn listed(&self) -> Vec<String> {
        let list = || std::process::Command::new("nft").args(["list", "table", "ip", "kube-proxy"]).output().unwrap();
        let text = String::from_utf8(self.net.within("node", list).stdout).unwrap();
        let mut lines: Vec<String> = text
            .split([',', '\n'])
            .map(|line| line.replace("elements = {", "").replace('}', "").trim().to_owned())
            .filter(|line| !line.is_empty() && !line.contains("expires"))
            .collect();
        lines.sort();
        lines
    }
}

fn settings() -> Settings {
    let nets = |texts: [&str; 2]| texts.map(|text| text.parse::<IpNet>().unwrap()).to_vec();
    let settings = Settings {
        pods: PodTraffic::Cidrs(nets(["10.244.0.0/16", "fd00:244::/64"])),
        service_ranges: nets(["10.96.0.0/16", "fd00:96::/112"]),
        ..Settings::default()
    };
    proxy::node::with_addresses(&settings, proxy::node::addresses().unwrap(), None)
}

/// On this very thread, so that processes are started in its namespace.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
