//! Flags and wiring.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use clap::Parser;
use component::{
    Daemon,
    flags::{ClientFlags, LeaderElectionFlags, LoggingFlags, RetiredFlags},
    informer::Informers,
    leader::Candidate,
    profiling::{Profiling, ProfilingFlags},
    recorder::Recorder,
    serve::{
        guard::{Guard, GuardFlags},
        health::Health,
    },
};

use crate::{
    binder::Binder,
    config::{self, Backoff, ConfigError, Configuration, default_profiles, extenders::ExtenderDocument},
    extenders::{ExtenderError, Extenders},
    framework::Profiles,
    metrics::Metrics,
    scheduler::Scheduler,
};

/// Flags that upstream has retired, or that mean nothing here.
pub const RETIRED: RetiredFlags = &[
    ("authentication-skip-lookup", "nothing is looked up in the cluster; see --client-ca-file"),
    ("authentication-tolerate-lookup-failure", "nothing is looked up in the cluster; see --client-ca-file"),
    ("requestheader-client-ca-file", "no proxy is trusted to say who a client is"),
    ("tls-cert-file", "the health port's certificate is made at start"),
    ("tls-private-key-file", "the health port's certificate is made at start"),
    ("cert-dir", "the health port's certificate is made at start"),
    ("algorithm-provider", "there is one set of plugins"),
    ("address", "plain HTTP is not served; see --bind-address"),
    ("port", "plain HTTP is not served; see --secure-port"),
    ("lock-object-name", "the lease is named kube-scheduler"),
    ("leader-elect-resource-lock", "leases are always used"),
    ("leader-elect-resource-name", "the lease is named kube-scheduler"),
    ("bind-pods-burst", "clients are not throttled"),
    ("bind-pods-qps", "clients are not throttled"),
    ("failure-domains", "not supported"),
    ("hard-pod-affinity-symmetric-weight", "not supported"),
    ("pod-max-in-unschedulable-pods-duration", "not supported"),
    ("write-config-to", "not supported"),
    ("lock-object-namespace", "use --leader-elect-resource-namespace"),
    ("policy-configmap", "use profiles in --config"),
    ("policy-configmap-namespace", "use profiles in --config"),
    ("use-legacy-policy-config", "use profiles in --config"),
    ("requestheader-allowed-names", "no proxy is trusted to say who a client is"),
    ("requestheader-extra-headers-prefix", "no proxy is trusted to say who a client is"),
    ("requestheader-group-headers", "no proxy is trusted to say who a client is"),
    ("requestheader-uid-headers", "no proxy is trusted to say who a client is"),
    ("requestheader-username-headers", "no proxy is trusted to say who a client is"),
];

/// `kube-scheduler`'s flags.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-scheduler", about = "Assigns pods to nodes", version = component::KUBERNETES_VERSION)]
pub struct Flags {
    /// The API server.
    #[command(flatten)]
    pub client: ClientFlags,
    /// Verbosity.
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// Leader election.
    #[command(flatten)]
    pub leader: LeaderElectionFlags,
    /// Who may use the health and metrics port.
    #[command(flatten)]
    pub guard: GuardFlags,
    /// What the port tells of where time is spent.
    #[command(flatten)]
    pub profiling: ProfilingFlags,
    /// Address of the health and metrics port
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// HTTPS port for health and metrics; 0 turns it off
    #[arg(long, default_value_t = 10259, value_name = "PORT")]
    pub secure_port: u16,
    /// Pods that name this scheduler are this one's; the configuration's profiles go before it
    #[arg(long, default_value = "default-scheduler", value_name = "NAME")]
    pub scheduler_name: String,
    /// A file with a KubeSchedulerConfiguration; it goes before the flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A file with a Policy of old, which becomes the plugins that do the same; --config goes before it
    #[arg(long, value_name = "FILE")]
    pub policy_config_file: Option<PathBuf>,
}

/// The name of the lease.
const LEASE: &str = "kube-scheduler";

/// Flags and configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The API server.
    pub client: ClientFlags,
    /// Leader election.
    pub leader: LeaderElectionFlags,
    /// Name of the lease.
    pub lease: String,
    /// Who decides about which pods.
    pub profiles: Profiles,
    /// How long a pod waits after a failed attempt.
    pub backoff: Backoff,
    /// Whether profiles are made.
    pub profiling: Profiling,
    /// Programs elsewhere that have their say.
    pub extenders: Vec<ExtenderDocument>,
}

