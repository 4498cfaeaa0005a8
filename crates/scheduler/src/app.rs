//! Flags and wiring.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use clap::Parser;
use component::{
    Daemon,
    flags::{ClientFlags, LeaderElectionFlags, LoggingFlags, RetiredFlags},
    informer::Informers,
    leader::Candidate,
    recorder::Recorder,
    serve::health::Health,
};

use crate::{binder::Binder, metrics::Metrics, scheduler::Scheduler};

/// Flags that upstream has retired, or that mean nothing here.
pub const RETIRED: RetiredFlags = &[
    ("config", "the default profile is always used"),
    ("authentication-kubeconfig", "the health port asks for no credentials"),
    ("authorization-kubeconfig", "the health port asks for no credentials"),
    ("authorization-always-allow-paths", "the health port asks for no credentials"),
    ("client-ca-file", "the health port asks for no credentials"),
    ("requestheader-client-ca-file", "the health port asks for no credentials"),
    ("tls-cert-file", "the health port's certificate is made at start"),
    ("tls-private-key-file", "the health port's certificate is made at start"),
    ("cert-dir", "the health port's certificate is made at start"),
    ("algorithm-provider", "there is one set of plugins"),
    ("policy-config-file", "there is one set of plugins"),
    ("address", "plain HTTP is not served; see --bind-address"),
    ("port", "plain HTTP is not served; see --secure-port"),
    ("lock-object-name", "the lease is named kube-scheduler"),
    ("leader-elect-resource-lock", "leases are always used"),
    ("leader-elect-resource-name", "the lease is named kube-scheduler"),
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
    /// Address of the health and metrics port
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// HTTPS port for health and metrics; 0 turns it off
    #[arg(long, default_value_t = 10259, value_name = "PORT")]
    pub secure_port: u16,
    /// Pods that name this scheduler are this one's
    #[arg(long, default_value = "default-scheduler", value_name = "NAME")]
    pub scheduler_name: String,
}

/// Binds the health port, waits for leadership in the background, and schedules.
///
/// # Errors
/// When the kubeconfig does not load or the port is taken.
pub async fn start(flags: Flags, daemon: Daemon) -> anyhow::Result<()> {
    let client = component::client::connect(&flags.client).await?;
    let health = Health::new();
    let metrics = Metrics::new(&health);
    if flags.secure_port != 0 {
        health.serve_tls("kube-scheduler", SocketAddr::new(flags.bind_address, flags.secure_port), &daemon).await?;
    }
    daemon.ready();
    if flags.leader.enabled {
        let candidate = Candidate::new(client.clone(), "kube-scheduler", &flags.leader);
        let leading = candidate.lead(daemon.shutdown.clone()).await;
        let shutdown = daemon.shutdown.clone();
        daemon.spawn(async move {
            leading.await;
            // Another may lead from now on; upstream exits, too, and its supervisor restarts it.
            shutdown.cancel();
        });
    }
    run(&flags, client, metrics, &daemon).await;
    Ok(())
}

/// Starts informers and the loop.
async fn run(flags: &Flags, client: kube::Client, metrics: Metrics, daemon: &Daemon) {
    let recorder = Recorder::new(client.clone(), &flags.scheduler_name, "", daemon);
    let informers = Informers::new();
    let binder = Binder::new(client.clone(), recorder);
    let scheduler = Arc::new(Scheduler::new(&flags.scheduler_name, binder, metrics));
    scheduler.follow(&informers);
    informers.start(&client, daemon);
    informers.synced().await;
    tracing::info!("caches are in step with the API server");
    let scheduling = Arc::clone(&scheduler);
    let tasks = daemon.clone();
    daemon.spawn_until_shutdown(async move { scheduling.run(&tasks).await });
}
