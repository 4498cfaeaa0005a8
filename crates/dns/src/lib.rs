//! kube-dns: the names of a cluster.
//!
//! ```text
//! server (UDP, TCP) → handler ─ zone (pure) ← cluster (informers of model)
//!                             └ forward (upstream servers, cache)
//! ```
//!
//! There is no copy of the cluster as records: a question is answered from the informers' indexes at the moment it is
//! asked. Invariants: nothing is said not to exist before everything is known; every wait and every queue is bounded.
//!
//! Deliberately absent: zone transfers, DNSSEC, DNS over TLS.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod app;
pub mod cluster;
pub mod flags;
pub mod forward;
pub mod handler;
pub mod metrics;
pub mod model;
pub mod probe;
pub mod server;
pub mod subject;
pub mod zone;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: flags::Flags = component::flags::parse_or_exit(flags::RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kube-dns", &logging, |daemon| app::start(daemon, flags))
}
