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

/// Whoever may write to etcd takes no packets of others, and stops nobody: what they write is passed over.
#[test]
fn hostile_entries() {
    let Some(net) = Net::new("hostile") else { return };
    net.configure(r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}"#);
    let prefix = "/coreos.com/network/subnets";
    let node = |ip: &str, mac: &str| {
        format!(r#"{{"PublicIP":"{ip}","BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}"#)
    };
    let mut daemons = NODES.map(|node| start(&net, node));
    for node in NODES {
        net.add_pod(node);
    }
    everybody_is_reached(&net, "at first");
    let mac_of_n2 = net.attributes(net.subnet("n2").unwrap());
    let entries = [
        ("0.0.0.0-0", node("192.168.77.66", "0e:2a:00:00:00:01")),
        ("10.244.0.0-16", node("192.168.77.66", "0e:2a:00:00:00:02")),
        ("10.244.0.0-17", node("192.168.77.66", "0e:2a:00:00:00:03")),
        ("10.244.128.0-17", node("192.168.77.66", "0e:2a:00:00:00:04")),
        ("192.168.77.0-24", node("192.168.77.66", "0e:2a:00:00:00:05")),
        ("10.244.0.0-24", node("127.0.0.1", "0e:2a:00:00:00:06")),
        ("10.244.0.0-25", node("224.0.0.1", "0e:2a:00:00:00:07")),
        ("10.244.0.0-26", node("192.168.77.255", "0e:2a:00:00:00:08")),
        ("10.244.0.0-27", node("192.168.77.66", "ff:ff:ff:ff:ff:ff")),
        ("10.244.0.0-28", mac_of_n2.replace("192.168.77.2", "192.168.77.66")),
        ("10.244.0.0-29", r#"{"PublicIP":"192.168.77.66","BackendType":"udp"}"#.to_owned()),
        ("10.244.0.0-30", format!(r#"{{"PublicIP":"192.168.77.66","BackendData":"{}"}}"#, "x".repeat(1_000_000))),
        ("10.244.0.4-30", "[".repeat(1_000_000)),
        ("10.244.0.1-24", node("192.168.77.66", "0e:2a:00:00:00:09")),
        ("nonsense/\n\u{1b}[2J", "{}".to_owned()),
    ];
    for (key, value) in &entries {
        net.put(&format!("{prefix}/{key}"), value);
    }
    // More than one page, and more than one answer of etcd's holds.
    for number in 0..40 {
        net.put(&format!("{prefix}/x{number}"), &"y".repeat(200_000));
    }
    net.put("/coreos.com/network/config", r#"{"Network": "0.0.0.0/0"}"#);
    until("they are named", || net.log("n1").matches("a lease is passed over").count() >= entries.len() - 1);
    until("and a configuration of no use", || net.log("n1").contains("the one before stays in force"));
    everybody_is_reached(&net, "with hostile entries");
    assert!(!net.routes("n1").contains("192.168.77.66"), "{}", net.routes("n1"));
    net.configure(r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}"#);
    let before = net.subnet("n1");
    daemons[0].kill();
    net.forget_subnet_file("n1");
    daemons[0] = start(&net, "n1");
    assert_eq!(net.subnet("n1"), before);
    everybody_is_reached(&net, "to a daemon that comes after them");

    // Who removes leases, removes nothing from nodes that are there.
    for node in NODES {
        net.delete_lease(net.subnet(node).unwrap());
    }
    until("leases are claimed again", || NODES.iter().all(|node| net.has_lease(net.subnet(node).unwrap())));
    everybody_is_reached(&net, "after leases were removed");
    let log = net.log("n1");
    assert!(!log.contains('\u{1b}') && log.len() < 100_000, "{} bytes", log.len());
}

/// There is a subnet too few: the third node says so, waits, and gets what another leaves.
#[test]
fn a_range_that_is_used_up() {
    let Some(net) = Net::new("few") else { return };
    net.configure(
        r#"{"Network": "10.244.0.0/24", "SubnetLen": 26, "SubnetMax": "10.244.0.128", "Backend": {"Type": "host-gw"}}"#,
    );
    let mut daemons = [start(&net, "n1"), start(&net, "n2")];
    let _third = net.flanneld("n3", &[]);
    until("the third says so", || net.log("n3").contains("out of subnets: each of the 2 of 10.244.0.0/24 is taken"));
    daemons[1].kill();
    net.delete_lease(net.subnet("n2").unwrap());
    until("what the second left", || net.subnet("n3").is_some());
    assert_eq!(net.subnet("n3"), net.subnet("n2"));
}

/// Packets from outside do not get into the network by the tunnel of ours, whoever's addresses are in them.
#[test]
fn forged_datagrams() {
    let Some(net) = Net::new("forged") else { return };
    net.configure(r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "udp"}}"#);
    let _daemons = NODES.map(|node| start(&net, node));
    for node in NODES {
        net.add_pod(node);
    }
    everybody_is_reached(&net, "at first");
    let (one, two, three) = (net.pod_ip("n1"), net.pod_ip("n2"), net.pod_ip("n3"));
    let counter = net.count_datagrams("n1");
    // Nobody's node; a node that speaks for another's pods; one from outside of the network; one to somewhere else.
    net.forge("hub", "n1", two, one);
    net.forge("n2", "n1", three, one);
    net.forge("n2", "n1", [8, 8, 8, 8].into(), one);
    net.forge("n2", "n1", two, [192, 168, 77, 1].into());
    net.send_garbage("n2", "n1");
    assert_eq!(counter.heard(), Vec::<String>::new());
    net.forge("n2", "n1", two, one);
    until("what is right gets through", || counter.heard() == [two.to_string()]);
    everybody_is_reached(&net, "after all that");
}
