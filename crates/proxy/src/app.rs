//! Putting the daemon together.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Json;
use axum::routing::get;
use component::Daemon;
use component::client::connect;
use component::informer::{Informer, Scope};
use component::serve::health::Health;
use iptables::{Family, Flavour, HostIptables, Iptables};
use kube::Client;
use netfilter::NftError;
use tokio::net::TcpListener;

use crate::apply::FamilyRules;
use crate::changes::Changes;
use crate::config::Config;
use crate::file::ConfigFile;
use crate::file_watch::{self, FileWatch};
use crate::flags::Flags;
use crate::health::ProxyHealth;
use crate::health_checks::HealthChecks;
use crate::metrics::Metrics;
use crate::mode::{ProxyMode, Rules};
use crate::model::{EndpointSlice, Service};
use crate::nft::apply::FamilyTable;
use crate::node;
use crate::policy;
use crate::service::LABEL_SELECTOR;
use crate::surroundings::Surroundings;
use crate::sync::{BY_SERVICE, FamilySync, Syncer, index_by_service};

/// Does what the flags say: cleans up or sets up and ends, or starts the proxy. `outdated` is set when that ends because
/// the configuration file has changed.
///
/// # Errors
/// When the configuration is wrong, or a server cannot be bound, or no program that changes rules can be run.
pub async fn start(daemon: Daemon, flags: Flags, outdated: Arc<AtomicBool>) -> anyhow::Result<()> {
    let text = flags.config.as_deref().map(read).transpose()?;
    let (config, unknown) = configure(&flags, text.as_deref())?;
    for field in unknown {
        tracing::warn!(field, "the configuration file has a field that is not known");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if flags.cleanup == Some(true) {
        clean_up().await?;
        daemon.shutdown.cancel();
        return Ok(());
    }
    if flags.init_only == Some(true) {
        node::prepare_kernel(&config.settings, &config.conntrack);
        daemon.shutdown.cancel();
        return Ok(());
    }
    let client = connect(&config.client).await?;
    if flags.enforce_network_policies == Some(true) {
        policy::enforce::start(&config.node, client.clone(), &daemon);
    }
    run(&daemon, config, client).await?;
    if let Some(text) = text {
        end_when_outdated(&daemon, flags, text, outdated);
    }
    daemon.ready();
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    file_watch::read(path).with_context(|| format!("reading {path:?}"))
}

/// The configuration that flags and a file of this content make, and the file's fields that nobody knows.
fn configure(flags: &Flags, text: Option<&str>) -> anyhow::Result<(Config, Vec<String>)> {
    let parse = |text| anyhow::Ok(ConfigFile::read(api_types::yaml::from_str(text)?)?);
    let (file, unknown) = text.map(parse).transpose().context("reading the configuration file")?.unwrap_or_default();
    Ok((Config::new(flags, &file, &node::host_name())?, unknown))
}

/// Ends the daemon when its file has another content that can be used: as upstream, whoever started it starts it again.
/// Rules stay in force meanwhile.
fn end_when_outdated(daemon: &Daemon, flags: Flags, text: String, outdated: Arc<AtomicBool>) {
    let shutdown = daemon.shutdown.clone();
    daemon.spawn_until_shutdown(async move {
        let Some(path) = flags.config.as_deref() else { return };
        let watched = async {
            let mut watch = FileWatch::new(path, text)?;
            loop {
                match configure(&flags, Some(watch.changed().await?)) {
                    Ok(_) => return std::io::Result::Ok(()),
                    Err(error) => tracing::error!("the configuration file has changed, but cannot be used: {error:#}"),
                }
            }
        };
        match watched.await {
            Ok(()) => {
                tracing::info!("the configuration file has changed: to be started again");
                outdated.store(true, Ordering::Relaxed);
                shutdown.cancel();
            }
            Err(error) => tracing::warn!("watch the configuration file: {error}"),
        }
    });
}

/// Removes what any mode has made.
async fn clean_up() -> anyhow::Result<()> {
    let mut flavours = vec![Flavour::Default];
    // Asking for legacy tables makes them.
    if std::fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|names| !names.trim().is_empty()) {
        flavours.extend([Flavour::Nft, Flavour::Legacy]);
    }
    for family in node::families() {
        for flavour in &flavours {
            match FamilyRules::new(family).clean_up(&HostIptables::with_flavour(*flavour)).await {
                Err(iptables::Error::Run { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                result => result?,
            }
        }
        remove_table(family).await?;
    }
    if let Err(error) = policy::enforce::clean_up().await {
        tracing::info!("no network policies are removed: {error}");
    }
    Ok(())
}

/// Removes our nftables table, where there is nftables.
async fn remove_table(family: Family) -> Result<(), NftError> {
    match FamilyTable::new(family).clean_up().await {
        Err(NftError::Run(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The iptables that are in use here, if the programs are there.
async fn host_iptables() -> Result<HostIptables, iptables::Error> {
    let iptables = HostIptables::detect().await?;
    iptables.save(Family::V4).await?;
    Ok(iptables)
}

/// Starts the servers, the informers and the loop.
///
/// # Errors
/// When a server cannot be bound, or the chosen mode does not work.
pub async fn run(daemon: &Daemon, config: Config, client: Client) -> anyhow::Result<()> {
    let mode = ProxyMode::choose(config.mode, &node::families()).await.context("using nftables")?;
    node::prepare_kernel(&config.settings, &config.conntrack);
    let families = families(mode).await?;
    tracing::info!(mode = mode.name(), "services are brought into force");
    let health = ProxyHealth::new(config.pace.verify * 2);
    let alive = health.clone();
    daemon.liveness.add("livez", move || {
        if alive.is_healthy() { Ok(()) } else { Err("a change is not brought into force".to_owned()) }
    });
    let registry = Health::new();
    let mut registered = None;
    registry.metrics(|registry| registered = Some(Metrics::register(registry, &health.answers)));
    let metrics = registered.context("registering metrics")?;
    if let Some(address) = config.healthz {
        health.serve(address, daemon).await?;
    }
    if let Some(address) = config.metrics {
        serve_metrics(&registry, address, &config, mode, daemon).await?;
    }
    let changes = Changes::new(health.clone(), metrics.clone());
    let (services, slices) = informers(&changes);
    let surroundings = Surroundings::new(&config, &changes, &health);
    services.start(client.clone(), daemon);
    slices.start(client.clone(), daemon);
    surroundings.start(&client, daemon);
    let checks = HealthChecks::new(daemon, &health);
    let syncer = Syncer { mode, families, config, services, slices, surroundings, changes, health, metrics, checks };
    daemon.spawn_until_shutdown(syncer.run());
    Ok(())
}

/// Everything of each address family. What another mode has left is removed: by the rules themselves, or here.
async fn families(mode: ProxyMode) -> anyhow::Result<Vec<FamilySync<HostIptables>>> {
    let iptables = match (mode, host_iptables().await) {
        (_, Ok(iptables)) => Some(iptables),
        (ProxyMode::Iptables, Err(error)) => return Err(error).context("using iptables"),
        (ProxyMode::Nftables, Err(error)) => {
            tracing::info!("rules of iptables are left alone: {error}");
            None
        }
    };
    let mut families = Vec::new();
    for family in node::families() {
        if mode == ProxyMode::Iptables {
            remove_table(family).await?;
        }
        families.push(FamilySync::new(family, Rules::new(mode, family, iptables.clone())));
    }
    Ok(families)
}

fn informers(changes: &Changes) -> (Informer<Service>, Informer<EndpointSlice>) {
    let scope = Scope { label_selector: Some(LABEL_SELECTOR.to_owned()), ..Scope::default() };
    let services = Informer::<Service>::new(&(), &scope);
    let slices = Informer::<EndpointSlice>::new(&(), &scope).with_index(BY_SERVICE, index_by_service);
    let noted = changes.clone();
    services.on_event(move |event| noted.service(event));
    let noted = changes.clone();
    slices.on_event(move |event| noted.slice(event));
    (services, slices)
}

async fn serve_metrics(
    registry: &Health,
    address: SocketAddr,
    config: &Config,
    mode: ProxyMode,
    daemon: &Daemon,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
    let told = serde_json::json!({"kubeproxy.config.k8s.io": config.told(mode)});
    let router = registry.router().route("/proxyMode", get(move || async move { mode.name() }));
    let router = router.route("/configz", get(move || async move { Json(told) })).merge(config.profiling.router());
    component::serve::spawn_router(listener, None, router, daemon);
    Ok(())
}
