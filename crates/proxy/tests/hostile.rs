//! Services and slices that no API server should have let through, or that only the hostile write: what is odd is passed
//! over, what is too much is cut, and the rest is served, in both modes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use component::informer::ObjectKey;
use iptables::{Delta, Family, Observed};
use proxy::chains;
use proxy::endpoint::Place;
use proxy::model::{EndpointSlice, Service};
use proxy::nft::state::State;
use proxy::rules::render;
use proxy::settings::Settings;
use proxy::table::ServiceTable;
use serde_json::{Value, json};

fn table(objects: &[(Value, Value)]) -> ServiceTable {
    let mut table = ServiceTable::new(Family::V4);
    for (service, slice) in objects {
        let service: Service = serde_json::from_value(service.clone()).unwrap();
        let slice: EndpointSlice = serde_json::from_value(slice.clone()).unwrap();
        table.update(&ObjectKey::of(&service), Some(&service), [&slice], &Place::on("n1"));
    }
    table
}

fn service(name: &str, ip: &str, spec: Value) -> Value {
    let mut service = json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {"type": "LoadBalancer", "clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]},
    });
    service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    service
}

fn slice(service: &str, endpoints: &[&str], ports: Value) -> Value {
    let endpoints: Vec<Value> = endpoints.iter().map(|ip| json!({"addresses": [ip]})).collect();
    json!({
        "metadata": {"namespace": "default", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    })
}

/// What nftables and what iptables is given.
fn scripts(table: &ServiceTable) -> [String; 2] {
    let settings = Settings::default();
    let (_, transaction, _) = State::whole(Family::V4, &settings, table.ports(), &BTreeSet::new());
    let desired = render(table.ports(), &settings, Family::V4);
    [transaction.to_string(), Delta::between(&desired, &Observed::default(), chains::owned).to_script().to_string()]
}

#[test]
fn what_is_odd_is_passed_over_and_the_rest_is_served() {
    let odd = json!({
        "externalIPs": ["127.0.0.1", "0.0.0.0", "224.0.0.1", "x; flush ruleset", "203.0.113.7", "203.0.113.7", "fd00::1"],
        "ports": [
            {"name": "p", "port": 80},
            {"name": "q", "port": 81, "protocol": "tcp -j ACCEPT\n-A INPUT"},
            {"name": "r\" -j ACCEPT\n-A INPUT -j ACCEPT\n", "port": 82},
            {"name": "s", "port": 0},
        ],
    });
    let name = "odd\n-A INPUT -j ACCEPT # \"'\\";
    let endpoints = ["127.0.0.1", "169.254.169.254", "::1", "10.244.0.5", "10.244.0.5", "010.244.0.6", "y } flush"];
    let ports = json!([
        {"name": "p", "port": 8080}, {"name": "q", "port": 8081, "protocol": "ICMP"},
        {"name": "r\" -j ACCEPT\n-A INPUT -j ACCEPT\n", "port": 8082},
    ]);
    let table = table(&[(service(name, "10.96.0.20", odd), slice(name, &endpoints, ports))]);
    let names: Vec<_> =
        table.ports().iter().map(|(name, port)| (name.port.chars().next(), port.endpoints.len())).collect();
    assert_eq!(names, [(Some('p'), 2), (Some('r'), 2)]);
    for script in scripts(&table) {
        for absent in
            ["127.0.0.1 ", "127.0.0.1/32", "224.0.0.1", "169.254", "flush ruleset", "fd00", "\n-A INPUT -j ACCEPT"]
        {
            assert!(!script.contains(absent), "{absent:?} in {script}");
        }
        assert!(script.contains("203.0.113.7"), "{script}");
    }
}

/// One object has room for thousands of ports and tens of thousands of addresses; another for 100 ports of 1,000 endpoints, and there may be
/// many such slices.
#[test]
fn products_are_cut() {
    let ports: Vec<Value> = (1..=2000).map(|i| json!({"name": format!("p{i}"), "port": i})).collect();
    let addresses: Vec<String> = (0..20_000).map(|i| format!("203.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255)).collect();
    let ranges: Vec<String> = addresses.iter().map(|ip| format!("{ip}/32")).collect();
    let spec = json!({"ports": ports, "externalIPs": addresses, "loadBalancerSourceRanges": ranges});
    let mut many = service("many", "10.96.0.20", spec);
    let ingress: Vec<Value> = addresses.iter().rev().map(|ip| json!({"ip": ip})).collect();
    many["status"] = json!({"loadBalancer": {"ingress": ingress}});
    let endpoints: Vec<String> = (0..3000).map(|i| format!("10.244.{}.{}", i >> 8, i & 255)).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let slice = slice("many", &endpoints, json!(ports[..1000]));
    let table = table(&[(many, slice)]);
    let pairs: usize = table.ports().values().map(|port| port.endpoints.len()).sum();
    assert!((49_000..=50_000).contains(&pairs), "{pairs}");
    for script in scripts(&table) {
        assert!(script.len() < 50_000_000, "{} bytes", script.len());
    }
}

#[test]
fn no_service_takes_the_address_of_another() {
    let of = |service: &str, endpoint: &str| slice(service, &[endpoint], json!([{"name": "", "port": 8080}]));
    let thief = |name: &str| service(name, "10.96.0.30", json!({"externalIPs": ["10.96.0.20", "203.0.113.7"]}));
    let mut balanced = service("balanced", "10.96.0.40", json!({}));
    balanced["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}});
    let table = table(&[
        (thief("a-thief"), of("a-thief", "10.244.6.6")),
        (service("web", "10.96.0.20", json!({})), of("web", "10.244.0.5")),
        (balanced, of("balanced", "10.244.0.7")),
    ]);
    let [nft, iptables] = scripts(&table);
    for (address, endpoint) in
        [("10.96.0.20", "10.244.0.5"), ("203.0.113.7", "10.244.0.7"), ("10.96.0.30", "10.244.6.6")]
    {
        assert!(nft.contains(&format!("{address} . tcp . 80 : {endpoint} . 8080")), "{address} in {nft}");
    }
    assert_eq!(iptables.matches("-d 10.96.0.20/32 -p tcp").count(), 1, "{iptables}");
    let to = |name: &str| iptables.lines().find(|line| line.contains("-d 203.0.113.7/32") && line.contains(name));
    assert!(to("balanced").is_some() && to("thief").is_none(), "{iptables}");
}
