//! Puts the kubelet together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api_types::core::{Node, Pod, Service};
use component::informer::{Informer, Informers, ObjectKey, Scope};
use component::recorder::Recorder;
use component::serve::health::Health;
use component::{Daemon, api::Api};
use kube::Client;
use tokio::sync::{mpsc, watch};

use crate::allocation::Allocations;
use crate::config::{Config, NetworkPlugin, RuntimeConfig};
use crate::directory::Directory;
use crate::dispatch::{ApiSide, Dispatcher, HANGS_AFTER};
use crate::events::Events;
use crate::eviction::{Evictions, Manager, Pressures};
use crate::identity::{Certificates, Hosts};
use crate::images::Images;
use crate::network::PodNetwork;
use crate::network::cni::Cni;
use crate::network::cri::{Bridge, CriNetwork};
use crate::network::docker::DockerNetwork;
use crate::network::kubenet::{Kubenet, KubenetConfig};
use crate::node::machine::Machine;
use crate::node::{Heartbeat, NodeAgent, NodeHandles};
use crate::objects::ObjectWatches;
use crate::pleg::{HEALTHY_WITHIN, Pleg};
use crate::runtime::Runtime;
use crate::runtime::cri::CriRuntime;
use crate::runtime::docker::DockerRuntime;
use crate::server::{self, ListenConfig, ServerState, ServingCertificate};
use crate::sources::file::FileSource;
use crate::sources::inbox::Inbox;
use crate::sources::mirror::Mirrors;
use crate::sources::url::UrlSource;
use crate::sources::{ManifestSender, StaticSource};
use crate::status::manager::StatusManager;
use crate::tokens::TokenManager;
use crate::volumes::LocalVolumes;
use crate::volumes::claims::ClaimSource;
use crate::workers::log_links::LogLinks;
use crate::workers::{Context, NodeFacts, Workers};

/// Changes that may wait for the loop.
const QUEUED: usize = 256;
/// Upstream's first restart delay.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);

/// The two seams on which everything stands.
pub struct Seams {
    /// Docker, a runtime behind CRI, or a fake.
    pub runtime: Arc<dyn Runtime>,
    /// What `--network-plugin` names, or a fake.
    pub network: Arc<dyn PodNetwork>,
}

impl Seams {
    /// The real ones.
    ///
    /// # Errors
    /// When the record of given addresses cannot be read, or an endpoint cannot be one.
    pub fn real(config: &Config) -> anyhow::Result<Self> {
        match &config.runtime {
            RuntimeConfig::Docker(docker) => {
                let network: Arc<dyn PodNetwork> = match config.network {
                    NetworkPlugin::Docker => Arc::new(DockerNetwork),
                    NetworkPlugin::Cni => Arc::new(Cni::new(config.cni.clone())?),
                    NetworkPlugin::Kubenet => Arc::new(kubenet(config)?),
                };
                Ok(Self { runtime: Arc::new(DockerRuntime::new(docker.clone())), network })
            }
            RuntimeConfig::Cri(cri) => {
                let runtime: Arc<dyn Runtime> = Arc::new(CriRuntime::new(cri.clone())?);
                let bridge = match config.network {
                    NetworkPlugin::Kubenet => Some(bridge(config)?),
                    NetworkPlugin::Cni | NetworkPlugin::Docker => None,
                };
                Ok(Self { network: Arc::new(CriNetwork::new(Arc::clone(&runtime), bridge)), runtime })
            }
        }
    }
}

fn kubenet(config: &Config) -> anyhow::Result<Kubenet> {
    Ok(Kubenet::new(KubenetConfig {
        bridge: config.bridge.clone(),
        state_dir: config.root.join("kubenet"),
        cluster_cidrs: config.cluster_cidrs.clone(),
        mtu: config.mtu,
    })?)
}

fn bridge(config: &Config) -> anyhow::Result<Bridge> {
    Ok(Bridge {
        kubenet: kubenet(config)?,
        name: config.bridge.clone(),
        mtu: config.mtu,
        directory: config.cni.configurations.clone(),
    })
}

/// What a running kubelet tells about itself.
#[derive(Clone)]
pub struct Running {
    /// The pods' workers.
    pub workers: Workers,
    /// Where the kubelet's API is.
    pub address: std::net::SocketAddr,
}

/// Starts the kubelet with the real runtime.
///
/// # Errors
/// When something that must be there from the start is not: a port, a certificate, a kubeconfig.
pub async fn start(daemon: Daemon, config: Config) -> anyhow::Result<()> {
    let seams = Seams::real(&config)?;
    start_with(daemon, config, seams).await.map(drop)
}

