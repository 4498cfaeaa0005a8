//! The scheduler: `pop → filter → score → assume → bind`.
//!
//! [`framework`] holds the decision, which is pure; [`cache`] and [`directory`] what is known of the cluster;
//! [`queue`] the pods that wait; [`scheduler`] the loop that joins them; [`binder`] the writes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod app;
pub mod binder;
pub mod cache;
pub mod config;
pub mod devices;
pub mod directory;
pub mod extenders;
pub mod framework;
pub mod metrics;
pub mod model;
pub mod plugins;
pub mod queue;
pub mod resources;
pub mod scheduler;
pub mod storage;
#[cfg(test)]
mod testing;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: app::Flags = component::flags::parse_or_exit(app::RETIRED);
    component::daemon::run("kube-scheduler", &flags.logging.clone(), |daemon| app::start(flags, daemon))
}
