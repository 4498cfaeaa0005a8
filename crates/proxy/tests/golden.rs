//! Manifests in, rules and packet traces out.
//!
//! `golden/NAME.yaml` holds Services, EndpointSlices and, when the defaults do not do, a KubeProxyConfiguration.
//! `golden/NAME.rules` is what is written beyond the rules that are there without any service. `golden/NAME.traces`
//! asks, one packet a line, what becomes of it; below it stand the answers that chance can give. Run with
//! `UPDATE_GOLDEN=1` to rewrite the expected sides.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use component::informer::ObjectKey;
use iptables::trace::{Host, Origin, Packet, Tracer};
use iptables::{Delta, Desired, Family, Observed, Protocol, Ruleset};
use proxy::chains;
use proxy::changes::service_of;
use proxy::config::Config;
use proxy::endpoint::{Place, endpoint_map};
use proxy::fault::Faults;
use proxy::file::ConfigFile;
use proxy::flags::Flags;
use proxy::model::{EndpointSlice, Service};
use proxy::rules::render;
use proxy::service::{ServiceMap, service_map};
use proxy::settings::Settings;
use serde::Deserialize;

const NODE: &str = "n1";
const ZONE: &str = "z1";
const NODE_ADDRESS: &str = "192.168.0.1";
const PODS: &str = "10.244.0.0/16,fd00:244::/56";

fn place() -> Place {
    Place { node: NODE.into(), zone: Some(ZONE.into()) }
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Document {
    Service(Service),
    EndpointSlice(EndpointSlice),
    KubeProxyConfiguration(ConfigFile),
}

#[derive(Default)]
struct Case {
    services: Vec<Service>,
    slices: Vec<EndpointSlice>,
    file: ConfigFile,
}

impl Case {
    fn read(path: &Path) -> Self {
        let mut case = Self::default();
        let text = fs::read_to_string(path).unwrap();
        for document in text.split("\n---\n").filter(|part| !part.trim().is_empty()) {
            let value = api_types::yaml::from_str(document).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            match serde_json::from_value(value).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
                Document::Service(service) => case.services.push(service),
                Document::EndpointSlice(slice) => case.slices.push(slice),
                Document::KubeProxyConfiguration(file) => case.file = file,
            }
        }
        case
    }

    fn settings(&self) -> Settings {
        let flags = Flags { cluster_cidr: Some(PODS.into()), ..Flags::default() };
        let settings = Config::new(&flags, &self.file, NODE).unwrap().settings;
        Settings { node_addresses: vec![NODE_ADDRESS.parse().unwrap()], ..settings }
    }

    fn services(&self, family: Family) -> ServiceMap {
        let mut map = ServiceMap::new();
        for service in &self.services {
            let slices = self.slices.iter().filter(|slice| service_of(slice) == Some(ObjectKey::of(service)));
            let endpoints = endpoint_map(slices, &place(), family, &mut Faults::default());
            map.extend(service_map(service, endpoints, family, &mut Faults::default()));
        }
        map
    }

    fn desired(&self, family: Family) -> Desired {
        render(&self.services(family), &self.settings(), family)
    }

    /// What is written for this case when the rules for no service at all are there already.
    fn rules(&self) -> String {
        let mut text = String::new();
        for family in [Family::V4, Family::V6] {
            let empty = apply(&render(&ServiceMap::new(), &self.settings(), family));
            let delta = Delta::between(&self.desired(family), &Observed::of(&empty), chains::owned);
            if !delta.is_empty() {
                text.push_str(&format!("# {family}\n{}", delta.to_script()));
            }
        }
        text
    }

    fn traces(&self, questions: &str) -> String {
        let rules = [Family::V4, Family::V6].map(|family| apply(&self.desired(family)));
        let asked = questions.lines().filter(|line| !line.starts_with("    "));
        asked.map(|line| if line.contains("->") { answer(line, &rules) } else { format!("{line}\n") }).collect()
    }
}

fn apply(desired: &Desired) -> Ruleset {
    let mut rules = Ruleset::default();
    rules.apply(&Delta::between(desired, &Observed::default(), chains::owned).to_script()).unwrap();
    rules
}

/// `FROM SOURCE -> DESTINATION/PROTOCOL`, where FROM is `pod`, `net` or `node`.
fn answer(line: &str, [v4, v6]: &[Ruleset; 2]) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [from, source, "->", destination] = words[..] else { panic!("not a packet: {line}") };
    let origin = match from {
        "pod" => Origin::Interface("cbr0".into()),
        "net" => Origin::Interface("eth0".into()),
        "node" => Origin::Local,
        _ => panic!("not pod, net or node: {line}"),
    };
    let (destination, protocol) = destination.split_once('/').unwrap();
    let source = std::net::SocketAddr::new(source.parse().unwrap(), 40_000);
    let packet = Packet::tcp(origin, source, destination.parse().unwrap()).over(Protocol::named(protocol));
    let rules = if source.is_ipv4() { v4 } else { v6 };
    let tracer = Tracer::new(rules, Host { addresses: vec![NODE_ADDRESS.parse().unwrap()] });
    let mut text = format!("{line}\n");
    for outcome in tracer.outcomes(&packet).unwrap() {
        text.push_str(&format!("    {outcome}\n"));
    }
    text
}

fn check(actual: &str, expected: &Path) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(expected, actual).unwrap();
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    assert!(actual == wanted, "{} differs; it is now:\n{actual}", expected.display());
}

#[test]
fn manifests_become_rules_and_packets_go_where_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let case = Case::read(&path);
            check(&case.rules(), &path.with_extension("rules"));
            let traces = path.with_extension("traces");
            check(&case.traces(&fs::read_to_string(&traces).unwrap()), &traces);
            cases += 1;
        }
    }
    assert!(cases > 10, "found only {cases} cases");
}

#[test]
fn without_services() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut text = String::new();
    for family in [Family::V4, Family::V6] {
        let desired = render(&ServiceMap::new(), &Settings::default(), family);
        let delta = Delta::between(&desired, &Observed::default(), chains::owned);
        text.push_str(&format!("# {family}\n{}", delta.to_script()));
    }
    check(&text, &folder.join("without-services.rules"));
}

/// A change of one service's endpoints touches that service's chains only.
#[test]
fn a_change_touches_only_its_own_chains() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut case = Case::read(&folder.join("cluster-ip.yaml"));
    let before = Observed::of(&apply(&case.desired(Family::V4)));
    let slice = &mut case.slices[0];
    slice.endpoints.as_mut().unwrap().pop();
    let delta = Delta::between(&case.desired(Family::V4), &before, chains::owned);
    check(&delta.to_script().to_string(), &folder.join("one-endpoint-less.rules"));
}
