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

use std::sync::{Arc, LazyLock};

use api_types::{Resource, Subresource, resource::STATUS_VERBS, rows};

use self::service::{Pools, pool::Pool, range::Range};
use crate::{
    config::ServiceNetwork,
    registry::{Rest, StoredAs, Strategy},
    storage::{
        Key, Prefix, Store, Ttl,
        cache::{Cache, Extractor, Limits, SelectableField},
    },
};

/// One line of the table: a row, where its objects are, and what it has besides.
struct Line {
    row: &'static Resource,
    source: Source,
    subresources: &'static [Sub],
}

/// Where a row's objects come from.
enum Source {
    /// From a folder of the store, below `--etcd-prefix`: upstream's.
    Stored { folder: &'static str, lifetime: Lifetime, strategy: MakeStrategy },
    /// From what is stored of another row.
    Converted { stored: &'static Resource, conversion: fn(Arc<Resource>) -> StoredAs, strategy: MakeStrategy },
    /// Nothing is stored of it.
    Nowhere,
}

type MakeStrategy = fn(&Pools) -> Arc<dyn Strategy>;

/// How long objects live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Unlimited,
    /// `--event-ttl`.
    Event,
}

const fn stored(row: &'static Resource, folder: &'static str, strategy: MakeStrategy) -> Line {
    Line { row, source: Source::Stored { folder, lifetime: Lifetime::Unlimited, strategy }, subresources: &[] }
}

impl Line {
    const fn with(mut self, subresources: &'static [Sub]) -> Self {
        self.subresources = subresources;
        self
    }

    fn row(&self) -> Resource {
        let subresources = self.subresources.iter().map(|sub| sub.of(self.row)).collect();
        Resource { subresources, ..self.row.clone() }
    }
}

/// A subresource of a line.
enum Sub {
    /// It reads or writes objects of the row's own kind.
    Own(&'static str, &'static [&'static str], Option<&'static str>),
    /// It reads or writes objects of another kind: group, version, kind.
    Of(&'static str, (&'static str, &'static str, &'static str), &'static [&'static str], Option<&'static str>),
}

impl Sub {
    fn of(&self, row: &Resource) -> Subresource {
        match *self {
            Self::Own(name, verbs, options) => Subresource {
                group: row.group.clone(),
                version: row.version.clone(),
                kind: row.kind.clone(),
                ..subresource(name, ("", "", ""), verbs, options)
            },
            Self::Of(name, kind, verbs, options) => subresource(name, kind, verbs, options),
        }
    }
}

fn subresource(
    name: &'static str,
    kind: (&'static str, &'static str, &'static str),
    verbs: &'static [&'static str],
    options: Option<&'static str>,
) -> Subresource {
    let sub = Subresource::new(name, kind, verbs);
    match options {
        Some(options) => sub.stream(options),
        None => sub,
    }
}

const CREATE: &[&str] = &["create"];
/// A stream is opened with GET (WebSocket) or POST (SPDY).
const STREAM_VERBS: &[&str] = &["create", "get"];
const STATUS: Sub = Sub::Own("status", STATUS_VERBS, None);
const SCALE: Sub = Sub::Of("scale", ("autoscaling", "v1", "Scale"), STATUS_VERBS, None);

const fn stream(name: &'static str, options: &'static str) -> Sub {
    Sub::Of(name, ("", "v1", options), STREAM_VERBS, Some(options))
}

/// Groups in upstream's order of priority, rows within a group by name.
static LINES: &[Line] = &[
    Line { row: &rows::BINDINGS, source: Source::Nowhere, subresources: &[] },
    Line { row: &rows::COMPONENT_STATUSES, source: Source::Nowhere, subresources: &[] },
    stored(&rows::CONFIG_MAPS, "configmaps", |_| Arc::new(config_map::ConfigMaps)),
    stored(&rows::ENDPOINTS, "services/endpoints", |_| Arc::new(plain::EndpointsStrategy)),
    Line {
        row: &rows::CORE_EVENTS,
        source: Source::Stored {
            folder: "events",
            lifetime: Lifetime::Event,
            strategy: |_| Arc::new(events::CoreEvents),
        },
        subresources: &[],
    },
    stored(&rows::NAMESPACES, "namespaces", |_| Arc::new(namespace::Namespaces))
        .with(&[Sub::Own("finalize", &["update"], None), STATUS]),
    stored(&rows::NODES, "minions", |_| Arc::new(node::Nodes)).with(&[STATUS]),
    stored(&rows::PODS, "pods", |_| Arc::new(pod::Pods)).with(&[
        stream("attach", "PodAttachOptions"),
        Sub::Of("binding", ("", "v1", "Binding"), CREATE, None),
        Sub::Of("eviction", ("policy", "v1", "Eviction"), CREATE, None),
        stream("exec", "PodExecOptions"),
        Sub::Own("log", &["get"], Some("PodLogOptions")),
        STATUS,
    ]),
    stored(&rows::REPLICATION_CONTROLLERS, "controllers", |_| Arc::new(replication_controller::ReplicationControllers))
        .with(&[SCALE, STATUS]),
    stored(&rows::SECRETS, "secrets", |_| Arc::new(plain::Secrets)),
    stored(&rows::SERVICE_ACCOUNTS, "serviceaccounts", |_| Arc::new(plain::ServiceAccounts)),
    stored(&rows::SERVICES, "services/specs", |pools| Arc::new(service::Services { pools: pools.clone() }))
        .with(&[STATUS]),
    stored(&rows::DEPLOYMENTS, "deployments", |_| Arc::new(apps::Deployments)).with(&[SCALE, STATUS]),
    stored(&rows::REPLICA_SETS, "replicasets", |_| Arc::new(apps::ReplicaSets)).with(&[SCALE, STATUS]),
    Line {
        row: &rows::EVENTS,
        source: Source::Converted {
            stored: &rows::CORE_EVENTS,
            conversion: events::stored_as,
            strategy: |_| Arc::new(events::Events),
        },
        subresources: &[],
    },
    stored(&rows::LEASES, "leases", |_| Arc::new(plain::Leases)),
    stored(&rows::ENDPOINT_SLICES, "endpointslices", |_| Arc::new(plain::EndpointSlices)),
];

/// The rows with their subresources.
pub fn rows() -> &'static [Arc<Resource>] {
    static ROWS: LazyLock<Vec<Arc<Resource>>> =
        LazyLock::new(|| LINES.iter().map(|line| Arc::new(line.row())).collect());
    &ROWS
}

