//! Putting the daemon together.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use component::Daemon;
use component::client::connect;
use component::files::FromFiles;
use component::serve::health::Health;
use tokio::net::TcpListener;

use crate::cluster::{Cluster, Informed};
use crate::flags::Flags;
use crate::forward::{Forwarder, Routes, Sources};
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::probe::LoopProbe;
use crate::server::{Clients, Server};
use crate::zone::Zone;

/// Starts the server and the informers. Names of the cluster fail until it is known; others work at once.
///
/// # Errors
/// When an address cannot be bound, or the flags name no reachable configuration.
pub async fn start(daemon: Daemon, flags: Flags) -> anyhow::Result<()> {
    let servers = bind(&flags).await?;
    let own: Vec<SocketAddr> = servers.iter().map(Server::address).collect::<Result<_, _>>()?;
    let client = connect(&flags.client).await?;
    let cluster = Arc::new(Informed::start(&client, &daemon));
    let health = Health::new();
    let mut registered = None;
    health.metrics(|registry| registered = Some(Metrics::register(registry)));
    let metrics = registered.context("registering metrics")?;
    let routes = routes(&flags, own.clone())?;
    tracing::info!(domain = %flags.domain, ?own, routes = ?routes.get(), "serving DNS");
    let addresses: Vec<IpAddr> = own.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
    let handler = Arc::new(Handler {
        zone: Zone::new(flags.domain, addresses, Arc::clone(&cluster)),
        probe: LoopProbe::default(),
        forwarder: Forwarder::new(routes, Arc::clone(&metrics)),
        metrics,
    });
    let clients = Clients::new(flags.allowed_clients);
    for server in servers {
        server.spawn(&handler, &clients, &daemon);
    }
    daemon.spawn_until_shutdown(async move { handler.probe.run(&handler.forwarder).await });
    serve_health(&health, &flags.healthz_bind_address, cluster, &daemon).await?;
    daemon.ready();
    Ok(())
}

async fn bind(flags: &Flags) -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for ip in &flags.bind_addresses {
        servers.push(Server::bind(SocketAddr::new(*ip, flags.dns_port)).await?);
    }
    Ok(servers)
}

/// The routes of other names, made anew when a file changes. A mistake that is there from the start is told, and the
/// flags alone count until it is mended.
fn routes(flags: &Flags, own: Vec<SocketAddr>) -> anyhow::Result<FromFiles<Routes>> {
    let sources = Sources {
        forward: flags.forward.clone(),
        resolv_conf: flags.resolv_conf.clone(),
        config_dir: flags.config_dir.clone(),
        own,
    };
    let started = AtomicBool::new(false);
    FromFiles::new("the configuration of upstream servers", sources.paths(), move || match sources.read() {
        Err(error) if !started.swap(true, Ordering::Relaxed) => {
            tracing::error!("the configuration directory is not used: {error:#}");
            Ok(sources.by_flags())
        }
        result => {
            started.store(true, Ordering::Relaxed);
            result
        }
    })
}

async fn serve_health(
    health: &Health,
    address: &str,
    cluster: Arc<impl Cluster>,
    daemon: &Daemon,
) -> anyhow::Result<()> {
    if address.is_empty() {
        return Ok(());
    }
    let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
    let synced = {
        let cluster = Arc::clone(&cluster);
        move || if cluster.is_synced() { Ok(()) } else { Err("the cluster is not known yet".to_owned()) }
    };
    health.check("ping", || Ok(()));
    health.check("synced", synced);
    let ready = move || {
        let answer = if cluster.is_synced() { (StatusCode::OK, "OK") } else { NOT_READY };
        async move { answer }
    };
    let router: Router = health.router().route("/ready", get(ready));
    component::serve::spawn_router(listener, None, router, daemon);
    Ok(())
}

const NOT_READY: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "the cluster is not known yet");
