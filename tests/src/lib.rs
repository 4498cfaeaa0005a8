//! What the end-to-end tests share: a cluster from `hack/local-up`, clients, and requests.
//!
//! The tests need root, Docker and a kubectl; they run one at a time, and only when
//! `FERROKUBE_E2E` is set, as `hack/test` does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod client;
mod cluster;
mod machine;
pub mod strangers;
mod traffic;
mod web;

use std::time::{Duration, Instant};

pub use client::Client;
pub use cluster::{Cluster, Storage, root};
pub use machine::Machine;
pub use traffic::{Traffic, get};
pub use web::{Askers, Web};

/// Whether the tests may touch this machine.
#[must_use]
pub fn enabled() -> bool {
    let enabled = std::env::var_os("FERROKUBE_E2E").is_some();
    if !enabled {
        println!("skipped: set FERROKUBE_E2E=1 and run as root; see hack/test");
    }
    enabled
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `limit`.
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
