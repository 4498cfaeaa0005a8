//! What becomes of packets: one table for all modes and families.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use iptables::{Family, Mark};
use proxy::model::Service;
use proxy::settings::{LocalhostNodePorts, Masquerade, NodePortAddresses, PodTraffic, Settings};
use serde_json::{Value, json};

use crate::net::Net;
use crate::node::{Node, Objects, address, endpoint, slice, slice_of};

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

type Row = (&'static str, &'static str, Seen, &'static str);
/// A name, what is set, and what that makes of packets.
type Variant = (&'static str, fn(&mut Settings), &'static [Row]);

/// Who connects, where to, and what they see. `%` stands for the family's prefix of virtual addresses, `~` for that
/// of external ones, `@` for the node's address on the outside.
///
/// Written from what upstream documents of Services. Where upstream's two modes differ, both of ours do the same:
/// - node ports answer on 127.0.0.1 (iptables' mode), as far as the setting says so, and on every address of the node
///   (iptables' mode; nftables' takes the primary one when nothing is said);
/// - what is for a port of the virtual range that no service has is refused (nftables' mode; iptables' lets it leave);
/// - source ranges hold for an address of the load balancer that is also named as external (nftables' mode).
const TABLE: &[Row] = &[
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
    ("c", "%76:80", From(&[("b", "c")]), "what is published before it is ready"),
    ("c", "%80:80", Refused, "what another proxy handles"),
    ("c", "%81:80", Refused, "what is headless, whatever it says"),
    ("c", "%82:80", Refused, "what is a name only"),
    ("a", "~5:80", From(&[("a", "node"), ("b", "node")]), "a pod that calls itself by an external address"),
    ("a", "~1:80", From(&[("a", "node"), ("b", "a")]), "and under external policy Local"),
    ("c", "~4:8080", From(&[("out", "c")]), "what the load balancer handles itself (ipMode Proxy) is sent there"),
    ("out", "~7:80", From(&[("a", "node"), ("b", "node")]), "a source range of everybody"),
    ("c", "~8:80", From(&[("a", "node"), ("b", "node")]), "a load balancer's address that is also named as external"),
    ("c", "10.244.0.5:8080", From(&[("a", "c")]), "a pod's own address"),
];

/// Settings that change what becomes of packets, and the rows that tell them apart, on IPv4.
const VARIANTS: &[Variant] = &[
    (
        "masqueradeAll",
        |settings| settings.masquerade = Masquerade::All,
        &[
            ("c", "%20:80", From(&[("a", "node"), ("b", "node")]), "pods are masqueraded, too"),
            ("c", "%50:80", From(&[("a", "node")]), "with internal policy Local, too"),
            ("out", "@:30082", From(&[("a", "out")]), "external policy Local keeps the client's address all the same"),
        ],
    ),
    (
        "no local-traffic detector",
        |settings| settings.pods = PodTraffic::Unknown,
        &[
            ("c", "%20:80", From(&[("a", "c"), ("b", "c")]), "nothing to virtual addresses is masqueraded"),
            ("out", "%20:80", From(&[("a", "out"), ("b", "out")]), "nor what comes from outside"),
            ("c", "~1:80", From(&[("a", "c")]), "pods are not told from the outside under external policy Local"),
            ("out", "@:30080", From(&[("a", "node"), ("b", "node")]), "what comes by node ports is"),
        ],
    ),
    ("BridgeInterface", |settings| settings.pods = PodTraffic::Bridge("cbr0".into()), DETECTED),
    ("InterfaceNamePrefix", |settings| settings.pods = PodTraffic::InterfacePrefix("cb".into()), DETECTED),
    ("NodeCIDR", |settings| settings.pods = PodTraffic::Cidrs(vec!["10.244.0.0/24".parse().unwrap()]), DETECTED),
    (
        "nodePortAddresses",
        |settings| settings.node_ports = NodePortAddresses::These(vec![[172, 16, 0, 1].into()]),
        &[
            ("out", "@:30080", From(&[("a", "node"), ("b", "node")]), "an address that is named"),
            ("out", "@:30060", Refused, "and has no endpoints"),
            ("c", "10.244.0.1:30080", Refused, "another address of the node"),
            ("node", "127.0.0.1:30080", Refused, "localhost"),
        ],
    ),
    (
        "no localhostNodePorts",
        |settings| settings.localhost = LocalhostNodePorts::Refused,
        &[
            ("node", "127.0.0.1:30080", Refused, "localhost"),
            ("node", "@:30080", From(&[("a", "node"), ("b", "node")]), "the other addresses"),
        ],
    ),
    (
        "masqueradeBit",
        |settings| settings.mark = Mark::bits(1 << 31),
        &[
            ("out", "@:30080", From(&[("a", "node"), ("b", "node")]), "with another mark"),
            ("c", "%20:80", From(&[("a", "c"), ("b", "c")]), "what is not marked"),
        ],
    ),
];

/// What all ways to recognise pods have in common.
const DETECTED: &[Row] = &[
    ("c", "%20:80", From(&[("a", "c"), ("b", "c")]), "pods keep their address"),
    ("out", "%20:80", From(&[("a", "node"), ("b", "node")]), "others do not"),
    ("c", "~1:80", From(&[("a", "c"), ("b", "c")]), "external policy Local is not for pods"),
    ("out", "~1:80", From(&[("a", "out")]), "but for the outside"),
];

/// What the node answers on IPv4 only.
const LOOPBACK: &[Row] =
    &[("node", "127.0.0.1:30080", From(&[("a", "node"), ("b", "node")]), "a node port on localhost")];

/// Services for the table.
pub fn objects(family: Family) -> Objects {
    let address_of = |word: &str| place(family, word).replace(['[', ']'], "");
    let external = |n: u8| address_of(&format!("~{n}"));
    let source = if family == Family::V4 { "172.16.0.0/24" } else { "fd00:172::/64" };
    let balancer = |n| json!({"loadBalancer": {"ingress": [{"ip": external(n)}]}});
    let service = |name: &str, n: u8, node_port: u16, spec: Value, status: Value| {
        let ip = address_of(&format!("%{n}"));
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
    let signal = json!({"ports": [{"name": "p", "protocol": "SCTP", "port": 2905, "nodePort": 30905}]});
    let hasty = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}});
    let outer = json!({"externalIPs": [external(5)]});
    let local = json!({"externalTrafficPolicy": "Local"});
    let guarded = json!({"loadBalancerSourceRanges": [source]});
    let inner = json!({"internalTrafficPolicy": "Local"});
    let both =
        json!({"ports": [{"name": "p", "protocol": "UDP", "port": 80}, {"name": "q", "protocol": "TCP", "port": 80}]});
    let everybody = if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
    let mut proxied = balancer(4);
    proxied["loadBalancer"]["ingress"][0]["ipMode"] = "Proxy".into();
    let mut foreign: Service = plain("foreign", 80);
    foreign.metadata.labels = Some([("service.kubernetes.io/service-proxy-name".into(), "x".into())].into());
    let mut marked: Service = plain("marked", 81);
    marked.metadata.labels = Some([("service.kubernetes.io/headless".into(), String::new())].into());
    let thief = json!({"externalIPs": [address_of("%20"), address_of("%60"), external(1)]});
    let services = vec![
        service("a-thief", 90, 0, thief, json!({})),
        service("web", 20, 30080, json!({}), json!({})),
        service("dns", 10, 0, dns, json!({})),
        service("sticky", 30, 30081, sticky, json!({})),
        service("hasty", 32, 0, hasty, json!({})),
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
        plain("published", 76),
        foreign,
        marked,
        service("name", 82, 0, json!({"type": "ExternalName", "externalName": "example.org"}), json!({})),
        service("proxied", 83, 0, json!({"ports": [{"name": "p", "port": 8080}]}), proxied),
        service("open", 84, 0, json!({"loadBalancerSourceRanges": ["192.0.2.0/24", everybody]}), balancer(7)),
        service("signal", 91, 0, signal, json!({})),
        service("twice", 85, 0, json!({"externalIPs": [external(8)]}), balancer(8)),
    ];
    let mut slices: Vec<_> = [
        ("web", &["a", "b"][..]),
        ("sticky", &["a", "b"]),
        ("hasty", &["a", "b"]),
        ("outer", &["a", "b"]),
        ("local", &["a", "b"]),
        ("guarded", &["a", "b"]),
        ("elsewhere", &["b"]),
        ("inner", &["a", "b"]),
        ("inner-none", &["b"]),
        ("empty", &[]),
        ("foreign", &["a"]),
        ("marked", &["a"]),
        ("name", &["a"]),
        ("proxied", &["a"]),
        ("open", &["a", "b"]),
        ("twice", &["a", "b"]),
        ("a-thief", &["c"]),
    ]
    .iter()
    .map(|(service, pods)| slice(family, service, "TCP", 8080, pods))
    .collect();
    slices.push(slice(family, "dns", "UDP", 5353, &["a"]));
    slices.push(slice(family, "signal", "SCTP", 2906, &["a"]));
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
        of("draining", gone.clone(), draining.clone()),
        of("half-drained", json!({}), draining),
        of("published", gone.clone(), json!({"conditions": {"ready": true, "serving": false, "terminating": true}})),
    ]);
    let mut both = slice(family, "both", "TCP", 8080, &["a"]);
    both.ports.as_mut().unwrap()[0].name = Some("q".into());
    slices.push(both);
    Objects { services, slices }
}

