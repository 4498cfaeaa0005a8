//! Real packets through the rules in the real kernel, in network namespaces that the test makes. Needs root; does
//! nothing without.
#![allow(clippy::unwrap_used)]

mod net;

use std::collections::BTreeSet;
use std::io::ErrorKind;

use ipnet::IpNet;
use iptables::{Family, HostIptables, Iptables};
use net::{Net, ask};
use proxy::apply::{Applied, FamilyRules};
use proxy::model::{EndpointSlice, Service};
use proxy::node;
use proxy::settings::{PodTraffic, Settings};

/// Endpoints of the three services of this test, all in namespace `default`.
struct Endpoints {
    web: &'static [&'static str],
    dns: &'static [&'static str],
}

fn services() -> Vec<Service> {
    [
        "{kind: Service, metadata: {namespace: default, name: web}, spec: {type: NodePort, clusterIP: 10.96.0.20, \
       ports: [{name: http, protocol: TCP, port: 80, nodePort: 30080}]}}",
        "{kind: Service, metadata: {namespace: default, name: dns}, spec: {type: NodePort, clusterIP: 10.96.0.10, \
       ports: [{name: dns, protocol: UDP, port: 53, nodePort: 30053}]}}",
        "{kind: Service, metadata: {namespace: default, name: sticky}, spec: {type: ClusterIP, clusterIP: 10.96.0.30, \
       sessionAffinity: ClientIP, ports: [{name: http, protocol: TCP, port: 80}]}}",
    ]
    .iter()
    .map(|yaml| serde_json::from_value(api_types::yaml::from_str(yaml).unwrap()).unwrap())
    .collect()
}

fn slice(service: &str, port: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoints: Vec<_> = addresses.iter().map(|a| serde_json::json!({"addresses": [a], "nodeName": "n1"})).collect();
    let (name, number, protocol) = if port == "dns" { (port, 5353, "UDP") } else { (port, 8080, "TCP") };
    serde_json::from_value(serde_json::json!({
        "metadata": {"namespace": "default", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": name, "port": number, "protocol": protocol}],
        "endpoints": endpoints,
    }))
    .unwrap()
}

struct Node<'n> {
    net: &'n Net,
    rules: FamilyRules,
}

impl Node<'_> {
    fn apply(&mut self, endpoints: &Endpoints) -> Applied {
        let slices = [
            slice("web", "http", endpoints.web),
            slice("dns", "dns", endpoints.dns),
            slice("sticky", "http", endpoints.web),
        ];
        let services = services();
        let rules = &mut self.rules;
        self.net.within("node", move || {
            block_on(async {
                let iptables = HostIptables::detect().await.unwrap();
                let pods: IpNet = "10.244.0.0/16".parse().unwrap();
                let settings = Settings { pods: PodTraffic::Cidrs(vec![pods]), ..Settings::default() };
                let settings = node::with_addresses(&settings, node::addresses().unwrap(), &[]);
                rules.apply(&iptables, &services, &slices, "n1", &settings).await.unwrap()
            })
        })
    }

    fn saved(&self) -> String {
        let save = async { HostIptables::detect().await.unwrap().save(Family::V4).await.unwrap().to_string() };
        self.net.within("node", || block_on(save))
    }
}

/// On this very thread, so that processes are started in its namespace.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn answers(net: &Net, from: &str, to: &str) -> BTreeSet<String> {
    (0..24).map(|_| net.get(from, to).unwrap_or_else(|e| panic!("{from} to {to}: {e}"))).collect()
}

fn set<const N: usize>(answers: [&str; N]) -> BTreeSet<String> {
    answers.map(str::to_owned).into()
}

const BOTH: Endpoints = Endpoints { web: &["10.244.0.5", "10.244.0.6"], dns: &["10.244.0.5"] };

#[test]
fn packets_follow_the_services() {
    let Some(net) = Net::new() else { return };
    net.serve("a");
    net.serve("b");
    net.within("node", || std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")).unwrap();
    let mut node = Node { net: &net, rules: FamilyRules::new(Family::V4) };
    assert!(node.apply(&BOTH).written > 20);

    balanced(&net);
    rules_come_back(&mut node);
    udp_flows_follow_their_endpoints(&mut node);
    no_endpoints_is_refused_at_once(&mut node);

    node.net.within("node", || {
        block_on(async {
            let iptables = HostIptables::detect().await.unwrap();
            FamilyRules::new(Family::V4).clean_up(&iptables).await.unwrap();
        });
    });
    assert!(!node.saved().contains("KUBE-"), "{}", node.saved());
}

fn balanced(net: &Net) {
    assert_eq!(answers(net, "c", "10.96.0.20:80"), set(["a 10.244.0.9", "b 10.244.0.9"]), "pods keep their address");
    assert_eq!(answers(net, "out", "172.16.0.1:30080"), set(["a 10.244.0.1", "b 10.244.0.1"]), "node port");
    assert_eq!(answers(net, "node", "127.0.0.1:30080"), set(["a 10.244.0.1", "b 10.244.0.1"]), "on localhost");
    assert_eq!(answers(net, "node", "10.96.0.20:80"), set(["a 10.244.0.1", "b 10.244.0.1"]), "from the node");
    assert_eq!(answers(net, "a", "10.96.0.20:80"), set(["a 10.244.0.1", "b 10.244.0.5"]), "a pod that calls itself");
    assert_eq!(answers(net, "c", "10.96.0.30:80").len(), 1, "with affinity");
    assert_eq!(ask(&net.udp("c", "10.96.0.10:53")).unwrap(), "a");
    assert_eq!(ask(&net.udp("out", "172.16.0.1:30053")).unwrap(), "a");
}

fn rules_come_back(node: &mut Node<'_>) {
    node.rules = FamilyRules::new(Family::V4);
    assert_eq!(node.apply(&BOTH).written, 0, "a restart changes nothing");
    for words in [&["-F"][..], &["-t", "nat", "-F", "KUBE-SERVICES"], &["-t", "nat", "-F", "PREROUTING"]] {
        let flush = || std::process::Command::new("iptables").args(words).status().unwrap();
        assert!(node.net.within("node", flush).success());
        node.rules.distrust();
        assert!(node.apply(&BOTH).written > 0);
        balanced(node.net);
    }
}

fn udp_flows_follow_their_endpoints(node: &mut Node<'_>) {
    let (inside, outside) = (node.net.udp("c", "10.96.0.10:53"), node.net.udp("out", "172.16.0.1:30053"));
    assert_eq!((ask(&inside).unwrap(), ask(&outside).unwrap()), ("a".into(), "a".into()));
    node.apply(&Endpoints { dns: &["10.244.0.6"], ..BOTH });
    assert_eq!((ask(&inside).unwrap(), ask(&outside).unwrap()), ("b".into(), "b".into()), "on the same sockets");
}

fn no_endpoints_is_refused_at_once(node: &mut Node<'_>) {
    node.apply(&Endpoints { web: &[], ..BOTH });
    for (from, to) in [("c", "10.96.0.20:80"), ("out", "172.16.0.1:30080"), ("node", "10.96.0.20:80")] {
        assert_eq!(node.net.get(from, to).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{from} to {to}");
    }
}
