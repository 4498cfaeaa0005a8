//! Network policies against real packets, in network namespaces that the test makes. Needs root; does nothing without.
//!
//! The pods `a`, `b` and `c` are on the node; `out` is somebody who is not in the cluster.
#![allow(clippy::unwrap_used)]

#[path = "../kernel/net.rs"]
mod net;

use std::sync::Arc;

use net::Net;
use proxy::policy::enforce;
use proxy::policy::model::{Namespace, NetworkPolicy, Pod};
use proxy::policy::plan::{World, plan};
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(yaml: &str) -> Arc<T> {
    Arc::new(serde_json::from_value(api_types::yaml::from_str(yaml).unwrap()).unwrap())
}

fn pod(name: &str, namespace: &str, address: &str) -> Arc<Pod> {
    read(&format!(
        "{{metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}, \
         spec: {{nodeName: n1, containers: [{{ports: [{{name: http, containerPort: 8080}}]}}]}}, \
         status: {{phase: Running, podIPs: [{{ip: {address}}}]}}}}"
    ))
}

fn pods() -> Vec<Arc<Pod>> {
    vec![pod("a", "one", "10.244.0.5"), pod("b", "one", "10.244.0.6"), pod("c", "two", "10.244.0.9")]
}

fn namespaces() -> Vec<Arc<Namespace>> {
    ["one", "two"]
        .iter()
        .map(|name| read(&format!("{{metadata: {{name: {name}, labels: {{team: {name}}}}}}}")))
        .collect()
}

/// A policy of namespace `one`.
fn policy(name: &str, spec: &str) -> Arc<NetworkPolicy> {
    read(&format!("{{metadata: {{name: {name:?}, namespace: one}}, spec: {spec}}}"))
}

fn script(policies: &[Arc<NetworkPolicy>]) -> String {
    let (pods, namespaces) = (pods(), namespaces());
    plan(policies, &World::new(&pods, &namespaces, "n1")).to_script()
}

/// Brings the policies into force on the node.
fn enforce(net: &Net, policies: &[Arc<NetworkPolicy>]) {
    let script = script(policies);
    let applied = net.within("node", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(enforce::apply(&script))
    });
    applied.unwrap_or_else(|error| panic!("{error}\n{script}"));
}

/// Who reaches `a` on TCP 8080 and, second, on UDP 5353.
fn who_reaches_a(net: &Net) -> (Vec<&'static str>, Vec<&'static str>) {
    let members = ["node", "a", "b", "c", "out"];
    let tcp = |from: &&str| net.get(from, "10.244.0.5:8080").is_ok();
    let udp = |from: &&str| net::ask(&net.udp(from, "10.244.0.5:5353")).is_ok();
    (members.into_iter().filter(tcp).collect(), members.into_iter().filter(udp).collect())
}

const DENY: &str = "{podSelector: {matchLabels: {app: a}}, policyTypes: [Ingress]}";

