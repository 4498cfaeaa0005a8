//! The subnet manager of nodes, with a real API server in this process.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use apiserver::testing::TestServer;
use component::Daemon;
use component::api::Api;
use flannel::lease::{Attributes, Lease};
use flannel::subnets::allocate::Wishes;
use flannel::subnets::nodes::{Annotations, NodeSubnets, Settings};
use flannel::subnets::{Everybody, Subnets};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(20);
const CONFIG: &str = r#"{"Network": "10.244.0.0/16", "SubnetMin": "10.244.128.0", "Backend": {"Type": "vxlan"}}"#;

type Nodes = Api<api_types::core::Node>;

struct Cluster {
    server: TestServer,
    daemon: Daemon,
    directory: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let (server, directory) = (TestServer::start().await, tempfile::tempdir().unwrap());
        std::fs::write(directory.path().join("net-conf.json"), CONFIG).unwrap();
        Self { server, daemon: Daemon::new(), directory }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("net-conf.json")
    }

    fn nodes(&self) -> Nodes {
        Api::all(self.server.client())
    }

    /// A node with a Pod CIDR and annotations, whose names begin as upstream's.
    async fn create(&self, name: &str, cidr: &str, annotations: Value) {
        let mut named = serde_json::Map::new();
        for (key, value) in annotations.as_object().unwrap() {
            named.insert(format!("flannel.alpha.coreos.com/{key}"), value.clone());
        }
        let node =
            json!({"metadata": {"name": name, "annotations": named}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}});
        self.nodes().create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    }

    async fn annotate(&self, name: &str, annotations: Value) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.nodes().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    fn manager(&self, name: &str) -> NodeSubnets {
        let settings = Settings {
            name: name.to_owned(),
            annotations: Annotations::new("flannel.alpha.coreos.com").unwrap(),
            config: self.config(),
            clear_unavailable: true,
        };
        NodeSubnets::new(self.server.client(), settings, &self.daemon)
    }

    /// What a node says of itself, as soon as it holds.
    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let node = self.nodes().get_opt(name).await.unwrap();
                let node = serde_json::to_value(node).unwrap();
                if holds(&node) {
                    return node;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
    }
}

fn annotation<'a>(node: &'a Value, name: &str) -> &'a str {
    node["metadata"]["annotations"][format!("flannel.alpha.coreos.com/{name}")].as_str().unwrap_or_default()
}

fn own() -> Attributes {
    let json =
        br#"{"PublicIP":"192.168.0.1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0e:2a:00:00:00:01"}}"#;
    Attributes::read(json).unwrap()
}

fn wishes() -> Wishes {
    Wishes { before: None, link: "192.168.0.0/24".parse().unwrap() }
}

async fn acquire(manager: &NodeSubnets) -> anyhow::Result<Lease> {
    let config = manager.config().await.unwrap();
    manager.acquire(&config, &own(), wishes()).await
}

async fn told(everybody: &mut Everybody, holds: impl Fn(&[Lease], &[String]) -> bool) {
    let wanted = everybody.wait_for(|told| told.as_ref().is_some_and(|told| holds(&told.leases, &told.faults)));
    tokio::time::timeout(PATIENCE, wanted).await.expect("the others to be known").unwrap();
}

