//! The table of what is served: for each row of `api-types`, where it is stored and what its kind does differently.

mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod counted;
mod devices;
mod events;
mod extensions;
mod namespace;
mod networking;
mod plain;
mod pod;
mod policy;
mod replication_controller;
mod scheduling;
pub mod service;
mod volumes;

use std::sync::Arc;

use api_types::{
    Resource, Subresource, admissionregistration as webhooks, apps as api_apps, core, flowcontrol as flow,
    networking as net, node, rbac, resource::STATUS_VERBS, rows, storage,
};

use self::service::{Pools, ServiceNetwork, addresses::Addresses, pool::Pool, range::Range};
use crate::{
    authentication::Issuing,
    catalogue::{Answered, ChangeError, Draft, Endpoint, Route, SubRoute},
    handlers::{
        Binding, Bindings, ComponentStatuses, Eviction, KubeletClient, Log, Of as ProxyOf, OfPart, Proxy, Replicas,
        Reviews, Session, Stream, Tokens,
    },
    registry::{
        Conversion, Part, Rest, Storage, Strategy, WatchSizes,
        admission::Handle,
        shape::{Counted, Fresh, Insisting, Of, Plain, Revised, Shown, Split},
    },
    reviews::Reviewer,
    storage::{Key, Prefix, Store, Ttl, encryption::Folder},
};

/// One line of the table: a row, where its objects are, and which subresources it has.
struct Line {
    row: &'static Resource,
    source: Source,
    subresources: &'static [Sub],
}

