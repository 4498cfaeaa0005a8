//! The table of what is served: for each row of `api-types`, where it is stored and what its kind does differently.

mod apps;
mod config_map;
mod events;
mod namespace;
mod node;
mod plain;
mod pod;
mod replication_controller;
pub mod service;

use std::sync::Arc;

use api_types::Resource;

use self::service::{Pools, pool::Pool, range::Range};
use crate::{
    config::ServiceNetwork,
    registry::{Rest, StoredAs, Strategy},
    storage::{
        Key, Prefix, Store, Ttl,
        cache::{Cache, Extractor, Limits, SelectableField},
    },
};

/// One line of the table.
struct Line {
    group: &'static str,
    plural: &'static str,
    /// The folder in the store, below `--etcd-prefix`: upstream's.
    folder: &'static str,
    strategy: &'static dyn Strategy,
    stored_as: Option<fn() -> Option<StoredAs>>,
    lifetime: Lifetime,
}

/// How long objects live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Unlimited,
    /// `--event-ttl`.
    Event,
}

const fn line(
    group: &'static str,
    plural: &'static str,
    folder: &'static str,
    strategy: &'static dyn Strategy,
) -> Line {
    Line { group, plural, folder, strategy, stored_as: None, lifetime: Lifetime::Unlimited }
}

static LINES: &[Line] = &[
    line("", "configmaps", "configmaps", &config_map::ConfigMaps),
    line("", "endpoints", "services/endpoints", &plain::EndpointsStrategy),
    Line { lifetime: Lifetime::Event, ..line("", "events", "events", &events::CoreEvents) },
    line("", "namespaces", "namespaces", &namespace::Namespaces),
    line("", "nodes", "minions", &node::Nodes),
    line("", "pods", "pods", &pod::Pods),
    line("", "replicationcontrollers", "controllers", &replication_controller::ReplicationControllers),
    line("", "secrets", "secrets", &plain::Secrets),
    line("", "serviceaccounts", "serviceaccounts", &plain::ServiceAccounts),
    line("", "services", "services/specs", &service::Services),
    line("apps", "deployments", "deployments", &apps::Deployments),
    line("apps", "replicasets", "replicasets", &apps::ReplicaSets),
    line("coordination.k8s.io", "leases", "leases", &plain::Leases),
    line("discovery.k8s.io", "endpointslices", "endpointslices", &plain::EndpointSlices),
    Line {
        lifetime: Lifetime::Event,
        stored_as: Some(events::stored_as),
        ..line("events.k8s.io", "events", "events", &events::Events)
    },
];

/// What the table needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--etcd-prefix`.
    pub prefix: String,
    /// `--event-ttl`.
    pub event_ttl: Ttl,
}

/// Everything that is stored, each with its cache. Versions of one resource share a cache.
pub fn serve(store: &Arc<dyn Store>, settings: &Settings) -> Vec<Arc<Rest>> {
    let mut served: Vec<Arc<Rest>> = Vec::new();
    for line in LINES {
        let Some(row) = api_types::resources().iter().find(|row| row.group == line.group && row.plural == line.plural)
        else {
            continue;
        };
        let stored_as = line.stored_as.and_then(|stored_as| stored_as());
        let prefix = Prefix::new(&format!("{}/{}", settings.prefix, line.folder));
        let shared = served.iter().find(|other| *other.cache.prefix() == prefix).map(|other| other.cache.clone());
        let stored_row = stored_as.as_ref().map_or(row, |stored| stored.row);
        let cache = shared
            .unwrap_or_else(|| Arc::new(Cache::new(store.clone(), prefix, extractor(stored_row), Limits::default())));
        let ttl = (line.lifetime == Lifetime::Event).then_some(settings.event_ttl);
        served.push(Arc::new(Rest { row, strategy: line.strategy, stored_as, ttl, cache }));
    }
    served
}

/// The pools of cluster IPs and node ports, where upstream has them.
pub fn pools(store: &Arc<dyn Store>, settings: &Settings, network: ServiceNetwork) -> Pools {
    let pool = |name, range| Pool::new(store.clone(), Key::new(format!("{}/ranges/{name}", settings.prefix)), range);
    Pools {
        addresses: pool("serviceips", Range::Addresses(network.addresses)),
        ports: pool("servicenodeports", Range::Ports(network.ports)),
    }
}

fn extractor(row: &Resource) -> Extractor {
    let fields = row.ops.selectable();
    let place = |stored: &str| fields.iter().position(|other| other.stored == stored);
    let extracted = fields
        .iter()
        .map(|field| SelectableField::at(field.stored).or(field.absent).otherwise(field.otherwise.and_then(place)));
    Extractor::new(extracted.collect())
}

/// Rows that are served without being stored.
const VIRTUAL: &[&str] = &["bindings", "componentstatuses"];

/// Whether a row is answered by something else than the registry.
#[must_use]
pub fn is_virtual(row: &Resource) -> bool {
    row.group.is_empty() && VIRTUAL.contains(&row.plural)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_served_once() {
        for row in api_types::resources() {
            let lines = LINES.iter().filter(|line| line.group == row.group && line.plural == row.plural).count();
            assert_eq!(lines, usize::from(!is_virtual(row)), "{}", row.group_resource());
        }
        for line in LINES {
            assert!(api_types::find(line.group, "v1", line.plural).is_some(), "{}", line.plural);
        }
    }
}