#[tokio::test]
async fn nodes_tell_each_other_as_upstreams_do() {
    let cluster = Cluster::start().await;
    cluster
        .create(
            "other",
            "10.244.2.0/24",
            json!({
                "backend-data": r#"{"VNI":1,"VtepMAC":"5a:8a:76:e5:27:d8"}"#,
                "backend-type": "vxlan", "kube-subnet-manager": "true", "public-ip": "192.168.0.2",
            }),
        )
        .await;
    cluster.create("mine", "10.244.1.0/24", json!({})).await;
    let manager = cluster.manager("mine");
    let lease = acquire(&manager).await.unwrap();
    assert_eq!(lease.subnet.to_string(), "10.244.1.0/24", "whatever SubnetMin says: upstream does not ask it here");
    let mut everybody = manager.start(manager.config().await.unwrap(), lease, &cluster.daemon);
    told(&mut everybody, |leases, faults| {
        faults.is_empty()
            && leases
                .iter()
                .map(|lease| (lease.subnet.to_string(), lease.attributes.public_ip.to_string()))
                .collect::<Vec<_>>()
                == [("10.244.2.0/24".to_owned(), "192.168.0.2".to_owned())]
    })
    .await;
    let is_available = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|c| c["type"] == "NetworkUnavailable" && c["status"] == "False" && c["reason"] == "FlannelIsUp")
    };
    let node = cluster.until("mine", "the node has a network", is_available).await;
    let said = ["backend-data", "backend-type", "public-ip", "kube-subnet-manager"].map(|name| annotation(&node, name));
    assert_eq!(said, [r#"{"VNI":1,"VtepMAC":"0e:2a:00:00:00:01"}"#, "vxlan", "192.168.0.1", "true"]);

    // Deleted, and there again: it is told anew, and the others' leases go on.
    cluster.nodes().delete("mine", &DeleteParams::default()).await.unwrap();
    cluster.create("mine", "10.244.1.0/24", json!({})).await;
    let is_told = |node: &Value| annotation(node, "public-ip") == "192.168.0.1" && is_available(node);
    cluster.until("mine", "a node that joined again is told anew", is_told).await;
    // Another life has the same hardware address.
    let data = cluster.manager("mine").backend_data(&own()).await.unwrap();
    assert_eq!(data, Some(json!({"VNI": 1, "VtepMAC": "0e:2a:00:00:00:01"})));

    cluster.nodes().delete("other", &DeleteParams::default()).await.unwrap();
    told(&mut everybody, |leases, _| leases.is_empty()).await;
    assert!(!cluster.daemon.shutdown.is_cancelled());
    cluster.daemon.shutdown.cancel();
}

#[tokio::test]
async fn odd_nodes_are_named_and_the_rest_goes_on() {
    let cluster = Cluster::start().await;
    let good = json!({"backend-type": "vxlan", "kube-subnet-manager": "true", "public-ip": "192.168.0.9"});
    let with = |name: &str, value: &str| {
        let mut all = good.clone();
        all[name] = json!(value);
        all
    };
    cluster.create("mine", "10.244.0.0/24", json!({})).await;
    for (number, (name, annotations)) in [
        ("no-address", with("public-ip", "")),
        ("no-ipv4", with("public-ip", "fd00::1")),
        ("no-json", with("backend-data", "{")),
        ("long", with("backend-data", &format!("\"{}\"", "x".repeat(100_000)))),
        ("deep", with("backend-data", &"[".repeat(2000))),
        ("not-managed", with("kube-subnet-manager", "false")),
        ("good", good.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        cluster.create(name, &format!("10.244.{}.0/24", number + 1), annotations).await;
    }
    cluster.create("ipv6", "fd00:1::/64", good.clone()).await;
    let manager = cluster.manager("mine");
    let lease = acquire(&manager).await.unwrap();
    let mut everybody = manager.start(manager.config().await.unwrap(), lease, &cluster.daemon);
    told(&mut everybody, |leases, faults| {
        let mut named: Vec<&str> = faults.iter().map(|fault| fault.split([' ', ':']).nth(1).unwrap()).collect();
        named.sort_unstable();
        leases.len() == 1 && named == ["deep", "ipv6", "long", "no-address", "no-ipv4", "no-json"]
    })
    .await;
    assert!(everybody.borrow().as_ref().unwrap().faults.iter().all(|fault| fault.len() < 300));
    cluster.annotate("no-json", json!({"flannel.alpha.coreos.com/backend-data": "null"})).await;
    told(&mut everybody, |leases, faults| leases.len() == 2 && faults.len() == 5).await;
    cluster.daemon.shutdown.cancel();
}

#[tokio::test]
async fn addresses_that_the_owner_knows_better() {
    let cluster = Cluster::start().await;
    cluster
        .create("mine", "10.244.1.0/24", json!({"public-ip-overwrite": "203.0.113.7", "node-public-ip": "192.168.0.1"}))
        .await;
    cluster.create("odd", "10.244.2.0/24", json!({"public-ip-overwrite": "x", "node-public-ip": "y"})).await;
    let manager = cluster.manager("mine");
    assert_eq!(manager.public_ip().await.unwrap(), Some(Ipv4Addr::new(192, 168, 0, 1)));
    let lease = acquire(&manager).await.unwrap();
    let node = cluster.until("mine", "annotations", |node| !annotation(node, "public-ip").is_empty()).await;
    assert_eq!(annotation(&node, "public-ip"), "203.0.113.7");
    let _everybody = manager.start(manager.config().await.unwrap(), lease, &cluster.daemon);
    cluster.annotate("mine", json!({"flannel.alpha.coreos.com/public-ip-overwrite": null})).await;
    cluster.until("mine", "what was overwritten", |node| annotation(node, "public-ip") == "192.168.0.1").await;

    let odd = cluster.manager("odd");
    assert_eq!(odd.public_ip().await.unwrap(), None);
    acquire(&odd).await.unwrap();
    cluster.until("odd", "annotations", |node| annotation(node, "public-ip") == "192.168.0.1").await;
    cluster.daemon.shutdown.cancel();
}

#[tokio::test]
async fn pod_cidrs_that_would_lead_astray() {
    let cluster = Cluster::start().await;
    for (name, cidr) in [("elsewhere", "10.99.1.0/24"), ("on-the-link", "10.244.7.0/24")] {
        cluster.create(name, cidr, json!({})).await;
    }
    let error = acquire(&cluster.manager("elsewhere")).await.unwrap_err().to_string();
    assert_eq!(error, "the node's Pod CIDR 10.99.1.0/24 is no part of the network 10.244.0.0/16");
    let manager = cluster.manager("on-the-link");
    let wishes = Wishes { before: None, link: "10.244.7.128/25".parse().unwrap() };
    let error = manager.acquire(&manager.config().await.unwrap(), &own(), wishes).await.unwrap_err().to_string();
    assert_eq!(error, "the node's Pod CIDR 10.244.7.0/24 overlaps 10.244.7.128/25, on which the nodes are");

    for text in ["", "{", r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "magic"}}"#] {
        std::fs::write(cluster.config(), text).unwrap();
        assert!(manager.config().await.is_err(), "{text}");
    }
    cluster.daemon.shutdown.cancel();
}
