//! Putting the daemon together.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::routing::get;
use component::Daemon;
use component::client::connect;
use component::informer::{Informer, Scope};
use component::serve::health::Health;
use iptables::HostIptables;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::apply::FamilyRules;
use crate::config::Config;
use crate::file::ConfigFile;
use crate::flags::Flags;
use crate::health::ProxyHealth;
use crate::metrics::Metrics;
use crate::model::{EndpointSlice, Service};
use crate::node;
use crate::policy;
use crate::service::LABEL_SELECTOR;
use crate::sync::Syncer;

/// Does what the flags say: cleans up and ends, or starts the proxy.
///
/// # Errors
/// When the configuration is wrong, or a server cannot be bound, or no iptables program can be run.
pub async fn start(daemon: Daemon, flags: Flags) -> anyhow::Result<()> {
    let file = flags.config.as_deref().map(read).transpose()?.unwrap_or_default();
    let config = Config::new(&flags, &file, &node::host_name())?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let iptables = HostIptables::detect().await?;
    if flags.cleanup == Some(true) {
        clean_up(&iptables).await?;
        daemon.shutdown.cancel();
        return Ok(());
    }
    let client = connect(&config.client).await?;
    if flags.enforce_network_policies == Some(true) {
        policy::enforce::start(&config.node, client.clone(), &daemon);
    }
    run(&daemon, config, iptables, client).await?;
    daemon.ready();
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<ConfigFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {path:?}"))?;
    let value = api_types::yaml::from_str(&text).with_context(|| format!("reading {path:?}"))?;
    serde_json::from_value(value).with_context(|| format!("reading {path:?}"))
}

async fn clean_up(iptables: &HostIptables) -> anyhow::Result<()> {
    for family in node::families() {
        FamilyRules::new(family).clean_up(iptables).await?;
    }
    if let Err(error) = policy::enforce::clean_up().await {
        tracing::info!("no network policies are removed: {error}");
    }
    Ok(())
}

/// Starts the servers, the informers and the loop.
///
/// # Errors
/// When a server cannot be bound.
pub async fn run(
    daemon: &Daemon,
    config: Config,
    iptables: impl iptables::Iptables,
    client: Client,
) -> anyhow::Result<()> {
    node::prepare_kernel(&config.settings, &config.conntrack);
    let health = ProxyHealth::new(config.pace.verify * 2);
    let registry = Health::new();
    let mut registered = None;
    registry.metrics(|registry| registered = Some(Metrics::register(registry)));
    let metrics = registered.context("registering metrics")?;
    if let Some(address) = config.healthz {
        health.serve(address, daemon).await?;
    }
    if let Some(address) = config.metrics {
        serve_metrics(&registry, address, daemon).await?;
    }
    let changed = Arc::new(Notify::new());
    let (services, slices) = informers(&changed, &health, &metrics);
    services.start(client.clone(), daemon);
    slices.start(client, daemon);
    let families = node::families().into_iter().map(FamilyRules::new).collect();
    let syncer = Syncer { iptables, families, config, services, slices, changed, health, metrics };
    daemon.spawn_until_shutdown(syncer.run());
    Ok(())
}

fn informers(
    changed: &Arc<Notify>,
    health: &ProxyHealth,
    metrics: &Arc<Metrics>,
) -> (Informer<Service>, Informer<EndpointSlice>) {
    let scope = Scope { label_selector: Some(LABEL_SELECTOR.to_owned()), ..Scope::default() };
    let services = Informer::<Service>::new(&(), &scope);
    let slices = Informer::<EndpointSlice>::new(&(), &scope);
    let note = |counter: prometheus_client::metrics::counter::Counter| {
        let (changed, health) = (Arc::clone(changed), health.clone());
        move || {
            counter.inc();
            health.changed();
            changed.notify_one();
        }
    };
    let service_changed = note(metrics.service_changes.clone());
    services.on_event(move |_| service_changed());
    let slice_changed = note(metrics.endpoint_changes.clone());
    slices.on_event(move |_| slice_changed());
    (services, slices)
}

async fn serve_metrics(registry: &Health, address: SocketAddr, daemon: &Daemon) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
    let router = registry.router().route("/proxyMode", get(|| async { "iptables" }));
    component::serve::spawn_router(listener, None, router, daemon);
    Ok(())
}