/// The row served at `/apis/<group>/<version>/<plural>` (`/api/<version>/<plural>` for core, whose group is empty).
#[must_use]
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Arc<Resource>> {
    rows().iter().find(|row| row.plural == plural && row.group == group && row.version == version)
}

/// What the table needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--etcd-prefix`.
    pub prefix: String,
    /// `--event-ttl`.
    pub event_ttl: Ttl,
}

/// Everything that is stored, each with its cache. Versions of one resource share a cache.
pub fn serve(store: &Arc<dyn Store>, settings: &Settings, pools: &Pools) -> Vec<Arc<Rest>> {
    let mut served: Vec<Arc<Rest>> = Vec::new();
    for (line, row) in LINES.iter().zip(rows()) {
        let rest = match &line.source {
            Source::Stored { folder, lifetime, strategy } => {
                let prefix = Prefix::new(&format!("{}/{folder}", settings.prefix));
                Rest {
                    row: row.clone(),
                    strategy: strategy(pools),
                    stored_as: None,
                    ttl: (*lifetime == Lifetime::Event).then_some(settings.event_ttl),
                    cache: Arc::new(Cache::new(store.clone(), prefix, extractor(row), Limits::default())),
                }
            }
            Source::Converted { stored, conversion, strategy } => {
                let Some(other) = served.iter().find(|rest| rest.row.is(stored)) else { continue };
                Rest {
                    row: row.clone(),
                    strategy: strategy(pools),
                    stored_as: Some(conversion(other.row.clone())),
                    ttl: other.ttl,
                    cache: other.cache.clone(),
                }
            }
            Source::Nowhere => continue,
        };
        served.push(Arc::new(rest));
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
    let extracted = fields.iter().map(|field| {
        SelectableField::at(&field.stored).or(&field.absent).otherwise(field.otherwise.as_deref().and_then(place))
    });
    Extractor::new(extracted.collect())
}

/// Whether a row is answered by something else than the registry.
#[must_use]
pub fn is_virtual(row: &Resource) -> bool {
    LINES.iter().any(|line| matches!(line.source, Source::Nowhere) && line.row.is(row))
}

#[cfg(test)]
mod tests;
