//! Runs a node's pods on Docker, or on a runtime behind CRI.
//!
//! [`sources`] say which pods there should be; [`dispatch`] hands each to its worker ([`workers`]); the worker looks
//! at what runs, asks [`plan`] what to do, does it through [`runtime`] and tells [`status`] what came of it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod admission;
pub mod allocation;
pub mod app;
pub mod config;
pub mod config_file;
pub mod directory;
pub mod dispatch;
pub mod dns;
pub mod env;
pub mod events;
pub mod eviction;
pub mod flags;
pub mod identity;
pub mod images;
pub mod network;
pub mod news;
pub mod node;
pub mod objects;
pub mod plan;
pub mod pleg;
pub mod pod;
pub mod probes;
pub mod runtime;
pub mod server;
pub mod sources;
mod spdy;
pub mod status;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod volumes;
pub mod workers;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: flags::Flags = component::flags::parse_or_exit(flags::RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kubelet", &logging, |daemon| async move {
        app::start(daemon, config::Config::new(flags)?).await
    })
}