#[test]
fn packets_go_where_policies_let_them() {
    let Some(net) = Net::new("policy") else { return };
    for pod in ["a", "b", "c"] {
        net.serve(pod);
    }
    let all = vec!["node", "a", "b", "c", "out"];
    assert_eq!(who_reaches_a(&net), (all.clone(), all.clone()), "by default everybody does");

    let of = |rules: &str| format!("{{podSelector: {{matchLabels: {{app: a}}}}, ingress: {rules}}}");
    // What a policy of `a` says, and who then reaches it by TCP and by UDP, besides its own node and itself.
    let cases: &[(&str, String, &[&str], &[&str])] = &[
        ("nobody", DENY.to_owned(), &[], &[]),
        ("everybody", of("[{}]"), &["b", "c", "out"], &["b", "c", "out"]),
        ("pods of the namespace", of("[{from: [{podSelector: {}}]}]"), &["b"], &["b"]),
        ("another namespace", of("[{from: [{namespaceSelector: {matchLabels: {team: two}}}]}]"), &["c"], &["c"]),
        (
            "pods of another namespace",
            of("[{from: [{namespaceSelector: {matchLabels: {team: two}}, podSelector: {matchLabels: {app: b}}}]}]"),
            &[],
            &[],
        ),
        (
            "a network without a part",
            of("[{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.0.8/30]}}]}]"),
            &["b"],
            &["b"],
        ),
        ("outside", of("[{from: [{ipBlock: {cidr: 172.16.0.0/24}}]}]"), &["out"], &["out"]),
        ("a port", of("[{ports: [{port: 8080}]}]"), &["b", "c", "out"], &[]),
        ("a protocol", of("[{ports: [{protocol: UDP}]}]"), &[], &["b", "c", "out"]),
        (
            "a range",
            of("[{ports: [{port: 8000, endPort: 8100}, {port: 8050, endPort: 9000}]}]"),
            &["b", "c", "out"],
            &[],
        ),
        ("a name", of("[{from: [{podSelector: {}}], ports: [{port: http}]}]"), &["b"], &[]),
        ("a name that is not there", of("[{ports: [{port: nope}]}]"), &[], &[]),
        (
            "two rules",
            of("[{from: [{podSelector: {}}], ports: [{port: 8080}]}, {ports: [{protocol: UDP, port: 5353}]}]"),
            &["b"],
            &["b", "c", "out"],
        ),
    ];
    for (what, spec, tcp, udp) in cases {
        enforce(&net, &[policy("p", spec)]);
        let expected = |others: &[&'static str]| [&["node", "a"], others].concat();
        assert_eq!(who_reaches_a(&net), (expected(tcp), expected(udp)), "{what}");
    }

    policies_add_up(&net);
    what_goes_out(&net);
    enforce(&net, &[]);
    assert_eq!(who_reaches_a(&net), (all.clone(), all), "without policies everybody does again");
}

fn policies_add_up(net: &Net) {
    let from_b = "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}]}";
    enforce(net, &[policy("deny", DENY), policy("b", from_b)]);
    assert_eq!(who_reaches_a(net).0, ["node", "a", "b"]);
}

fn what_goes_out(net: &Net) {
    let out = "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], \
               egress: [{to: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: http}]}]}";
    enforce(net, &[policy("out", out)]);
    assert!(net.get("a", "10.244.0.6:8080").is_ok(), "to whom and where it may");
    assert!(net.get("a", "10.244.0.9:8080").is_err(), "to nobody else");
    assert!(net::ask(&net.udp("a", "10.244.0.6:5353")).is_err(), "to no other port");
    assert_eq!(who_reaches_a(net).0, ["node", "a", "b", "c", "out"], "whoever comes in is answered");

    let deny_b = "{podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress]}";
    enforce(net, &[policy("out", out), policy("deny", deny_b)]);
    assert!(net.get("a", "10.244.0.6:8080").is_err(), "both sides have to agree");
}

#[test]
fn what_is_hostile_is_harmless() {
    let strange = [
        "{podSelector: {matchExpressions: [{key: app, operator: Nonsense}]}}",
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '; flush ruleset'}}], ports: [{port: -5}, {port: 9, endPort: 3}]}]}",
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [x, 'fd00::/8']}}], ports: [{protocol: X}]}]}",
    ];
    let policies: Vec<_> = strange.iter().map(|spec| policy("x\"} flush ruleset\n", spec)).collect();
    let script = script(&policies);
    assert!(!script.contains("flush ruleset"), "{script}");
}

/// As many peers and ports as fit into an object: what is written grows with their sum, not with their product, and a
/// policy that would be too much for one rule keeps no other from being enforced.
#[test]
fn long_lists_are_enforced() {
    let many = 10_000;
    let list = |item: &dyn Fn(usize) -> String| (0..many).map(item).collect::<Vec<_>>().join(", ");
    let holes = list(&|i| format!("10.{}.{}.0/28", 245 + i / 250 % 4, i % 250));
    let blocks = list(&|i| format!("{{ipBlock: {{cidr: 172.{}.{}.{}/29}}}}", 17 + i / 2000, i % 250, i / 250 % 8 * 16));
    let ports = list(&|i| format!("{{port: {}}}, {{protocol: UDP, port: name-{i}}}", 10_000 + 2 * i));
    let spec = format!(
        "{{podSelector: {{matchLabels: {{app: a}}}}, ingress: [{{ports: [{ports}, {{port: 8080}}], \
         from: [{blocks}, {{ipBlock: {{cidr: 10.0.0.0/8, except: [{holes}, 10.244.0.9/32]}}}}]}}]}}"
    );
    let policies = [policy("long", &spec), policy("same", &spec), policy("other", &DENY.replace("app: a", "app: b"))];
    let script = script(&policies);
    assert!(script.len() < 100 * many, "{} bytes", script.len());
    let Some(net) = Net::new("lists") else { return };
    for pod in ["a", "b"] {
        net.serve(pod);
    }
    enforce(&net, &policies);
    assert_eq!(who_reaches_a(&net).0, ["node", "a", "b"]);
    assert!(net.get("c", "10.244.0.6:8080").is_err(), "the other policy is enforced, too");
}

/// A pod that was on this node, and one that is elsewhere, are none of its business.
#[test]
fn only_pods_of_this_node_are_restricted() {
    let (pods, namespaces) = (pods(), namespaces());
    let policies = [policy("p", DENY)];
    assert!(plan(&policies, &World::new(&pods, &namespaces, "n2")).is_empty());
    let ended: Arc<Pod> = read(
        "{metadata: {name: a, namespace: one, labels: {app: a}}, spec: {nodeName: n1}, \
         status: {phase: Succeeded, podIPs: [{ip: 10.244.0.5}]}}",
    );
    assert!(plan(&policies, &World::new(&[ended], &namespaces, "n1")).is_empty());
}
