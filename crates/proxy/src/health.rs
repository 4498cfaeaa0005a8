//! `/healthz` and `/livez`, as load balancers ask for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use api_types::jiff::Timestamp;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use component::Daemon;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::model::Node;

/// Whether changes reach the kernel in time. Clones share it.
#[derive(Clone, Debug)]
pub struct ProxyHealth {
    times: Arc<Mutex<Times>>,
    /// For how long a change may wait.
    patience: Duration,
    /// What was answered.
    pub answers: Answers,
}

#[derive(Debug)]
struct Times {
    /// When the oldest change arrived that is not yet in force.
    waiting_since: Option<Instant>,
    /// When rules were last brought into force.
    updated: Timestamp,
    /// Whether the node is to get traffic at all: it is not being deleted.
    eligible: bool,
}

/// How often each answer was given.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// To `/healthz`, by status.
    pub healthz: Labelled<Code, Counter>,
    /// To `/livez`, by status.
    pub livez: Labelled<Code, Counter>,
}

/// The label of [`Answers`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Code {
    code: u16,
}

/// The node's autoscaler is about to delete it.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

impl ProxyHealth {
    /// Healthy as long as no change waits longer than this.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let times = Times { waiting_since: None, updated: Timestamp::UNIX_EPOCH, eligible: true };
        Self { times: Arc::new(Mutex::new(times)), patience, answers: Answers::default() }
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

    /// What the node is now.
    pub fn node(&self, node: &Node) {
        let tainted = node.spec.taints.iter().flatten().any(|taint| taint.key == TO_BE_DELETED);
        self.times.lock().eligible = node.metadata.deletion_timestamp.is_none() && !tainted;
    }

    /// Whether the node is to get traffic at all.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.times.lock().eligible
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
        let router = Router::new().route("/healthz", get(healthz)).route("/livez", get(livez));
        component::serve::spawn_router(listener, None, router.with_state(self.clone()), daemon);
        Ok(bound)
    }

    /// Answers; a healthy proxy is always up to date, whenever it last had something to do.
    fn report(&self, well: bool, answers: &Labelled<Code, Counter>, mut told: Value) -> Response {
        let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answers.get_or_create(&Code { code: status.as_u16() }).inc();
        let now = Timestamp::now();
        let updated = if well { now } else { self.times.lock().updated };
        told["lastUpdated"] = updated.to_string().into();
        told["currentTime"] = now.to_string().into();
        json_response(status, told.to_string())
    }
}

/// JSON that a browser does not take for anything else.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, body).into_response()
}

async fn healthz(State(health): State<ProxyHealth>) -> Response {
    let eligible = health.is_eligible();
    health.report(health.is_healthy() && eligible, &health.answers.healthz, json!({"nodeEligible": eligible}))
}

async fn livez(State(health): State<ProxyHealth>) -> Response {
    health.report(health.is_healthy(), &health.answers.livez, json!({}))
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

    #[test]
    fn a_node_that_is_to_be_deleted_gets_no_traffic() {
        let health = ProxyHealth::new(Duration::from_secs(1));
        let node = |taint: &str| serde_json::from_value(json!({"metadata": {}, "spec": {"taints": [{"key": taint}]}}));
        for (taint, eligible) in [("other", true), (TO_BE_DELETED, false), ("other", true)] {
            health.node(&node(taint).unwrap());
            assert_eq!(health.is_eligible(), eligible, "{taint}");
        }
    }
}
