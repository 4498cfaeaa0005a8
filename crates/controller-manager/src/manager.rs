//! Putting the daemon together: health port, leader election, controllers.

use std::sync::Arc;

use component::{
    Daemon,
    leader::Candidate,
    profiling::Profiling,
    serve::{guard::Guard, health::Health},
};
use kube::Client;

use crate::{
    context::Context,
    controllers::CONTROLLERS,
    options::{Config, Flags},
    pod_autoscaler,
};

/// Starts the daemon: serves health, waits to lead, runs the controllers until `daemon` ends. Losing
/// the leadership ends the daemon, so that two managers never work at once.
///
/// # Errors
/// When flags are unsound, the client cannot be made, or a port cannot be bound.
pub async fn run(flags: Flags, daemon: Daemon) -> anyhow::Result<()> {
    let config = Arc::new(Config::new(flags)?);
    let client = component::client::connect(&config.flags.client).await?;
    let health = Health::new();
    health.metrics(pod_autoscaler::counted::register);
    serve_health(&health, &config, &daemon).await?;
    daemon.ready();
    if config.flags.leader.enabled {
        lead(&client, &config, &daemon).await;
    }
    // As upstream, `/healthz` names the controllers that run: none before this process leads.
    for name in start_controllers(client, config, &daemon).await {
        health.check(name, || Ok(()));
    }
    Ok(())
}

async fn serve_health(health: &Health, config: &Config, daemon: &Daemon) -> anyhow::Result<()> {
    if let Some(address) = config.secure_address() {
        let guard = Guard::new(&config.flags.guard).await?;
        health
            .serve_tls("kube-controller-manager", address, guard, Profiling::from(&config.flags.profiling), daemon)
            .await?;
    }
    if let Some(address) = config.insecure_address() {
        health.serve_plain(address, daemon).await?;
    }
    Ok(())
}

/// Returns when this process leads; the daemon ends when it no longer does.
async fn lead(client: &Client, config: &Config, daemon: &Daemon) {
    let candidate = Candidate::new(client.clone(), "kube-controller-manager", &config.flags.leader);
    let lost = candidate.lead(daemon.shutdown.clone()).await;
    let shutdown = daemon.shutdown.clone();
    daemon.spawn(async move {
        lost.await;
        shutdown.cancel();
    });
}

/// Runs the enabled controllers: registers all, lists what they watch, then starts their workers.
/// Returns their names when all are at work.
pub async fn start_controllers(client: Client, config: Arc<Config>, daemon: &Daemon) -> Vec<&'static str> {
    let context = Context::new(client, daemon.clone(), Arc::clone(&config));
    let enabled = CONTROLLERS.iter().filter(|controller| config.enabled.contains(controller.name));
    let started = enabled.filter_map(|controller| Some((controller.name, (controller.start)(&context)?)));
    let (names, runs): (Vec<_>, Vec<_>) = started.unzip();
    context.start_informers().await;
    tracing::info!(controllers = runs.len(), "informers have synced, controllers start");
    for run in runs {
        run();
    }
    names
}
