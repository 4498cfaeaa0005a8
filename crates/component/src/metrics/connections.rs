//! Connections to this process, and the certificates of those who made them.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::Registry,
};

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// Upstream's buckets, in seconds.
const EXPIRATIONS: [f64; 14] = [
    0.0,
    0.5 * HOUR,
    HOUR,
    2.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    4.0 * DAY,
    7.0 * DAY,
    30.0 * DAY,
    90.0 * DAY,
    180.0 * DAY,
    360.0 * DAY,
];

static HANDSHAKE_ERRORS: LazyLock<Counter> = LazyLock::new(Counter::default);
static EXPIRATION: LazyLock<Histogram> = LazyLock::new(|| Histogram::new(EXPIRATIONS));

pub(super) fn register(registry: &mut Registry) {
    let help = "TLS handshakes that failed";
    registry.register("apiserver_tls_handshake_errors", help, HANDSHAKE_ERRORS.clone());
    let help = "What is left of the lives of the certificates with which requests are made";
    registry.register("apiserver_client_certificate_expiration_seconds", help, EXPIRATION.clone());
}

/// A handshake has failed.
pub(crate) fn handshake_failed() {
    HANDSHAKE_ERRORS.inc();
}

/// A request was made with a certificate that is good until then, in seconds since 1970.
pub(crate) fn certificate_used(not_after: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EXPIRATION.observe(not_after as f64 - now.as_secs_f64());
}
