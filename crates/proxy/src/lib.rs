//! kube-proxy: makes Services reachable by way of nftables or iptables rules.
//!
//! ```text
//! model (informers) → changes → table: service + endpoint (resolved, per family, one service at a time)
//!     → nft (pure: elements of maps)  → nft::apply (one transaction of what differs)
//!     → rules (pure: chains)          → apply (delta, one restore)
//! sync (the loop) around it; app puts it together from flags + file = config
//! ```
//!
//! policy enforces NetworkPolicies beside it, when asked to.
//!
//! Invariants: nothing is changed before both informers have listed; a change costs what changes, and what was applied
//! is what the whole would be; the rules outlive the process, so that a restart interrupts nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub mod app;
pub mod apply;
pub mod chains;
pub mod changes;
pub mod config;
pub mod conntrack;
pub mod endpoint;
pub mod entrance;
pub mod fault;
pub mod file;
pub mod file_watch;
pub mod flags;
pub mod health;
pub mod health_checks;
pub mod metrics;
pub mod mode;
pub mod model;
pub mod nft;
pub mod node;
pub mod policy;
pub mod rules;
pub mod service;
pub mod settings;
pub mod surroundings;
pub mod sync;
pub mod table;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: flags::Flags = component::flags::parse_or_exit(flags::RETIRED);
    let logging = flags.logging.clone();
    let outdated = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&outdated);
    let code = component::daemon::run("kube-proxy", &logging, |daemon| app::start(daemon, flags, told));
    // As upstream: whoever starts it again only after failures does so, too.
    if outdated.load(Ordering::Relaxed) { ExitCode::FAILURE } else { code }
}
