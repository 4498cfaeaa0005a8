//! What the kernel is given grows with the number of services, and for a change with what changes. Bytes are counted,
//! not time: a script of iptables takes time that grows with the square of its length, so none may be long.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Mutex;

use component::informer::ObjectKey;
use iptables::{Error, Family, Iptables, Ruleset, Script};
use proxy::apply::FamilyRules;
use proxy::endpoint::Place;
use proxy::model::{EndpointSlice, Service};
use proxy::nft::state::State;
use proxy::settings::Settings;
use proxy::table::{Change, ServiceTable};
use serde_json::json;

const SERVICES: [usize; 2] = [1000, 10_000];

/// How many bytes each script has.
#[derive(Default)]
struct Counter(Mutex<Vec<usize>>);

impl Iptables for Counter {
    async fn save(&self, _: Family) -> Result<Ruleset, Error> {
        Ok(Ruleset::default())
    }

    async fn restore(&self, _: Family, script: &Script) -> Result<(), Error> {
        self.0.lock().unwrap().push(script.to_string().len());
        Ok(())
    }
}

impl Counter {
    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn address(base: u32, number: usize) -> String {
    std::net::Ipv4Addr::from_bits(base + u32::try_from(number).unwrap()).to_string()
}

/// What a service of so many endpoints changes.
fn update(table: &mut ServiceTable, number: usize, endpoints: usize) -> Vec<Change> {
    let (name, ip) = (format!("svc-{number:05}"), address(0x0a60_000a, number));
    let service: Service = serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"name": "http", "port": 80}]},
    }))
    .unwrap();
    let endpoints = (0..endpoints).map(|i| json!({"addresses": [address(0x0af4_0000, 2 * number + i)]}));
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080}],
    }))
    .unwrap();
    table.update(&ObjectKey::of(&service), Some(&service), [&slice], &Place::on("n1"))
}

fn filled(services: usize) -> ServiceTable {
    let mut table = ServiceTable::new(Family::V4);
    (0..services).for_each(|number| drop(update(&mut table, number, 2)));
    table
}

/// Ten times as much, and not much more.
fn assert_linear(what: &str, [few, many]: [usize; 2]) {
    assert!((9 * few..=11 * few).contains(&many), "{what}: {few} bytes, and {many} for ten times as many services");
}

fn assert_constant(what: &str, [few, many]: [usize; 2]) {
    assert!(few > 0 && many < few + few / 4, "{what}: {few} bytes, and {many} among ten times as many services");
}

#[test]
fn nftables_is_given_what_changes() {
    let sizes = SERVICES.map(|services| {
        let mut table = filled(services);
        let (mut state, whole, _) = State::whole(Family::V4, &Settings::default(), table.ports(), &BTreeSet::new());
        let changes = update(&mut table, services / 2, 1);
        let (change, _) = state.change(&changes);
        [whole.to_string().len(), change.to_string().len()]
    });
    assert_linear("everything", sizes.map(|[whole, _]| whole));
    assert_constant("one endpoint", sizes.map(|[_, change]| change));
}

#[tokio::test]
async fn iptables_is_given_what_changes_in_short_scripts() {
    let mut sizes = Vec::new();
    for services in SERVICES {
        let (iptables, settings, mut table) = (Counter::default(), Settings::default(), filled(services));
        let mut rules = FamilyRules::new(Family::V4);
        rules.apply(&iptables, &table, &[], &settings).await.unwrap();
        let whole = iptables.take();
        let longest = whole.iter().max().copied().unwrap_or_default();
        // The chain that leads to all services has a rule for each, and is written at once.
        assert!(longest < 160 * services.max(5000), "a script of {longest} bytes");
        let changes = update(&mut table, services / 2, 1);
        rules.apply(&iptables, &table, &changes, &settings).await.unwrap();
        sizes.push([whole.iter().sum(), iptables.take().iter().sum()]);
    }
    let sizes: [[usize; 2]; 2] = sizes.try_into().unwrap();
    assert_linear("everything", sizes.map(|[whole, _]| whole));
    assert_constant("one endpoint", sizes.map(|[_, change]| change));
}