/// What is behind a row.
enum Source {
    /// A folder of the store, below `--etcd-prefix`: upstream's.
    Stored { folder: &'static str, lifetime: Lifetime, strategy: MakeStrategy },
    /// What is stored of another row.
    Converted { stored: &'static Resource, conversion: fn() -> Arc<dyn Conversion>, strategy: MakeStrategy },
    /// Nothing stored.
    Answered(fn(&Means) -> Arc<dyn Answered>),
}

type MakeStrategy = fn(&Means) -> Arc<dyn Strategy>;

/// What strategies and handlers are made with.
#[derive(Clone)]
pub struct Means {
    /// What services take their addresses and ports from.
    pub pools: Pools,
    /// The way to kubelets.
    pub kubelet: Arc<KubeletClient>,
    /// What answers questions about users and rights.
    pub reviewer: Reviewer,
    /// What signs tokens of service accounts.
    pub issuing: Arc<Issuing>,
}

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

const fn answered(row: &'static Resource, answered: fn(&Means) -> Arc<dyn Answered>) -> Line {
    Line { row, source: Source::Answered(answered), subresources: &[] }
}

impl Line {
    const fn with(mut self, subresources: &'static [Sub]) -> Self {
        self.subresources = subresources;
        self
    }

    /// Whether this serves what the other line stores in another version.
    fn converts(&self, other: &Self) -> bool {
        matches!(self.source, Source::Converted { stored, .. } if stored.is(other.row))
    }

    /// The row with its subresources.
    fn row(&self) -> Resource {
        let subresources = self.subresources.iter().map(|sub| sub.row(self.row)).collect();
        Resource { subresources, ..self.row.clone() }
    }
}

/// Group, version and kind.
type Gvk = (&'static str, &'static str, &'static str);

/// A subresource of a line, and what answers for it.
struct Sub {
    name: &'static str,
    /// The kind that is read and written; none for the row's own.
    kind: Option<Gvk>,
    verbs: &'static [&'static str],
    /// The kind of options that a stream's query is read as; none for what is no stream.
    options: Option<&'static str>,
    endpoint: fn(&Means) -> Arc<dyn Endpoint>,
}

impl Sub {
    fn row(&self, row: &Resource) -> Subresource {
        let mut sub = Subresource::new(self.name, self.kind.unwrap_or_default(), self.verbs);
        if self.kind.is_none() {
            (sub.group, sub.version, sub.kind) = (row.group.clone(), row.version.clone(), row.kind.clone());
        }
        match self.options {
            Some(options) => sub.stream(options),
            None => sub,
        }
    }
}

type MakeEndpoint = fn(&Means) -> Arc<dyn Endpoint>;

/// A part of the object itself.
const fn part(name: &'static str, verbs: &'static [&'static str], endpoint: MakeEndpoint) -> Sub {
    Sub { name, kind: None, verbs, options: None, endpoint }
}

/// An object of another kind that is posted.
const fn posted(name: &'static str, kind: Gvk, endpoint: MakeEndpoint) -> Sub {
    Sub { name, kind: Some(kind), verbs: CREATE, options: None, endpoint }
}

/// A connection, opened with GET (WebSocket) or POST (SPDY).
const fn stream(name: &'static str, options: &'static str, endpoint: MakeEndpoint) -> Sub {
    Sub { name, kind: Some(("", "v1", options)), verbs: &["create", "get"], options: Some(options), endpoint }
}

/// Whatever is served there, with any method.
const fn proxy(options: &'static str, endpoint: MakeEndpoint) -> Sub {
    const VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];
    Sub { name: "proxy", kind: Some(("", "v1", options)), verbs: VERBS, options: Some(options), endpoint }
}

fn session(means: &Means, session: Session) -> Arc<dyn Endpoint> {
    Arc::new(Stream { kubelet: means.kubelet.clone(), session })
}

fn proxied(means: &Means, of: ProxyOf) -> Arc<dyn Endpoint> {
    Arc::new(Proxy { client: means.kubelet.clone(), of })
}

const CREATE: &[&str] = &["create"];
const STATUS: Sub = part("status", STATUS_VERBS, |_| Arc::new(OfPart(Part::Status)));
const SCALE: Sub = Sub {
    name: "scale",
    kind: Some(("autoscaling", "v1", "Scale")),
    verbs: STATUS_VERBS,
    options: None,
    endpoint: |_| Arc::new(Replicas),
};
const LOG: Sub = Sub {
    name: "log",
    kind: None,
    verbs: &["get"],
    options: Some("PodLogOptions"),
    endpoint: |means| Arc::new(Log { kubelet: means.kubelet.clone() }),
};

/// Groups in upstream's order of priority, rows within a group by name.
static LINES: &[Line] = &[
    answered(&rows::BINDINGS, |_| Arc::new(Bindings)),
    answered(&rows::COMPONENT_STATUSES, |means| Arc::new(ComponentStatuses { client: means.kubelet.clone() })),
    stored(&rows::CONFIG_MAPS, "configmaps", |_| Arc::new(Of::<core::ConfigMap>::default())),
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
    stored(&rows::LIMIT_RANGES, "limitranges", |_| Arc::new(plain::LimitRanges)),
    stored(&rows::NAMESPACES, "namespaces", |_| Arc::new(namespace::Namespaces))
        .with(&[part("finalize", &["update"], |_| Arc::new(OfPart(Part::Finalize))), STATUS]),
    stored(&rows::NODES, "minions", |_| Arc::new(Of::<core::Node, Split>::default()))
        .with(&[proxy("NodeProxyOptions", |means| proxied(means, ProxyOf::Node)), STATUS]),
    stored(&rows::PERSISTENT_VOLUME_CLAIMS, "persistentvolumeclaims", |_| Arc::new(volumes::Claims)).with(&[STATUS]),
    stored(&rows::PERSISTENT_VOLUMES, "persistentvolumes", |_| Arc::new(volumes::Volumes)).with(&[STATUS]),
    stored(&rows::PODS, "pods", |_| Arc::new(pod::Pods)).with(&[
        stream("attach", "PodAttachOptions", |means| session(means, Session::Attach)),
        posted("binding", ("", "v1", "Binding"), |_| Arc::new(Binding)),
        part("ephemeralcontainers", STATUS_VERBS, |_| Arc::new(OfPart(Part::EphemeralContainers))),
        posted("eviction", ("policy", "v1", "Eviction"), |_| Arc::new(Eviction)),
        stream("exec", "PodExecOptions", |means| session(means, Session::Exec)),
        LOG,
        stream("portforward", "PodPortForwardOptions", |means| session(means, Session::PortForward)),
        proxy("PodProxyOptions", |means| proxied(means, ProxyOf::Pod)),
        part("resize", STATUS_VERBS, |_| Arc::new(OfPart(Part::Resize))),
        STATUS,
    ]),
    stored(&rows::POD_TEMPLATES, "podtemplates", |_| Arc::new(counted::PodTemplates)),
    stored(&rows::REPLICATION_CONTROLLERS, "controllers", |_| Arc::new(replication_controller::ReplicationControllers))
        .with(&[SCALE, STATUS]),
    stored(&rows::RESOURCE_QUOTAS, "resourcequotas", |_| Arc::new(Shown::<core::ResourceQuota, Fresh>::default()))
        .with(&[STATUS]),
    stored(&rows::SECRETS, "secrets", |_| Arc::new(Of::<core::Secret>::default())),
    stored(&rows::SERVICE_ACCOUNTS, "serviceaccounts", |_| Arc::new(plain::ServiceAccounts)).with(&[posted(
        "token",
        ("authentication.k8s.io", "v1", "TokenRequest"),
        |means| Arc::new(Tokens { issuing: means.issuing.clone() }),
    )]),
    stored(&rows::SERVICES, "services/specs", |means| Arc::new(service::Services { pools: means.pools.clone() }))
        .with(&[proxy("ServiceProxyOptions", |means| proxied(means, ProxyOf::Service)), STATUS]),
    stored(&rows::API_SERVICES, "apiregistration.k8s.io/apiservices", |_| Arc::new(extensions::ApiServices))
        .with(&[STATUS]),
    stored(&rows::CONTROLLER_REVISIONS, "controllerrevisions", |_| {
        Arc::new(Of::<api_apps::ControllerRevision>::default())
    }),
    stored(&rows::DAEMON_SETS, "daemonsets", |_| Arc::new(apps::DaemonSets)).with(&[STATUS]),
    stored(&rows::DEPLOYMENTS, "deployments", |_| Arc::new(apps::Deployments)).with(&[SCALE, STATUS]),
    stored(&rows::REPLICA_SETS, "replicasets", |_| Arc::new(apps::ReplicaSets)).with(&[SCALE, STATUS]),
    stored(&rows::STATEFUL_SETS, "statefulsets", |_| Arc::new(apps::StatefulSets)).with(&[SCALE, STATUS]),
    Line {
        row: &rows::EVENTS,
        source: Source::Converted {
            stored: &rows::CORE_EVENTS,
            conversion: || Arc::new(events::CONVERSION),
            strategy: |_| Arc::new(events::Events),
        },
        subresources: &[],
    },
    answered(&rows::SELF_SUBJECT_REVIEWS, |means| Arc::new(Reviews::who_asks(means.reviewer.clone()))),
    answered(&rows::TOKEN_REVIEWS, |means| Arc::new(Reviews::tokens(means.reviewer.clone()))),
    answered(&rows::LOCAL_SUBJECT_ACCESS_REVIEWS, |means| Arc::new(Reviews::local_access(means.reviewer.clone()))),
    answered(&rows::SELF_SUBJECT_ACCESS_REVIEWS, |means| Arc::new(Reviews::own_access(means.reviewer.clone()))),
    answered(&rows::SELF_SUBJECT_RULES_REVIEWS, |means| Arc::new(Reviews::own_rules(means.reviewer.clone()))),
    answered(&rows::SUBJECT_ACCESS_REVIEWS, |means| Arc::new(Reviews::access(means.reviewer.clone()))),
    stored(
        &rows::CLUSTER_ROLE_BINDINGS,
        "clusterrolebindings",
        |_| Arc::new(Of::<rbac::ClusterRoleBinding>::default()),
    ),
    stored(&rows::CLUSTER_ROLES, "clusterroles", |_| Arc::new(Of::<rbac::ClusterRole>::default())),
    stored(&rows::ROLE_BINDINGS, "rolebindings", |_| Arc::new(Of::<rbac::RoleBinding>::default())),
    stored(&rows::ROLES, "roles", |_| Arc::new(Of::<rbac::Role>::default())),
    stored(&rows::AUTOSCALERS, "horizontalpodautoscalers", |_| Arc::new(autoscaling::Autoscalers)).with(&[STATUS]),
    Line {
        row: &rows::OLD_AUTOSCALERS,
        source: Source::Converted {
            stored: &rows::AUTOSCALERS,
            conversion: || Arc::new(autoscaling::CONVERSION),
            strategy: |_| Arc::new(autoscaling::OldAutoscalers),
        },
        subresources: &[STATUS],
    },
    stored(&rows::CRON_JOBS, "cronjobs", |_| Arc::new(batch::CronJobs)).with(&[STATUS]),
    stored(&rows::JOBS, "jobs", |_| Arc::new(batch::Jobs)).with(&[STATUS]),
    stored(&rows::CERTIFICATE_SIGNING_REQUESTS, "certificatesigningrequests", |_| Arc::new(certificates::Requests))
        .with(&[part("approval", STATUS_VERBS, |_| Arc::new(OfPart(Part::Approval))), STATUS]),
    stored(&rows::INGRESS_CLASSES, "ingressclasses", |_| Arc::new(Of::<net::IngressClass, Revised>::default())),
    stored(&rows::INGRESSES, "ingress", |_| Arc::new(Of::<net::Ingress, Counted>::default())).with(&[STATUS]),
    stored(&rows::IP_ADDRESSES, "ipaddresses", |_| Arc::new(Of::<net::IPAddress, Plain>::default())),
    stored(&rows::NETWORK_POLICIES, "networkpolicies", |_| Arc::new(Of::<net::NetworkPolicy, Revised>::default())),
    stored(&rows::SERVICE_CIDRS, "servicecidrs", |_| Arc::new(networking::ServiceCidrs)).with(&[STATUS]),
    stored(&rows::DISRUPTION_BUDGETS, "poddisruptionbudgets", |_| Arc::new(policy::Budgets)).with(&[STATUS]),
    stored(&rows::CSI_DRIVERS, "csidrivers", |_| Arc::new(volumes::CsiDrivers)),
    stored(&rows::CSI_NODES, "csinodes", |_| Arc::new(volumes::CsiNodes)),
    stored(&rows::CSI_STORAGE_CAPACITIES, "csistoragecapacities", |_| {
        Arc::new(Insisting::<storage::CSIStorageCapacity>::default())
    }),
    stored(&rows::STORAGE_CLASSES, "storageclasses", |_| Arc::new(Shown::<storage::StorageClass>::default())),
    stored(&rows::MUTATING_ADMISSION_POLICIES, "mutatingadmissionpolicies", |_| {
        Arc::new(extensions::Rules::<webhooks::MutatingAdmissionPolicy, Revised>::default())
    }),
    stored(&rows::MUTATING_ADMISSION_POLICY_BINDINGS, "mutatingadmissionpolicybindings", |_| {
        Arc::new(extensions::Rules::<webhooks::MutatingAdmissionPolicyBinding, Revised>::default())
    }),
    stored(&rows::MUTATING_WEBHOOK_CONFIGURATIONS, "mutatingwebhookconfigurations", |_| {
        Arc::new(extensions::Rules::<webhooks::MutatingWebhookConfiguration, Revised>::default())
    }),
    stored(&rows::VALIDATING_ADMISSION_POLICIES, "validatingadmissionpolicies", |_| {
        Arc::new(extensions::Rules::<webhooks::ValidatingAdmissionPolicy, Counted>::default())
    })
    .with(&[STATUS]),
    stored(&rows::VALIDATING_ADMISSION_POLICY_BINDINGS, "validatingadmissionpolicybindings", |_| {
        Arc::new(extensions::Rules::<webhooks::ValidatingAdmissionPolicyBinding, Revised>::default())
    }),
    stored(&rows::VALIDATING_WEBHOOK_CONFIGURATIONS, "validatingwebhookconfigurations", |_| {
        Arc::new(extensions::Rules::<webhooks::ValidatingWebhookConfiguration, Revised>::default())
    }),
    stored(&rows::CUSTOM_RESOURCE_DEFINITIONS, "apiextensions.k8s.io/customresourcedefinitions", |_| {
        Arc::new(extensions::CustomResourceDefinitions)
    })
    .with(&[STATUS]),
    stored(&rows::VOLUME_ATTACHMENTS, "volumeattachments", |_| Arc::new(volumes::Attachments)).with(&[STATUS]),
    stored(&rows::VOLUME_ATTRIBUTES_CLASSES, "volumeattributesclasses", |_| {
        Arc::new(Shown::<storage::VolumeAttributesClass>::default())
    }),
    stored(&rows::PRIORITY_CLASSES, "priorityclasses", |_| Arc::new(scheduling::PriorityClasses)),
    stored(&rows::LEASES, "leases", |_| Arc::new(plain::Leases)),
    stored(&rows::RUNTIME_CLASSES, "runtimeclasses", |_| Arc::new(Insisting::<node::RuntimeClass>::default())),
    stored(&rows::ENDPOINT_SLICES, "endpointslices", |_| Arc::new(plain::EndpointSlices)),
    stored(&rows::DEVICE_CLASSES, "deviceclasses", |_| {
        Arc::new(Shown::<api_types::devices::DeviceClass, Revised>::default())
    }),
    stored(&rows::RESOURCE_CLAIMS, "resourceclaims", |_| Arc::new(devices::Claims)).with(&[STATUS]),
    stored(&rows::RESOURCE_CLAIM_TEMPLATES, "resourceclaimtemplates", |_| {
        Arc::new(Shown::<api_types::devices::ResourceClaimTemplate>::default())
    }),
    stored(&rows::RESOURCE_SLICES, "resourceslices", |_| {
        Arc::new(Shown::<api_types::devices::ResourceSlice, Revised>::default())
    }),
    stored(&rows::FLOW_SCHEMAS, "flowschemas", |_| Arc::new(Insisting::<flow::FlowSchema, Counted>::default()))
        .with(&[STATUS]),
    stored(&rows::PRIORITY_LEVEL_CONFIGURATIONS, "prioritylevelconfigurations", |_| {
        Arc::new(Insisting::<flow::PriorityLevelConfiguration, Counted>::default())
    })
    .with(&[STATUS]),
];

/// The rows with their subresources.
pub fn rows() -> Vec<Arc<Resource>> {
    LINES.iter().map(|line| Arc::new(line.row())).collect()
}

/// What the table needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--etcd-prefix`.
    pub prefix: String,
    /// `--event-ttl`.
    pub event_ttl: Ttl,
}

/// Serves the whole table. Versions of one resource share what is stored.
///
/// # Errors
/// When a kind is in the table twice.
pub fn serve(draft: &mut Draft, store: &Arc<dyn Store>, settings: &Settings, means: &Means) -> Result<(), ChangeError> {
    for line in LINES {
        let subresources =
            line.subresources.iter().map(|sub| SubRoute { row: sub.row(line.row), endpoint: (sub.endpoint)(means) });
        let (row, subresources) = (line.row.clone(), subresources.collect());
        let route = match &line.source {
            Source::Answered(answered) => Route::answered(row, answered(means)),
            Source::Stored { folder, lifetime, strategy } => Route::stored(row, subresources, |row| {
                let ttl = (*lifetime == Lifetime::Event).then_some(settings.event_ttl);
                let folder = Prefix::new(&format!("{}/{folder}", settings.prefix));
                let versions: Vec<&Resource> =
                    LINES.iter().filter(|other| other.converts(line)).map(|other| other.row).collect();
                let storage = Arc::new(Storage::new(store.clone(), folder, row.clone(), &versions, ttl));
                Rest { row, strategy: strategy(means), storage, conversion: None, watched: WatchSizes::default() }
            }),
            Source::Converted { stored, conversion, strategy } => {
                let storage = draft.storage(stored).ok_or_else(|| ChangeError::NotStored(stored.group_resource()))?;
                let conversion = Some(conversion());
                let (strategy, watched) = (strategy(means), WatchSizes::default());
                Route::stored(row, subresources, |row| Rest { row, strategy, storage, conversion, watched })
            }
        };
        draft.put(route)?;
    }
    Ok(())
}

/// Where the objects of each resource are stored.
pub fn folders(settings: &Settings) -> Vec<Folder> {
    let folder = |line: &Line| match &line.source {
        Source::Stored { folder, .. } => Some(Folder {
            prefix: Prefix::new(&format!("{}/{folder}", settings.prefix)),
            group: line.row.group.clone().into_owned(),
            plural: line.row.plural.clone().into_owned(),
        }),
        Source::Converted { .. } | Source::Answered(_) => None,
    };
    LINES.iter().filter_map(folder).collect()
}

/// What cluster IPs and node ports are taken from.
pub fn pools(store: &Arc<dyn Store>, registry: Handle, settings: &Settings, network: ServiceNetwork) -> Pools {
    let key = Key::new(format!("{}/ranges/servicenodeports", settings.prefix));
    Pools {
        addresses: Addresses::new(registry, Range::Addresses(network.addresses)),
        ports: Pool::new(store.clone(), key, Range::Ports(network.ports)),
    }
}

#[cfg(test)]
mod tests;
