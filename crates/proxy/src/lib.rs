//! kube-proxy: makes Services reachable by way of iptables rules.
//!
//! ```text
//! model (informers) → service + endpoint (resolved, per family) → rules (pure) → apply (delta, one restore)
//! sync (the loop) around it; app puts it together from flags + file = config
//! ```
//!
//! policy enforces NetworkPolicies beside it, when asked to.
//!
//! Invariants: nothing is changed before both informers have listed; what is applied is always computed from the
//! whole; the rules outlive the process, so that a restart interrupts nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod app;
pub mod apply;
pub mod chains;
pub mod config;
pub mod conntrack;
pub mod endpoint;
pub mod file;
pub mod flags;
pub mod health;
pub mod metrics;
pub mod model;
pub mod node;
pub mod policy;
pub mod rules;
pub mod service;
pub mod settings;
pub mod sync;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: flags::Flags = component::flags::parse_or_exit(flags::RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kube-proxy", &logging, |daemon| app::start(daemon, flags))
}
