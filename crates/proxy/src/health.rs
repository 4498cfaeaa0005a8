//! `/healthz` and `/livez`, as load balancers ask for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use api_types::jiff::Timestamp;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use component::Daemon;
use parking_lot::Mutex;
use tokio::net::TcpListener;

/// Whether changes reach the kernel in time. Clones share it.
#[derive(Clone, Debug)]
pub struct ProxyHealth {
    times: Arc<Mutex<Times>>,
    /// For how long a change may wait.
    patience: Duration,
}

#[derive(Debug)]
struct Times {
    /// When the oldest change arrived that is not yet in force.
    waiting_since: Option<Instant>,
    /// When rules were last brought into force.
    updated: Timestamp,
}

impl ProxyHealth {
    /// Healthy as long as no change waits longer than this.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let times = Times { waiting_since: None, updated: Timestamp::UNIX_EPOCH };
        Self { times: Arc::new(Mutex::new(times)), patience }
    }

    /// A change arrived.
    pub fn changed(&self) {
        self.times.lock().waiting_since.get_or_insert_with(Instant::now);
    }

    /// Every change that had arrived at `seen` is in force.
    pub fn updated(&self, seen: Instant) {
        let mut times = self.times.lock();
        times.waiting_since = times.waiting_since.filter(|since| *since > seen);
        times.updated = Timestamp::now();
    }

    /// Whether no change waits for too long.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.times.lock().waiting_since.is_none_or(|since| since.elapsed() < self.patience)
    }

    /// Serves `/healthz` and `/livez`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve(&self, address: SocketAddr, daemon: &Daemon) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
        let bound = listener.local_addr()?;
        let router = Router::new().route("/healthz", get(report)).route("/livez", get(report));
        component::serve::spawn_router(listener, None, router.with_state(self.clone()), daemon);
        Ok(bound)
    }
}

async fn report(State(health): State<ProxyHealth>) -> impl IntoResponse {
    let status = if health.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "lastUpdated": health.times.lock().updated.to_string(),
        "currentTime": Timestamp::now().to_string(),
        "nodeEligible": true,
    });
    (
        status,
        [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")],
        body.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_never_applied_is_unhealthy() {
        let health = ProxyHealth::new(Duration::ZERO);
        assert!(health.is_healthy(), "while it starts");
        let before = Instant::now();
        health.changed();
        assert!(!health.is_healthy());
        health.updated(before);
        assert!(!health.is_healthy(), "what was applied did not contain the change");
        health.updated(Instant::now());
        assert!(health.is_healthy());
    }
}