/// Starts the kubelet on given seams.
///
/// # Errors
/// As [`start`].
pub async fn start_with(daemon: Daemon, config: Config, seams: Seams) -> anyhow::Result<Running> {
    std::fs::create_dir_all(&config.root).with_context(|| format!("creating {}", config.root.display()))?;
    let machine = Machine::detect(&config.root, config.node.max_pods, &config.node.reserved);
    let certificates = Certificates::new(&config.identity, &config.node.name);
    let client = config.client.as_ref().map(|flags| certificates.connect(flags)).transpose()?;
    if let Some(client) = &client {
        certificates.keep(client, &hosts(&config), &daemon);
    }
    let parts = Parts::build(&daemon, &config, seams, client, &machine);
    let health = Health::new();
    let address = parts.serve(&daemon, &config, &certificates, &health).await?;
    parts.network_without_api(&config).await;
    let workers = parts.workers.clone();
    parts.spawn(&daemon, &config, machine, &health);
    if let Some(healthz) = config.healthz {
        health.serve_plain(healthz, &daemon).await?;
    }
    daemon.ready();
    Ok(Running { workers, address })
}

/// Everything, built but not started.
struct Parts {
    context: Arc<Context>,
    workers: Workers,
    api: Option<ApiParts>,
    eviction: Manager,
}

struct ApiParts {
    client: Client,
    pods: Informer<Pod>,
    node: Informer<Node>,
    services: Informers,
}

impl Parts {
    fn build(daemon: &Daemon, config: &Config, seams: Seams, client: Option<Client>, machine: &Machine) -> Self {
        let name = &config.node.name;
        let api = client.clone().map(|client| ApiParts {
            client,
            pods: Informer::new(&(), &selecting(format!("spec.nodeName={name}"))),
            node: Informer::new(&(), &selecting(format!("metadata.name={name}"))),
            services: Informers::new(),
        });
        let recorder = client.clone().map(|client| Recorder::new(client, "kubelet", name, daemon));
        let events = Events::new(recorder, name);
        let (pressure_sender, pressures) = watch::channel(Pressures::new());
        let context = Arc::new(Context {
            daemon: daemon.clone(),
            images: Images::new(Arc::clone(&seams.runtime), events.clone()),
            statuses: StatusManager::new(client.clone()),
            objects: Arc::new(ObjectWatches::new(client.as_ref(), daemon)),
            runtime_classes: client.clone().map(Api::all),
            claims: ClaimSource { client: client.clone(), node: api.as_ref().map(|api| api.node.clone()) },
            local_volumes: LocalVolumes::new(config.local_volumes.clone(), config.root.clone()),
            tokens: TokenManager::new(client),
            api_pods: api.as_ref().map(|api| api.pods.clone()),
            services: api.as_ref().map(|api| api.services.of::<Service>()),
            node: NodeFacts {
                name: name.clone(),
                ips: config.node.ips.clone(),
                allocatable: machine.allocatable.clone(),
                memory: machine.memory,
                unsafe_sysctls: config.unsafe_sysctls.clone(),
            },
            allocations: Allocations::default(),
            log_links: LogLinks::new(&config.pod_logs),
            evictions: Evictions::default(),
            pressures,
            root: config.root.clone(),
            dns: config.dns.clone(),
            resolv_conf: config.resolv_conf.clone(),
            first_back_off: FIRST_BACK_OFF,
            runtime: seams.runtime,
            network: seams.network,
            events,
        });
        let workers = Workers::new(Arc::clone(&context));
        let eviction = Manager::new(workers.clone(), config.eviction.clone(), pressure_sender);
        Self { workers, context, api, eviction }
    }

    /// Serves the kubelet's API.
    async fn serve(
        &self,
        daemon: &Daemon,
        config: &Config,
        certificates: &Certificates,
        health: &Health,
    ) -> anyhow::Result<std::net::SocketAddr> {
        let state = ServerState {
            node: config.node.name.clone(),
            runtime: Arc::clone(&self.context.runtime),
            pods: Arc::new(Directory::new(self.workers.clone())),
            local_volumes: Arc::clone(&self.context.local_volumes),
            settings: server::configz::settings(config),
            daemon: daemon.clone(),
        };
        let access = config.access.build(&config.node.name, self.api.as_ref().map(|api| &api.client))?;
        let router = server::router(Arc::new(state), health, config.profiling, access);
        let listen = ListenConfig { address: config.listen, certificate: serving_certificate(config, certificates) };
        Ok(server::listen(&listen, router, daemon).await?)
    }

    /// A node that is told its Pod CIDR need not wait for the API.
    async fn network_without_api(&self, config: &Config) {
        if !config.pod_cidrs.is_empty()
            && let Err(error) = self.context.network.set_pod_cidrs(&config.pod_cidrs).await
        {
            tracing::warn!("making the pod network: {error}");
        }
    }

