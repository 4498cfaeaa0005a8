//! What becomes of packets: one table for all modes and families.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use iptables::Family;
use serde_json::{Value, json};

use crate::net::Net;
use crate::node::{Objects, address, endpoint, slice, slice_of};

/// What a client sees.
enum Seen {
    /// Answers of these pods, which see the client under this member's address.
    From(&'static [(&'static str, &'static str)]),
    /// A refusal at once.
    Refused,
    /// Nothing.
    Nothing,
}

use Seen::{From, Nothing, Refused};

/// Who connects, where to, and what they see. `%` stands for the family's prefix of virtual addresses, `~` for that
/// of external ones, `@` for the node's address on the outside.
const TABLE: &[(&str, &str, Seen, &str)] = &[
    ("c", "%20:80", From(&[("a", "c"), ("b", "c")]), "pods keep their address"),
    ("node", "%20:80", From(&[("a", "node"), ("b", "node")]), "the node"),
    ("a", "%20:80", From(&[("a", "node"), ("b", "a")]), "a pod that calls itself is masqueraded"),
    ("out", "%20:80", From(&[("a", "node"), ("b", "node")]), "virtual addresses that are routed here"),
    ("out", "@:30080", From(&[("a", "node"), ("b", "node")]), "a node port"),
    ("c", "@:30080", From(&[("a", "node"), ("b", "node")]), "a node port, from a pod"),
    ("node", "@:30080", From(&[("a", "node"), ("b", "node")]), "a node port, from the node"),
    ("out", "~5:80", From(&[("a", "node"), ("b", "node")]), "an external address"),
    ("c", "~5:80", From(&[("a", "node"), ("b", "node")]), "an external address, from a pod"),
    ("out", "~1:80", From(&[("a", "out")]), "external policy Local keeps the client's address"),
    ("out", "@:30082", From(&[("a", "out")]), "and on node ports"),
    ("c", "~1:80", From(&[("a", "c"), ("b", "c")]), "but pods go anywhere"),
    ("node", "~1:80", From(&[("a", "node"), ("b", "node")]), "and so does the node"),
    ("out", "~2:80", From(&[("a", "node"), ("b", "node")]), "a source range that has the client"),
    ("c", "~2:80", Nothing, "a source range that has not"),
    ("out", "~3:80", Nothing, "external policy Local without a local endpoint"),
    ("node", "~3:80", From(&[("b", "node")]), "is served on the node"),
    ("c", "%50:80", From(&[("a", "c")]), "internal policy Local"),
    ("c", "%51:80", Nothing, "internal policy Local without a local endpoint"),
    ("c", "%60:80", Refused, "no endpoints"),
    ("node", "%60:80", Refused, "no endpoints, from the node"),
    ("out", "@:30060", Refused, "no endpoints, on a node port"),
    ("out", "~6:80", Refused, "no endpoints, on an external address"),
    ("c", "%20:81", Refused, "a port that no service has"),
    ("node", "%20:81", Refused, "a port that no service has, from the node"),
    ("out", "%77:80", Refused, "an address that no service has"),
    ("c", "%70:80", From(&[("a", "c")]), "hints for zones"),
    ("c", "%71:80", From(&[("b", "c")]), "hints for nodes count more"),
    ("c", "%72:80", From(&[("a", "c"), ("b", "c")]), "hints that not all endpoints have do not count"),
    ("c", "%73:80", From(&[("b", "c")]), "an endpoint that drains stands in when no other is left"),
    ("c", "%74:80", From(&[("a", "c")]), "but not otherwise"),
    ("c", "%75:80", From(&[("a", "c")]), "with the same name and another protocol"),
];

/// What the node answers on IPv4 only.
const LOOPBACK: &[(&str, &str, Seen, &str)] =
    &[("node", "127.0.0.1:30080", From(&[("a", "node"), ("b", "node")]), "a node port on localhost")];

/// Services for the table.
pub fn objects(family: Family) -> Objects {
    let external = |n: u8| place(family, &format!("~{n}")).replace(['[', ']'], "");
    let source = if family == Family::V4 { "172.16.0.0/24" } else { "fd00:172::/64" };
    let balancer = |n| json!({"loadBalancer": {"ingress": [{"ip": external(n)}]}});
    let service = |name: &str, n: u8, node_port: u16, spec: Value, status: Value| {
        let ip = place(family, &format!("%{n}")).replace(['[', ']'], "");
        let mut service = json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"type": "NodePort", "clusterIP": ip, "clusterIPs": [ip],
                "ports": [{"name": "p", "protocol": "TCP", "port": 80, "nodePort": node_port}]},
            "status": status,
        });
        for (key, value) in spec.as_object().unwrap() {
            service["spec"][key] = value.clone();
        }
        serde_json::from_value(service).unwrap()
    };
    let plain = |name: &str, n: u8| service(name, n, 0, json!({}), json!({}));
    let dns = json!({"ports": [{"name": "p", "protocol": "UDP", "port": 53, "nodePort": 30053}]});
    let sticky = json!({"sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 100}}});
    let outer = json!({"externalIPs": [external(5)]});
    let local = json!({"externalTrafficPolicy": "Local"});
    let guarded = json!({"loadBalancerSourceRanges": [source]});
    let inner = json!({"internalTrafficPolicy": "Local"});
    let both =
        json!({"ports": [{"name": "p", "protocol": "UDP", "port": 80}, {"name": "q", "protocol": "TCP", "port": 80}]});
    let services = vec![
        service("web", 20, 30080, json!({}), json!({})),
        service("dns", 10, 0, dns, json!({})),
        service("sticky", 30, 30081, sticky, json!({})),
        service("outer", 31, 0, outer, json!({})),
        service("local", 40, 30082, local.clone(), balancer(1)),
        service("guarded", 41, 0, guarded, balancer(2)),
        service("elsewhere", 42, 30083, local, balancer(3)),
        service("inner", 50, 0, inner.clone(), json!({})),
        service("inner-none", 51, 0, inner, json!({})),
        service("empty", 60, 30060, json!({"externalIPs": [external(6)]}), json!({})),
        plain("zoned", 70),
        plain("noded", 71),
        plain("half-hinted", 72),
        plain("draining", 73),
        plain("half-drained", 74),
        service("both", 75, 0, both, json!({})),
    ];
    let mut slices: Vec<_> = [
        ("web", &["a", "b"][..]),
        ("sticky", &["a", "b"]),
        ("outer", &["a", "b"]),
        ("local", &["a", "b"]),
        ("guarded", &["a", "b"]),
        ("elsewhere", &["b"]),
        ("inner", &["a", "b"]),
        ("inner-none", &["b"]),
        ("empty", &[]),
    ]
    .iter()
    .map(|(service, pods)| slice(family, service, "TCP", 8080, pods))
    .collect();
    slices.push(slice(family, "dns", "UDP", 5353, &["a"]));
    let zones = |zone: &str| json!({"hints": {"forZones": [{"name": zone}]}});
    let nodes = |node: &str| json!({"hints": {"forZones": [{"name": "z2"}], "forNodes": [{"name": node}]}});
    let draining = json!({"conditions": {"ready": false, "serving": true, "terminating": true}});
    let of = |service: &str, a: Value, b: Value| {
        slice_of(family, service, "TCP", 8080, vec![endpoint(family, "a", a), endpoint(family, "b", b)])
    };
    let gone = json!({"conditions": {"ready": false, "serving": false, "terminating": true}});
    slices.extend([
        of("zoned", zones("z1"), zones("z2")),
        of("noded", nodes("n9"), nodes("n1")),
        of("half-hinted", zones("z1"), json!({})),
        of("draining", gone, draining.clone()),
        of("half-drained", json!({}), draining),
    ]);
    let mut both = slice(family, "both", "TCP", 8080, &["a"]);
    both.ports.as_mut().unwrap()[0].name = Some("q".into());
    slices.push(both);
    Objects { services, slices }
}

/// Checks the whole table.
pub fn check(net: &Net, family: Family) {
    let loopback = if family == Family::V4 { LOOPBACK } else { &[] };
    for (from, to, expected, what) in TABLE.iter().chain(loopback) {
        let to = place(family, to);
        match expected {
            From(answers) => {
                let expected: BTreeSet<String> =
                    answers.iter().map(|(pod, client)| format!("{pod} {}", client_address(family, client))).collect();
                assert_eq!(seen(net, from, &to, what), expected, "{family} {from} to {to}: {what}");
            }
            Refused => {
                let error = net.get(from, &to).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{family} {from} to {to}: {what}");
            }
            Nothing => {
                let error = net.get(from, &to).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{family} {from} to {to}: {what}");
            }
        }
    }
}

/// A client stays with its endpoint, on all entrances of the service.
pub fn stickiness(net: &Net) {
    let pods = |from: &str, to: &str| -> BTreeSet<String> {
        let answers = seen(net, from, to, "with affinity");
        answers.iter().map(|answer| answer.split(' ').next().unwrap().to_owned()).collect()
    };
    let once = pods("c", "10.96.0.30:80");
    assert_eq!(once.len(), 1);
    assert_eq!(pods("c", "172.16.0.1:30081"), once);
    assert_eq!(pods("out", "172.16.0.1:30081").len(), 1);
}

/// Docker's daemon makes FORWARD refuse what nobody accepts.
pub fn forwarding_that_others_refuse(net: &Net) {
    let policy = |policy: &str| {
        let set = || std::process::Command::new("iptables").args(["-P", "FORWARD", policy]).status().unwrap();
        assert!(net.within("node", set).success());
    };
    policy("DROP");
    let answers = seen(net, "out", "172.16.0.1:30080", "where forwarding is refused");
    assert_eq!(answers.len(), 2);
    policy("ACCEPT");
}

fn seen(net: &Net, from: &str, to: &str, what: &str) -> BTreeSet<String> {
    (0..20).map(|_| net.get(from, to).unwrap_or_else(|e| panic!("{from} to {to}: {what}: {e}"))).collect()
}

fn client_address(family: Family, client: &str) -> &'static str {
    match (family, client) {
        (Family::V4, "out") => "172.16.0.9",
        (Family::V6, "out") => "fd00:172::9",
        (family, client) => address(family, client),
    }
}

/// The address that a word of the table stands for.
fn place(family: Family, word: &str) -> String {
    let (host, port) = word.split_once(':').map_or((word, String::new()), |(host, port)| (host, format!(":{port}")));
    let [virtual_ips, external_ips, node] = match family {
        Family::V4 => ["10.96.0.", "198.51.100.", "172.16.0.1"],
        Family::V6 => ["fd00:96::", "2001:db8::", "fd00:172::1"],
    };
    let host = match host.split_at(1) {
        ("%", rest) => format!("{virtual_ips}{rest}"),
        ("~", rest) => format!("{external_ips}{rest}"),
        ("@", _) => node.to_owned(),
        _ => host.to_owned(),
    };
    if host.contains(':') { format!("[{host}]{port}") } else { format!("{host}{port}") }
}
