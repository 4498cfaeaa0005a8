//! Real packets through the rules in the real kernel, in network namespaces that the test makes, in each mode. Needs
//! root; does nothing without.
#![allow(clippy::unwrap_used)]

mod behaviour;
mod net;
mod node;
mod sctp;

use std::collections::BTreeSet;

use iptables::{Family, Flavour};
use net::{Net, ask};
use node::{Node, slice};
use proxy::mode::ProxyMode;

#[test]
fn packets_follow_the_services_with_iptables() {
    packets_follow_the_services(ProxyMode::Iptables);
}

#[test]
fn packets_follow_the_services_with_nftables() {
    packets_follow_the_services(ProxyMode::Nftables);
}

fn packets_follow_the_services(mode: ProxyMode) {
    let Some(net) = Net::new(mode.name()) else { return };
    if test_needs::need("this mode", net.within("node", || node::probe(mode))).is_none() {
        return;
    }
    ["a", "b", "c", "out"].iter().for_each(|member| net.serve(member));
    for family in [Family::V4, Family::V6] {
        let mut node = Node::new(&net, mode, family);
        assert!(node.apply(&behaviour::objects(family)) > 20);
        behaviour::check(&net, family);
    }
    let mut node = Node::new(&net, mode, Family::V4);
    node.apply(&behaviour::objects(Family::V4));
    behaviour::variants(&mut node);
    behaviour::stickiness(&net);
    behaviour::stickiness_ends(&net);
    sctp_is_led_to_endpoints(&net);
    behaviour::forwarding_that_others_refuse(&net);
    rules_come_back(&mut node);
    udp_flows_follow_their_endpoints(&mut node);
    changes_are_followed(&mut node);
    node.clean_up();
    assert!(!node.saved().contains("KUBE-"), "{}", node.saved());
}

/// Where `iptables` is the other flavour, as on older distributions.
#[test]
fn packets_follow_the_services_with_legacy_iptables() {
    let Some(net) = Net::new("legacy") else { return };
    if test_needs::need("legacy tables", net.within("node", node::probe_legacy)).is_none() {
        return;
    }
    ["a", "b", "c", "out"].iter().for_each(|member| net.serve(member));
    for family in [Family::V4, Family::V6] {
        let mut node = Node::with_flavour(&net, ProxyMode::Iptables, family, Flavour::Legacy);
        assert!(node.apply(&behaviour::objects(family)) > 20);
        behaviour::check(&net, family);
    }
}

/// What the other mode has left goes away, and there is no moment without rules.
#[test]
fn modes_replace_each_other() {
    let Some(net) = Net::new("modes") else { return };
    if test_needs::need("nftables", net.within("node", || node::probe(ProxyMode::Nftables))).is_none() {
        return;
    }
    net.serve("a");
    net.serve("b");
    for mode in [ProxyMode::Iptables, ProxyMode::Nftables] {
        let mut node = Node::new(&net, mode, Family::V4);
        node.apply(&behaviour::objects(Family::V4));
        assert_eq!(node.saved().contains("KUBE-SVC-"), mode == ProxyMode::Iptables);
        balanced(&net);
    }
}

fn balanced(net: &Net) {
    assert_eq!(answers(net, "c", "10.96.0.20:80"), set(["a 10.244.0.9", "b 10.244.0.9"]), "pods keep their address");
    assert_eq!(answers(net, "out", "172.16.0.1:30080"), set(["a 10.244.0.1", "b 10.244.0.1"]), "node port");
}

fn rules_come_back(node: &mut Node<'_>) {
    *node = Node::new(node.net, node.mode, Family::V4);
    let written = node.apply(&behaviour::objects(Family::V4));
    assert!(node.mode == ProxyMode::Nftables || written == 0, "a restart changes nothing");
    let flushes: &[&[&str]] = match node.mode {
        ProxyMode::Iptables => {
            &[&["iptables", "-F"], &["iptables", "-t", "nat", "-F", "KUBE-SERVICES"], &["iptables", "-t", "nat", "-F"]]
        }
        ProxyMode::Nftables => &[
            &["nft", "flush", "ruleset"],
            &["nft", "flush", "map", "ip", "kube-proxy", "endpoints-0"],
            &["nft", "flush", "chain", "ip", "kube-proxy", "services"],
        ],
    };
    for words in flushes {
        let flush = || std::process::Command::new(words[0]).args(&words[1..]).status().unwrap();
        assert!(node.net.within("node", flush).success());
        node.rules.distrust();
        assert!(node.apply(&behaviour::objects(Family::V4)) > 0);
        balanced(node.net);
    }
}

fn sctp_is_led_to_endpoints(net: &Net) {
    let address = |text: &str| text.parse::<std::net::SocketAddrV4>().unwrap();
    let endpoint = address("10.244.0.5:2906");
    for (from, to, client) in [
        ("c", "10.96.0.91:2905", "10.244.0.9"),
        ("out", "172.16.0.1:30905", "10.244.0.1"),
        ("node", "10.96.0.91:2905", "10.244.0.1"),
    ] {
        let seen = sctp::association(net, from, address(to), "a");
        assert_eq!(seen, Some((client.parse().unwrap(), endpoint)), "{from} to {to}");
    }
}

fn udp_flows_follow_their_endpoints(node: &mut Node<'_>) {
    let mut objects = behaviour::objects(Family::V4);
    let (inside, outside) = (node.net.udp("c", "10.96.0.10:53"), node.net.udp("out", "172.16.0.1:30053"));
    assert_eq!((ask(&inside).unwrap(), ask(&outside).unwrap()), ("a".into(), "a".into()));
    objects.replace(slice(Family::V4, "dns", "UDP", 5353, &["b"]));
    node.apply(&objects);
    assert_eq!((ask(&inside).unwrap(), ask(&outside).unwrap()), ("b".into(), "b".into()), "on the same sockets");
}

/// The table as it is after many small changes is the table of the last state.
fn changes_are_followed(node: &mut Node<'_>) {
    let all = behaviour::objects(Family::V4);
    let mut objects = behaviour::objects(Family::V4);
    for services in [0, all.services.len() / 2, 0, all.services.len()] {
        objects.services.clone_from(&all.services);
        objects.services.truncate(services);
        node.apply(&objects);
    }
    for endpoints in [&["a"][..], &[], &["a", "b"], &["b"], &["a", "b"]] {
        for service in ["web", "sticky", "outer"] {
            objects.replace(slice(Family::V4, service, "TCP", 8080, endpoints));
        }
        node.apply(&objects);
        let expected: BTreeSet<String> = endpoints.iter().map(|name| format!("{name} 10.244.0.9")).collect();
        if !endpoints.is_empty() {
            assert_eq!(answers(node.net, "c", "10.96.0.20:80"), expected);
        }
    }
    node.apply(&all);
    behaviour::check(node.net, Family::V4);
    if node.mode == ProxyMode::Nftables {
        let (grown, mut fresh) = (node.listed(), Node::new(node.net, node.mode, Family::V4));
        fresh.apply(&all);
        assert_eq!(grown, fresh.listed());
    }
}

fn answers(net: &Net, from: &str, to: &str) -> BTreeSet<String> {
    (0..24).map(|_| net.get(from, to).unwrap_or_else(|e| panic!("{from} to {to}: {e}"))).collect()
}

fn set<const N: usize>(answers: [&str; N]) -> BTreeSet<String> {
    answers.map(str::to_owned).into()
}