/// Checks the whole table.
pub fn check(net: &Net, family: Family) {
    let loopback = if family == Family::V4 { LOOPBACK } else { &[] };
    // A load balancer that handles its address itself.
    match family {
        Family::V4 => net.ip("out", "addr replace 198.51.100.4/32 dev lo"),
        Family::V6 => net.ip("out", "addr replace 2001:db8::4/128 dev lo"),
    }
    rows(net, family, TABLE.iter().chain(loopback));
}

/// Checks the rows that settings change.
pub fn variants(node: &mut Node<'_>) {
    for (what, adjust, expected) in VARIANTS {
        node.adjust = *adjust;
        node.apply(&objects(Family::V4));
        println!("{what}");
        rows(node.net, Family::V4, expected.iter());
    }
    node.adjust = |_| {};
    node.apply(&objects(Family::V4));
}

fn rows<'r>(net: &Net, family: Family, rows: impl Iterator<Item = &'r Row>) {
    for (from, to, expected, what) in rows.filter(|(_, to, ..)| family == Family::V4 || !to.starts_with("10.")) {
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

/// A client that has not called for longer than the affinity's time-out may be led elsewhere. Time is what this is about,
/// and nothing tells when it is over.
pub fn stickiness_ends(net: &Net) {
    let (to, what) = ("10.96.0.32:80", "with a short affinity");
    let once = seen(net, "c", to, what);
    assert_eq!(once.len(), 1);
    let elsewhere = (0..30).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1200));
        !once.contains(&net.get("c", to).unwrap())
    });
    assert!(elsewhere, "{once:?} for ever");
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
