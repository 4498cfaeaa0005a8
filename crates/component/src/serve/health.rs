//! `/healthz`, `/livez`, `/readyz` and `/metrics` of a daemon.

use std::{fmt, net::SocketAddr, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::{
    certificates,
    guard::{self, Guard},
    tls,
};
use crate::{Daemon, informer, metrics, profiling::Profiling};

/// Says whether a part is well, and if not, why.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A daemon's checks and metrics, filled in while it is put together.
#[derive(Clone)]
pub struct Health {
    checks: Arc<Mutex<Vec<(&'static str, Check)>>>,
    registry: Arc<Mutex<Registry>>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Health({} checks)", self.checks.lock().len())
    }
}

impl Health {
    /// No checks: always healthy. Metrics of what every daemon has.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        informer::register(&mut registry);
        metrics::register(&mut registry);
        Self { checks: Arc::default(), registry: Arc::new(Mutex::new(registry)) }
    }

    /// Adds a check.
    pub fn check(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.lock().push((name, Arc::new(check)));
    }

    /// Registers metrics.
    pub fn metrics(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    /// The routes, for a daemon that serves more than these.
    pub fn router(&self) -> Router {
        let metrics = Router::new().route("/metrics", get(told)).with_state(self.clone());
        self.checks_router().merge(metrics.layer(map_response(guard::nothing_to_guess)))
    }

    fn checks_router(&self) -> Router {
        let router = Router::new()
            .route("/healthz", get(all))
            .route("/healthz/{check}", get(one))
            .route("/livez", get(all))
            .route("/livez/{check}", get(one))
            .route("/readyz", get(all))
            .route("/readyz/{check}", get(one))
            .with_state(self.clone());
        router.layer(map_response(guard::nothing_to_guess))
    }

    /// Serves the checks over plain HTTP, for anybody who reaches the address; no metrics.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve_plain(&self, address: SocketAddr, daemon: &Daemon) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
        let bound = listener.local_addr()?;
        super::spawn_router(listener, None, self.checks_router(), daemon);
        Ok(bound)
    }

    /// Serves the routes, and what is served of profiles, over HTTPS to those whom the guard lets in, with a certificate that lives in memory, as
    /// upstream's scheduler and controller manager do when none is given.
    ///
    /// # Errors
    /// When the address cannot be bound or the certificate not be made.
    pub async fn serve_tls(
        &self,
        name: &str,
        address: SocketAddr,
        guard: Guard,
        profiling: Profiling,
        daemon: &Daemon,
    ) -> anyhow::Result<SocketAddr> {
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), address.ip().to_string()];
        let config = tls::server_config(certificates::make(name, &hosts)?)?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
        let bound = listener.local_addr()?;
        super::spawn_router(listener, Some(config), guard.protect(self.router().merge(profiling.router())), daemon);
        Ok(bound)
    }
}

#[derive(serde::Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

async fn all(State(health): State<Health>, Query(query): Query<Verbose>) -> Response {
    let checks = health.checks.lock().clone();
    let mut report = String::new();
    let mut well = true;
    for (name, check) in checks {
        match check() {
            Ok(()) => report.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                well = false;
                report.push_str(&format!("[-]{name} failed: {why}\n"));
            }
        }
    }
    match (well, query.verbose) {
        (true, None) => "ok".into_response(),
        (true, Some(_)) => format!("{report}healthz check passed\n").into_response(),
        (false, _) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{report}healthz check failed\n")).into_response(),
    }
}

async fn one(State(health): State<Health>, Path(name): Path<String>) -> Response {
    let check = health.checks.lock().iter().find(|(known, _)| *known == name).map(|(_, check)| Arc::clone(check));
    match check.map(|check| check()) {
        Some(Ok(())) => "ok".into_response(),
        Some(Err(why)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")).into_response()
        }
        None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}

async fn told(State(health): State<Health>) -> Response {
    match metrics::encode(&health.registry.lock()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