impl Config {
    /// Reads the configuration, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or makes no sense.
    pub fn new(flags: &Flags) -> Result<Self, ConfigError> {
        let mut own = Self {
            client: flags.client.clone(),
            leader: flags.leader.clone(),
            lease: LEASE.to_owned(),
            profiles: default_profiles(&flags.scheduler_name),
            backoff: Backoff::default(),
            profiling: Profiling::from(&flags.profiling),
            extenders: Vec::new(),
        };
        if let Some(path) = &flags.config {
            own.take(config::load(path)?);
        } else if let Some(path) = &flags.policy_config_file {
            tracing::warn!("--policy-config-file is of old; write a KubeSchedulerConfiguration for --config");
            let (policy, warnings) = config::policy::load(path, &flags.scheduler_name)?;
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            // A policy says nothing of it.
            own.take(Configuration { profiling: own.profiling, ..policy });
        }
        Ok(own)
    }

    fn take(&mut self, file: Configuration) {
        self.profiles = file.profiles;
        self.backoff = file.backoff;
        self.profiling = file.profiling;
        self.extenders = file.extenders;
        if file.kubeconfig.is_some() {
            self.client.kubeconfig = file.kubeconfig;
        }
        let (flags, file) = (&mut self.leader, file.leader_election);
        flags.enabled = file.leader_elect.unwrap_or(flags.enabled);
        flags.lease_duration = file.lease_duration.unwrap_or(flags.lease_duration);
        flags.renew_deadline = file.renew_deadline.unwrap_or(flags.renew_deadline);
        flags.retry_period = file.retry_period.unwrap_or(flags.retry_period);
        if let Some(namespace) = file.resource_namespace {
            flags.namespace = namespace;
        }
        if let Some(name) = file.resource_name {
            self.lease = name;
        }
    }
}

/// Binds the health port, waits for leadership in the background, and schedules.
///
/// # Errors
/// When the configuration or the kubeconfig does not load, or the port is taken.
pub async fn start(flags: Flags, daemon: Daemon) -> anyhow::Result<()> {
    let config = Config::new(&flags)?;
    let client = component::client::connect(&config.client).await?;
    let health = Health::new();
    let metrics = Metrics::new(&health);
    if flags.secure_port != 0 {
        let guard = Guard::new(&flags.guard).await?;
        let address = SocketAddr::new(flags.bind_address, flags.secure_port);
        health.serve_tls("kube-scheduler", address, guard, config.profiling, &daemon).await?;
    }
    daemon.ready();
    if config.leader.enabled {
        let candidate = Candidate::new(client.clone(), &config.lease, &config.leader);
        let leading = candidate.lead(daemon.shutdown.clone()).await;
        let shutdown = daemon.shutdown.clone();
        daemon.spawn(async move {
            leading.await;
            // Another may lead from now on; upstream exits, too, and its supervisor restarts it.
            shutdown.cancel();
        });
    }
    run(config, client, metrics, &daemon).await?;
    Ok(())
}

/// Starts informers and the loop.
///
/// # Errors
/// When extenders cannot be set up.
pub async fn run(config: Config, client: kube::Client, metrics: Metrics, daemon: &Daemon) -> Result<(), ExtenderError> {
    let name = config.profiles.keys().next().cloned().unwrap_or_default();
    let recorder = Recorder::new(client.clone(), &name, "", daemon);
    let informers = Informers::new();
    let binder = Binder::new(client.clone(), recorder);
    let mut extenders = Extenders::new(config.extenders).await?;
    extenders.follow(&informers);
    let scheduler = Arc::new(Scheduler::new(config.profiles, config.backoff, extenders, binder, metrics));
    scheduler.follow(&informers);
    informers.start(&client, daemon);
    informers.synced().await;
    tracing::info!("caches are in step with the API server");
    let scheduling = Arc::clone(&scheduler);
    let tasks = daemon.clone();
    daemon.spawn_until_shutdown(async move { scheduling.run(&tasks).await });
    Ok(())
}
