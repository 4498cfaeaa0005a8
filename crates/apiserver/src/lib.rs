//! The Kubernetes API server: one table of resources over one store.
//!
//! The folders tell a request's story in order: [`catalogue`] (where it goes) → [`filters`] (one ordered list) →
//! [`handlers`] (one file a verb) →
//! [`admission`] (one ordered list) → [`registry`] (generic) and [`resources`] (the table) → [`storage`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

use component::{daemon, flags};

pub mod admission;
pub mod aggregation;
mod app;
pub mod audit;
pub mod authentication;
pub mod authorization;
pub mod bootstrap;
pub mod catalogue;
pub mod config;
pub mod definitions;
pub mod discovery;
pub mod filters;
pub mod handlers;
pub mod json;
mod maintenance;
pub mod managed_fields;
pub mod metrics;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod registry;
pub mod request;
pub mod resources;
pub mod reviews;
pub mod serving;
pub mod storage;
#[cfg(feature = "testing")]
pub mod testing;
pub mod webhook;

pub use app::{Addresses, App, BuildError};
pub use config::{Config, Flags, RETIRED};

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    if let Some(done) = maintenance::run_if_asked() {
        return done;
    }
    let flags: Flags = flags::parse_or_exit(RETIRED);
    let logging = flags.logging.clone();
    daemon::run("kube-apiserver", &logging, async |daemon| {
        let app = App::build(Config::new(flags)?, daemon).await?;
        let addresses = app.addresses();
        tracing::info!(secure = ?addresses.secure, insecure = ?addresses.insecure, "serving");
        app.spawn();
        Ok(())
    })
}
