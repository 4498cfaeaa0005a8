//! The rules as text.

use std::net::Ipv4Addr;

use super::super::super::Protocol;
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

fn rendered(records: &[Record], current: &str) -> String {
    let desired = Desired {
        bridge: DEFAULT_BRIDGE,
        pod_cidr: "10.0.3.0/24".parse().unwrap(),
        cluster_cidrs: &["10.0.0.0/16".parse().unwrap()],
        records: records.iter().collect(),
    };
    render(&Chains::of_bridge(DEFAULT_BRIDGE), &desired, current)
}

const PLAIN: &str = "\
*nat
:KUBENET-POSTROUTING - [0:0]
:KUBE-HOSTPORTS - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-A OUTPUT -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-A POSTROUTING -j KUBENET-POSTROUTING
-A KUBENET-POSTROUTING -d 10.0.3.0/24 -j RETURN
-A KUBENET-POSTROUTING -d 10.0.0.0/16 -j RETURN
-A KUBENET-POSTROUTING -s 10.0.3.0/24 -m addrtype ! --dst-type LOCAL -j MASQUERADE
COMMIT
*filter
:KUBENET-FORWARD - [0:0]
-A FORWARD -j KUBENET-FORWARD
-A KUBENET-FORWARD -i cbr0 -j ACCEPT
-A KUBENET-FORWARD -o cbr0 -j ACCEPT
COMMIT
";

#[test]
fn a_node_without_host_ports() {
    assert_eq!(rendered(&[record("a", 2, &[])], ""), PLAIN);
}

#[test]
fn jumps_that_are_there_are_not_added_again() {
    let again = rendered(&[], PLAIN);
    let jumps = |text: &str| text.lines().filter(|line| line.contains("-j KUBE") && !line.contains("-A KUBE")).count();
    assert_eq!((jumps(PLAIN), jumps(&again)), (4, 0));
}

#[test]
fn a_host_port_is_forwarded_and_a_stale_one_goes() {
    let ports = [record("a", 2, &[(80, 8080, Protocol::Tcp)]), record("b", 3, &[(53, 53, Protocol::Udp)])];
    let before = rendered(&ports[1..], PLAIN);
    let text = rendered(&ports[..1], &before);
    let chains: Vec<&str> = before.lines().filter_map(|line| line.strip_prefix(":KUBE-HP-")).collect();
    let stale = format!("-X KUBE-HP-{}", chains[0].split(' ').next().unwrap());
    assert!(text.lines().any(|line| line == stale), "{text}");
    for expected in [
        "-A KUBENET-POSTROUTING -s 127.0.0.0/8 -o cbr0 -j MASQUERADE",
        "-A KUBENET-POSTROUTING -s 10.0.3.2/32 -d 10.0.3.2/32 -j MASQUERADE",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
    }
    let jump = text.lines().find(|line| line.starts_with("-A KUBE-HOSTPORTS -p tcp -m tcp --dport 80 -j KUBE-HP-"));
    let chain = jump.expect("a jump to the port's chain").rsplit(' ').next().unwrap();
    let forward = format!("-A {chain} -p tcp -j DNAT --to-destination 10.0.3.2:8080");
    assert!(text.lines().any(|line| line == forward), "{text}");
}

#[test]
fn all_names_fit_into_the_kernel() {
    const LONGEST: usize = 28;
    for bridge in [DEFAULT_BRIDGE, "a-bridge-15-chr"] {
        let chains = Chains::of_bridge(bridge);
        let port = format!("{}{}", chains.host_port_prefix, "0".repeat(12));
        for name in [&chains.forward, &chains.postrouting, &chains.host_ports, &port] {
            assert!(name.len() <= LONGEST, "{name}");
        }
    }
}

#[test]
fn removal_takes_what_is_there() {
    let chains = Chains::of_bridge(DEFAULT_BRIDGE);
    assert_eq!(render_removal(&chains, "*nat\nCOMMIT\n"), "");
    let removal = render_removal(&chains, PLAIN);
    let expected = "\
*nat
:KUBENET-POSTROUTING - [0:0]
:KUBE-HOSTPORTS - [0:0]
-D PREROUTING -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-D OUTPUT -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-D POSTROUTING -j KUBENET-POSTROUTING
-X KUBENET-POSTROUTING
-X KUBE-HOSTPORTS
COMMIT
*filter
:KUBENET-FORWARD - [0:0]
-D FORWARD -j KUBENET-FORWARD
-X KUBENET-FORWARD
COMMIT
";
    assert_eq!(removal, expected);
    assert_eq!(render_removal(&Chains::of_bridge("other0"), PLAIN), "");
}
