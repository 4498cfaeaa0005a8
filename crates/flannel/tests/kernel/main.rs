//! Real packets between pods on three nodes, for each backend, with etcd and the real kernel, in network namespaces that the test
//! makes. Needs root and etcd; does nothing without.
#![allow(clippy::unwrap_used)]

mod net;

use std::time::{Duration, Instant};

use net::{Daemon, Net};

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn start(net: &Net, node: &str) -> Daemon {
    let daemon = net.flanneld(node, &[]);
    until("a subnet", || net.subnet(node).is_some());
    daemon
}

/// Every pod reaches every other node's pod, and sees it by its own address.
fn everybody_is_reached(net: &Net, when: &str) {
    for from in NODES {
        for to in NODES.iter().filter(|to| **to != from) {
            let expected = format!("{to} {}", net.pod_ip(from));
            until(&format!("{when}: {from} reaches {to}"), || net.ask(from, to).is_ok_and(|answer| answer == expected));
        }
    }
}

fn on_every_backend(backend: &str, break_it: impl Fn(&Net)) {
    let Some(net) = Net::new(backend) else { return };
    net.configure(&format!(r#"{{"Network": "10.244.0.0/16", "Backend": {backend}}}"#));
    let mut daemons = NODES.map(|node| start(&net, node));
    for node in NODES {
        net.add_pod(node);
    }
    everybody_is_reached(&net, "at first");

    let before = net.subnet("n2");
    daemons[1].kill();
    assert!(net.ask("n1", "n2").is_ok() || backend.contains("udp"), "routes outlive the daemon");
    net.forget_subnet_file("n2");
    daemons[1] = start(&net, "n2");
    assert_eq!(net.subnet("n2"), before, "a daemon that was killed has its subnet again");
    everybody_is_reached(&net, "after a daemon was killed");

    break_it(&net);
    everybody_is_reached(&net, "after somebody removed what was made");

    if !backend.contains("udp") {
        let subnet = net.subnet("n3").unwrap();
        assert!(net.routes("n1").contains(&subnet.to_string()));
        daemons[2].kill();
        net.delete_lease(subnet);
        until("a node that left is forgotten", || !net.routes("n1").contains(&subnet.to_string()));
    }
}

#[test]
fn host_gw() {
    on_every_backend(r#"{"Type": "host-gw"}"#, |net| net.ip("n1", "route flush root 10.244.0.0/16 proto static"));
}

#[test]
fn vxlan() {
    on_every_backend(r#"{"Type": "vxlan"}"#, |net| {
        net.ip("n1", "link del flannel.1");
        net.ip("n2", "neigh flush dev flannel.1 nud permanent");
        net.ip("n3", "route flush root 10.244.0.0/16 proto static");
    });
}

#[test]
fn vxlan_with_direct_routes() {
    on_every_backend(r#"{"Type": "vxlan", "DirectRouting": true, "VNI": 7}"#, |net| {
        net.ip("n1", "route flush root 10.244.0.0/16 proto static");
    });
}

#[test]
fn udp() {
    on_every_backend(r#"{"Type": "udp"}"#, |net| net.ip("n1", "addr flush dev flannel0"));
}

/// Many start at once, and there are just enough subnets: everybody has one, and nobody the same.
#[test]
fn a_race_for_subnets() {
    let Some(net) = Net::new("race") else { return };
    net.configure(r#"{"Network": "10.244.0.0/24", "SubnetLen": 26, "Backend": {"Type": "host-gw"}}"#);
    let _daemons = NODES.map(|node| net.flanneld(node, &[]));
    for node in NODES {
        until("a subnet", || net.subnet(node).is_some());
    }
    let mut subnets = NODES.map(|node| net.subnet(node).unwrap()).to_vec();
    subnets.sort();
    subnets.dedup();
    assert_eq!(subnets.len(), 3, "{subnets:?}");
}

/// What leaves the network has the node's address, and what stays in it has the pod's.
#[test]
fn masquerading() {
    let Some(net) = Net::new("masq") else { return };
    net.configure(r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}"#);
    let _daemons = NODES.map(|node| net.flanneld(node, &["-ip-masq"]));
    for node in NODES {
        until("a subnet", || net.subnet(node).is_some());
        net.add_pod(node);
    }
    everybody_is_reached(&net, "with masquerading");
    assert_eq!(net.ask_hub("n1").unwrap(), "hub 192.168.77.1");
    assert!(net.subnet_file("n1").contains("FLANNEL_IPMASQ=true\n"));
    assert!(net.subnet_file("n1").contains("FLANNEL_MTU=1450\n"));
}