    fn spawn(self, daemon: &Daemon, config: &Config, machine: Machine, health: &Health) {
        self.context.statuses.run(daemon);
        let (manifests, received_manifests) = mpsc::channel(QUEUED);
        let awaited = spawn_static_sources(daemon, config, &manifests);
        let pleg = Pleg::new(Arc::clone(&self.context.runtime));
        let looked = pleg.last_look();
        health.check("pleg", move || match *looked.borrow() {
            Some(at) if at.elapsed() > HEALTHY_WITHIN => {
                Err(format!("pleg was last seen active {:?} ago", at.elapsed()))
            }
            _ => Ok(()),
        });
        let (changes, received_changes) = mpsc::channel(QUEUED);
        daemon.spawn_until_shutdown(pleg.run(changes));
        daemon.spawn_until_shutdown(Box::pin(self.eviction.run()));
        let api = self.api.map(|api| api.spawn(daemon, config, &self.context, &self.workers, machine));
        let dispatcher = Dispatcher::new(self.workers, api, awaited);
        let turns = || {
            let pulse = dispatcher.pulse();
            move || pulse.within(HANGS_AFTER)
        };
        health.check("syncloop", turns());
        daemon.liveness.add("syncloop", turns());
        daemon.spawn_until_shutdown(Box::pin(async move {
            // Sources may all be absent; the loop still needs a channel that stays open.
            let _manifests = manifests;
            dispatcher.run(received_manifests, received_changes).await;
        }));
    }
}

impl ApiParts {
    fn spawn(
        self,
        daemon: &Daemon,
        config: &Config,
        context: &Arc<Context>,
        workers: &Workers,
        machine: Machine,
    ) -> ApiSide {
        let inbox = Arc::new(Inbox::default());
        let noted = Arc::clone(&inbox);
        self.pods.on_event(move |event| noted.push(ObjectKey::of(&**event.object())));
        let handles = NodeHandles {
            client: self.client.clone(),
            informer: self.node.clone(),
            runtime: Arc::clone(&context.runtime),
            network: Arc::clone(&context.network),
            events: context.events.clone(),
            pressures: context.pressures.clone(),
        };
        let woken = workers.clone();
        let node = config.node.clone();
        let agent = NodeAgent::new(handles, node, config.local_volumes.clone(), machine, move || woken.nudge_all());
        let recovered = agent.recovered();
        daemon.spawn_until_shutdown(Box::pin(agent.run()));
        let heartbeat = Heartbeat { client: self.client.clone(), node: config.node.name.clone(), recovered };
        daemon.spawn_until_shutdown(Box::pin(heartbeat.run()));
        self.pods.start(self.client.clone(), daemon);
        let (pods, first_list) = (self.pods.clone(), Arc::clone(&inbox));
        daemon.spawn_until_shutdown(async move {
            // The informer tells of the first list's pods before it says that there was one.
            pods.synced().await;
            first_list.complete();
        });
        self.node.start(self.client.clone(), daemon);
        self.services.start(&self.client, daemon);
        let mirrors = Mirrors::run(self.client, &config.node.name, self.pods.clone(), workers.clone(), daemon);
        ApiSide { pods: self.pods, node: self.node, inbox, mirrors }
    }
}

fn hosts(config: &Config) -> Hosts {
    Hosts { names: vec![config.node.name.clone(), config.node.hostname.clone()], addresses: config.node.ips.clone() }
}

fn serving_certificate(config: &Config, certificates: &Certificates) -> ServingCertificate {
    if let Some(file) = certificates.requested_serving() {
        return ServingCertificate::Requested(file);
    }
    if let Some((certificate, key)) = config.certificate.clone() {
        return ServingCertificate::Files { certificate, key };
    }
    let mut hosts = vec![config.node.name.clone(), "localhost".to_owned()];
    hosts.extend(config.node.ips.iter().map(ToString::to_string));
    ServingCertificate::SelfMade { directory: config.identity.cert_dir.clone(), hosts }
}

fn selecting(field_selector: String) -> Scope {
    Scope { field_selector: Some(field_selector), ..Scope::default() }
}

fn spawn_static_sources(daemon: &Daemon, config: &Config, sender: &ManifestSender) -> HashSet<StaticSource> {
    let mut awaited = HashSet::new();
    if let Some(path) = &config.manifests {
        let source = FileSource { path: path.clone(), node: config.node.name.clone(), rescan: config.file_check };
        daemon.spawn_until_shutdown(source.run(sender.clone()));
        awaited.insert(StaticSource::File);
    }
    if let Some(url) = &config.manifest_url {
        let source = UrlSource { url: url.clone(), node: config.node.name.clone(), period: config.http_check };
        daemon.spawn_until_shutdown(source.run(sender.clone()));
        awaited.insert(StaticSource::Http);
    }
    awaited
}
