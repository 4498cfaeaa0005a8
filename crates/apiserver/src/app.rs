//! The server put together: a configuration becomes an [`App`] that has bound its addresses; [`App::spawn`] starts it.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
};

use api_types::StatusError;
use component::{Daemon, backoff::Backoff, files::FromFiles, serve};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    aggregation::{self, Means as AggregationMeans, Unavailable},
    audit::Audit,
    authorization::Authorization,
    bootstrap::{
        self,
        authentication_trust::{self, Trust},
        keeping,
        kubernetes_service::{self, Advertised},
        policy_types,
    },
    catalogue::{ChangeError, Request, Served},
    config::{Config, RbacDefaults, Secure, StoreConfig},
    definitions,
    filters::{Chain, Settings},
    handlers::{
        Api, KubeletClient, NonResource, StorageSize,
        resource_metrics::{self, Scraper},
    },
    metrics::{Caches, Metrics, StoreCalls},
    registry::{
        Registry,
        following::{self, Mirrored},
    },
    resources::{
        self, Means,
        service::{Pools, repair},
    },
    reviews::Reviewer,
    serving::Response,
    storage::{
        Prefix, Store, StoreError,
        embedded::EmbeddedStore,
        encryption::{Encrypted, EncryptionConfig, kms::Kms},
        etcd::EtcdStore,
    },
};

