//! The control loops: one file each, in one table ([`controllers`]).
//!
//! Every controller is a pure `plan` over what the informers show, and a thin driver that queues
//! keys and carries the plan out. What several share stands beside them, once:
//!
//! | module | what it is |
//! |---|---|
//! | [`slim`] | pods, nodes and others with only the fields that are read here |
//! | [`ownership`] | controller references: claim, adopt, release |
//! | [`expectations`] | what was asked of the server and not yet seen by an informer |
//! | [`pod_state`], [`pod_rank`], [`pod_template`] | active, ready, available; whom to delete first; pods from templates |
//! | [`service_endpoints`] | which pods stand behind a service |
//! | [`batch`], [`write`], [`written`] | slow start; patches and lost races; own writes that a cache lacks |
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod batch;
mod bootstrap_token;
mod certificates;
mod cluster_role_aggregation;
pub mod context;
pub mod controllers;
mod deployment;
mod discovery;
mod endpoint_slice;
mod endpoints;
pub mod expectations;
mod garbage_collector;
mod manager;
mod namespace;
mod node_ipam;
mod node_lifecycle;
pub mod options;
pub mod ownership;
mod pod_gc;
pub mod pod_rank;
pub mod pod_state;
pub mod pod_template;
mod replication;
mod resource_quota;
mod root_ca;
mod service_account;
mod service_account_token;
pub mod service_endpoints;
pub mod slim;
mod step;
mod taint_eviction;
mod taints;
mod volume_protection;
pub mod write;
pub mod written;

pub use manager::{run, start_controllers};

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: options::Flags = component::flags::parse_or_exit(options::RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("kube-controller-manager", &logging, |daemon| run(flags, daemon))
}
