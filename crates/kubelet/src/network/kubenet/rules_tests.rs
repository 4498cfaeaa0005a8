//! The rules as text, and what becomes of packets.

use std::net::{Ipv4Addr, SocketAddr};

use iptables::trace::{Host, Origin, Packet, Tracer};
use iptables::{FakeIptables, Family};

use super::super::iptables::make;
use super::*;
use crate::runtime::PodIdentity;

fn record(id: &str, last: u8, ports: &[(u16, u16, Protocol)]) -> Record {
    let port = |(host_port, container_port, protocol): &(u16, u16, Protocol)| HostPort {
        host_ip: None,
        host_port: *host_port,
        container_port: *container_port,
        protocol: *protocol,
    };
    Record {
        sandbox: id.into(),
        pod: PodIdentity::default(),
        ip: Ipv4Addr::new(10, 0, 3, last),
        host_ports: ports.iter().map(port).collect(),
    }
}

fn chains(bridge: &str) -> Chains {
    Chains::of_bridge(bridge).unwrap()
}

async fn apply(iptables: &FakeIptables, records: &[Record]) {
    let facts = Facts {
        bridge: DEFAULT_BRIDGE,
        pod_cidr: "10.0.3.0/24".parse().unwrap(),
        cluster_cidrs: &["10.0.0.0/16".parse().unwrap()],
        records: records.iter().collect(),
    };
    let chains = chains(DEFAULT_BRIDGE);
    make(iptables, &render(&chains, &facts).unwrap(), &chains).await.unwrap();
}

fn text(iptables: &FakeIptables) -> String {
    iptables.rules(Family::V4).to_string()
}

/// Rules of others, which must stay.
const OTHERS: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-HP-A1B2C3-0123456789AB - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
COMMIT
*filter
:FORWARD ACCEPT [0:0]
COMMIT
";

const PLAIN: [&str; 9] = [
    "-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS",
    "-A OUTPUT -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS",
    "-A POSTROUTING -j KUBENET-POSTROUTING",
    "-A KUBENET-POSTROUTING -d 10.0.3.0/24 -j RETURN",
    "-A KUBENET-POSTROUTING -d 10.0.0.0/16 -j RETURN",
    "-A KUBENET-POSTROUTING -s 10.0.3.0/24 -m addrtype ! --dst-type LOCAL -j MASQUERADE",
    "-A FORWARD -j KUBENET-FORWARD",
    "-A KUBENET-FORWARD -i cbr0 -j ACCEPT",
    "-A KUBENET-FORWARD -o cbr0 -j ACCEPT",
];

#[tokio::test]
async fn rules_are_made_once_and_taken_away_whole() {
    let iptables = FakeIptables::new();
    iptables.set_rules(Family::V4, OTHERS.parse().unwrap());
    let others = text(&iptables);
    apply(&iptables, &[record("a", 2, &[])]).await;
    for rule in PLAIN {
        assert!(text(&iptables).lines().any(|line| line == rule), "{rule}\n{}", text(&iptables));
    }
    let made = text(&iptables);
    apply(&iptables, &[]).await;
    assert_eq!((text(&iptables), iptables.applied().len()), (made.clone(), 1), "nothing differed");
    make(&iptables, &Desired::default(), &chains("other0")).await.unwrap();
    assert_eq!(text(&iptables), made, "another bridge's rules stay");
    make(&iptables, &Desired::default(), &chains(DEFAULT_BRIDGE)).await.unwrap();
    assert_eq!(text(&iptables), others);
}

#[tokio::test]
async fn packets_find_their_way() {
    let iptables = FakeIptables::new();
    iptables.set_rules(Family::V4, OTHERS.parse().unwrap());
    let ports = [record("a", 2, &[(80, 8080, Protocol::Tcp)]), record("b", 3, &[(53, 53, Protocol::Udp)])];
    apply(&iptables, &ports).await;
    let outcome = |from: &str, source: &str, destination: &str| {
        // The tracer does not know where routes lead.
        let known: Vec<String> =
            text(&iptables).lines().filter(|rule| !rule.contains(" -o ")).map(str::to_owned).collect();
        let rules = (known.join("\n") + "\n").parse().unwrap();
        let host = Host { addresses: vec!["192.168.0.1".parse().unwrap(), "10.0.3.1".parse().unwrap()] };
        let origin = if from == "node" { Origin::Local } else { Origin::Interface(from.to_owned()) };
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let packet = Packet::tcp(origin, address(source), address(destination));
        Tracer::new(&rules, host).trace(packet).unwrap().to_string()
    };
    let cases = [
        ("eth0", "192.168.0.9:1000", "192.168.0.1:80", "DNAT to 10.0.3.2:8080, sent"),
        ("eth0", "192.168.0.9:1000", "192.168.0.1:81", "delivered"),
        ("eth0", "192.168.0.9:1000", "192.168.0.1:53", "delivered"),
        ("cbr0", "10.0.3.2:1000", "192.168.0.1:80", "DNAT to 10.0.3.2:8080, masqueraded, sent"),
        ("cbr0", "10.0.3.3:1000", "192.168.0.1:80", "DNAT to 10.0.3.2:8080, sent"),
        ("cbr0", "10.0.3.2:1000", "10.0.9.9:80", "sent"),
        ("cbr0", "10.0.3.2:1000", "8.8.8.8:53", "masqueraded, sent"),
        ("node", "192.168.0.1:1000", "192.168.0.1:80", "DNAT to 10.0.3.2:8080, sent"),
    ];
    for (from, source, destination, expected) in cases {
        assert_eq!(outcome(from, source, destination), expected, "{from} {source} {destination}");
    }
    apply(&iptables, &ports[1..]).await;
    assert_eq!(outcome("eth0", "192.168.0.9:1000", "192.168.0.1:80"), "delivered", "a port goes with its pod");
}

#[tokio::test]
async fn a_port_at_an_address_is_nobody_elses() {
    let iptables = FakeIptables::new();
    let mut pod = record("a", 2, &[(80, 8080, Protocol::Tcp), (81, 8081, Protocol::Tcp), (82, 8082, Protocol::Tcp)]);
    pod.host_ports[0].host_ip = Some("192.168.0.1".parse().unwrap());
    pod.host_ports[1].host_ip = Some("0.0.0.0".parse().unwrap());
    pod.host_ports[2].host_ip = Some("fd00::1".parse().unwrap());
    apply(&iptables, &[pod]).await;
    let rules = text(&iptables);
    let jumps: Vec<&str> = rules.lines().filter(|line| line.starts_with("-A KUBE-HOSTPORTS")).collect();
    assert_eq!(jumps.len(), 2, "there is no IPv6 to forward to: {jumps:?}");
    assert!(
        jumps[0].starts_with("-A KUBE-HOSTPORTS -d 192.168.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-HP-"),
        "{rules}"
    );
    assert!(jumps[1].starts_with("-A KUBE-HOSTPORTS -p tcp -m tcp --dport 81 -j KUBE-HP-"), "{rules}");
}

#[test]
fn all_names_fit_and_are_told_apart() {
    let port = HostPort { host_ip: None, host_port: 1, container_port: 1, protocol: Protocol::Sctp };
    let (usual, other) = (chains(DEFAULT_BRIDGE), chains("a-bridge-15-chr"));
    for (own, foreign) in [(&usual, &other), (&other, &usual)] {
        let of_port = own.of_port(&record("a", 2, &[]), &port).unwrap();
        for name in [&own.forward, &own.postrouting, &own.host_ports, &of_port] {
            assert!(own.owns(name) && !foreign.owns(name), "{name}");
        }
    }
}