/// Why the server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory of the store cannot be made.
    #[error("cannot make the data directory")]
    DataDir(#[source] io::Error),
    /// The table of resources contradicts itself.
    #[error("the table of resources")]
    Table(#[from] ChangeError),
    /// A certificate cannot be used.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
}

/// A server that has bound its addresses and does nothing yet.
pub struct App {
    daemon: Daemon,
    service: Service,
    secure: Option<Secured>,
    insecure: Option<TcpListener>,
    registry: Arc<Registry>,
    served: Arc<Served>,
    /// `--etcd-prefix`.
    prefix: String,
    pools: Pools,
    /// What the service `kubernetes` leads to; `None` when HTTPS is not served.
    advertised: Option<Advertised>,
    rbac: RbacStart,
    trust: Trust,
    aggregation: Aggregation,
    /// What asks kubelets for metrics, if anything does.
    scraper: Option<(Scraper, Arc<KubeletClient>)>,
    started: watch::Sender<bool>,
}

/// What servers behind this one need.
#[derive(Clone)]
struct Aggregation {
    means: AggregationMeans,
    metrics: Unavailable,
}

/// What has to happen about roles and bindings once the server runs.
struct RbacStart {
    defaults: RbacDefaults,
    /// What authorizers keep of objects.
    mirrors: Vec<Mirrored>,
    /// Becomes true when the default roles are there.
    ready: watch::Sender<bool>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// HTTPS.
    pub secure: Option<SocketAddr>,
    /// Plain HTTP.
    pub insecure: Option<SocketAddr>,
}

impl App {
    /// Opens the store and binds the addresses.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn build(config: Config, daemon: Daemon) -> Result<Self, BuildError> {
        let insecure = match config.insecure {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let secure = match config.secure {
            Some(secure) => Some(bind_secure(secure).await?),
            None => None,
        };
        let mut metrics = prometheus_client::registry::Registry::default();
        component::metrics::register(&mut metrics);
        let counts = Metrics::default();
        counts.register(&mut metrics);
        let aggregation = Aggregation { means: config.aggregation, metrics: Unavailable::default() };
        aggregation.metrics.register(&mut metrics);
        let encryption = config.encryption.map(Arc::new);
        let opened = open(&config.store, &daemon).await?;
        let store = layered(opened, &config.resources, encryption.as_ref(), &mut metrics);
        let audit = config.audit.map(|settings| Audit::start(settings, &mut metrics, &daemon));
        let size = StorageSize::default();
        metrics.register("apiserver_storage_size_bytes", "Size of the store's file", size.clone());
        let (started, roles) = (watch::Sender::new(false), watch::Sender::new(false));
        let port = secure.as_ref().and_then(|(listener, _)| listener.local_addr().ok()).map(|address| address.port());
        let marks = Prefix::new(&format!("{}/masterleases", config.resources.prefix));
        let advertised = port.map(|port| Advertised { address: config.advertise, port, marks });
        let server_address = SocketAddr::new(config.advertise, port.unwrap_or(0)).to_string();
        let kubelet = Arc::new(KubeletClient::new(config.kubelet, config.kubelet_address_types, daemon.clone())?);
        let served = Arc::new(Served::new(&server_address, daemon.shutdown.clone()));
        metrics.register_collector(Box::new(Caches::new(&served)));
        let Authorization { authorizer, mirrors } = config.authorization;
        let registry = Registry::new(store.clone(), served.clone(), authorizer.clone(), |handle| {
            config.admission.build(handle, &counts.admission)
        });
        let pools = resources::pools(&store, registry.handle(), &config.resources, config.services);
        let issuing = config.authentication.issuing.clone();
        let naming = config.authentication.front_proxy.as_ref().map(|proxy| proxy.headers.clone());
        let authenticator = config.authentication.build(&registry.handle());
        let reviewer = Reviewer { authenticator: authenticator.clone(), authorizer: authorizer.clone() };
        let means = Means { pools: pools.clone(), kubelet: kubelet.clone(), reviewer, issuing: issuing.clone() };
        let scraper = served.change(|draft| {
            resources::serve(draft, &store, &config.resources, &means)?;
            config.metric_resolution.map(|resolution| resource_metrics::serve(draft, resolution)).transpose()
        })?;
        let non_resource = NonResource {
            served: served.clone(),
            metrics: Arc::new(Mutex::new(metrics)),
            size,
            store,
            started: started.subscribe(),
            roles: roles.subscribe(),
            encryption,
            shutdown: daemon.shutdown.clone(),
            issuing,
            address: server_address,
        };
        let api = Api { registry: registry.clone(), non_resource, profiling: config.profiling, daemon: daemon.clone() };
        let settings = Settings {
            authenticator,
            naming,
            authorizer,
            audit,
            limits: config.limits,
            timeout: config.timeout,
            metrics: counts,
        };
        let service = Service { chain: Arc::new(Chain::new(settings, api)), served: served.clone() };
        let rbac = RbacStart { defaults: config.rbac_defaults, mirrors, ready: roles };
        Ok(Self {
            daemon,
            service,
            secure,
            insecure,
            registry,
            served,
            prefix: config.resources.prefix,
            pools,
            advertised,
            rbac,
            trust: config.trust,
            aggregation,
            scraper: scraper.map(|scraper| (scraper, kubelet)),
            started,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses {
            secure: self.secure.as_ref().and_then(|(listener, _)| listener.local_addr().ok()),
            insecure: self.insecure.as_ref().and_then(|listener| listener.local_addr().ok()),
        }
    }

    /// What is served, which may be changed at any time.
    #[must_use]
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// What reads and writes what is served.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Becomes true when the server is ready.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.started.subscribe()
    }

    /// Starts serving; everything is a task of the daemon and ends with it.
    pub fn spawn(self) {
        if let Some((listener, tls)) = self.secure {
            serve::spawn(listener, Some(tls), self.service.clone(), &self.daemon);
        }
        if let Some(listener) = self.insecure {
            serve::spawn(listener, None, self.service, &self.daemon);
        }
        if let Some((scraper, kubelets)) = self.scraper {
            self.daemon.spawn_until_shutdown(scraper.run(self.registry.clone(), kubelets));
        }
        let startup = Startup {
            registry: self.registry,
            served: self.served,
            prefix: self.prefix,
            pools: self.pools,
            advertised: self.advertised,
            rbac: self.rbac,
            trust: self.trust,
            aggregation: self.aggregation,
            started: self.started,
        };
        let daemon = self.daemon.clone();
        self.daemon.spawn(startup.run(daemon));
    }
}

/// What happens once the server listens.
struct Startup {
    registry: Arc<Registry>,
    served: Arc<Served>,
    prefix: String,
    pools: Pools,
    advertised: Option<Advertised>,
    rbac: RbacStart,
    trust: Trust,
    aggregation: Aggregation,
    started: watch::Sender<bool>,
}

impl Startup {
    /// Makes sure of what every cluster has, as often as it takes; then the server is ready, and keeps its endpoints.
    async fn run(mut self, daemon: Daemon) {
        let mut mirrors = std::mem::take(&mut self.rbac.mirrors);
        mirrors.extend(self.registry.mirrored());
        let mirrored = following::follow(mirrors, &self.registry, &daemon);
        let settings = definitions::Settings {
            served: self.served.clone(),
            registry: self.registry.clone(),
            prefix: self.prefix.clone(),
        };
        let defined = definitions::keep(settings, &daemon);
        let Aggregation { means, metrics } = self.aggregation.clone();
        let (served, registry) = (self.served.clone(), self.registry.clone());
        let aggregated = aggregation::keep(aggregation::Settings { served, registry, means, metrics }, &daemon);
        let mut backoff = Backoff::reconnect();
        let ensured = daemon.shutdown.run_until_cancelled(async {
            while let Err(error) = self.ensure().await {
                tracing::warn!("bootstrap: {error}");
                tokio::time::sleep(backoff.next_delay()).await;
            }
            for mut synced in mirrored.into_iter().chain([defined, aggregated]) {
                // A task that has ended has ended with the daemon.
                let _ = synced.wait_for(|synced| *synced).await;
            }
        });
        if ensured.await.is_none() {
            return;
        }
        self.started.send_replace(true);
        daemon.ready();
        let (registry, own) = (self.registry.clone(), daemon.clone());
        daemon.spawn_until_shutdown(async move { keeping::keep(&registry, &own).await });
        let (registry, trust) = (self.registry.clone(), self.trust);
        daemon.spawn_until_shutdown(async move { authentication_trust::keep(&registry, &trust).await });
        let (registry, pools) = (self.registry.clone(), self.pools.clone());
        daemon.spawn_until_shutdown(async move { repair::keep(&registry, &pools).await });
        let (registry, own) = (self.registry.clone(), daemon.clone());
        daemon.spawn_until_shutdown(async move { policy_types::keep(&registry, &own).await });
        let (registry, own) = (self.registry.clone(), daemon.clone());
        daemon.spawn_until_shutdown(async move { aggregation::keep_own(&registry, &own).await });
        if let Some(advertised) = &self.advertised {
            kubernetes_service::keep_endpoints(&self.registry, advertised, &daemon.shutdown).await;
        }
    }

    async fn ensure(&self) -> Result<(), StatusError> {
        bootstrap::ensure_namespaces(&self.registry).await?;
        bootstrap::service_cidr::ensure(&self.registry, &self.pools.addresses.range).await?;
        repair::addresses(&self.registry, &self.pools).await?;
        bootstrap::api_services::ensure(&self.registry, resources::rows().iter().map(|row| &**row)).await?;
        bootstrap::flow_control::ensure(&self.registry).await?;
        bootstrap::ensure_priority_classes(&self.registry).await?;
        if self.rbac.defaults == RbacDefaults::Kept {
            bootstrap::rbac::reconcile(&self.registry).await?;
        }
        self.rbac.ready.send_replace(true);
        match &self.advertised {
            Some(advertised) => {
                kubernetes_service::ensure_service(&self.registry, &self.pools.addresses.range, advertised).await
            }
            None => Ok(()),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address).await.map_err(|source| BuildError::Bind { address, source })
}

/// A listener and what its connections are secured with.
type Secured = (TcpListener, Arc<rustls::ServerConfig>);

async fn bind_secure(secure: Secure) -> Result<Secured, BuildError> {
    let config = serve::tls::server_config_following(secure.certificate, secure.client_authorities)?;
    Ok((bind(secure.address).await?, config))
}

/// The store behind what counts its calls and, where keys are given, what encrypts.
fn layered(
    store: Arc<dyn Store>,
    resources: &resources::Settings,
    encryption: Option<&Arc<FromFiles<EncryptionConfig>>>,
    metrics: &mut prometheus_client::registry::Registry,
) -> Arc<dyn Store> {
    let mut store: Arc<dyn Store> = Arc::new(StoreCalls::new(store, resources::folders(resources), metrics));
    if let Some(keys) = encryption {
        keys.get().services().for_each(Kms::start);
        store = Arc::new(Encrypted::new(store, keys.clone(), resources::folders(resources)));
    }
    store.unreadable().register(metrics);
    store
}

async fn open(config: &StoreConfig, daemon: &Daemon) -> Result<Arc<dyn Store>, BuildError> {
    match config {
        StoreConfig::Embedded(options) => {
            let directory = options.path.parent().unwrap_or(Path::new("."));
            // Secrets are in it.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(BuildError::DataDir)?;
            let store = EmbeddedStore::open(options)?;
            let maintenance = store.maintenance();
            match maintenance.listen() {
                Ok(listener) => daemon.spawn_until_shutdown(async move { maintenance.serve(listener).await }),
                Err(error) => tracing::warn!("snapshots can only be taken while the server is stopped: {error}"),
            }
            Ok(Arc::new(store))
        }
        StoreConfig::Etcd(options) => Ok(Arc::new(EtcdStore::connect(options).await?)),
    }
}

/// The filters and handlers as the accept loop calls them.
#[derive(Clone)]
struct Service {
    chain: Arc<Chain>,
    served: Arc<Served>,
}

impl tower::Service<http::Request<Incoming>> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let chain = self.chain.clone();
        let request = Request::new(request, &self.served.load());
        Box::pin(async move { Ok(chain.answer(request).await) })
    }
}
