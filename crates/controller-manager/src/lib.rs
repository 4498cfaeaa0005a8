//! The control loops: one file each, in one table ([`controllers`]).
//!
//! Every controller is a pure `plan` over what the informers show, and a thin driver that queues
//! keys and carries the plan out. What several share stands beside them, once:
//!
//! | module | what it is |
//! |---|---|
//! | [`slim`] | pods, nodes and others with only the fields that are read here |
//! | [`ownership`] | controller references: claim, adopt, release |
//! | [`pod_events`], [`pod_control`] | whose pod it is that changed; pods created and deleted, with events |
//! | `history` | revisions of templates |
//! | [`expectations`] | what was asked of the server and not yet seen by an informer |
//! | [`pod_state`], [`pod_rank`], [`pod_template`] | active, ready, available; whom to delete first; pods from templates |
//! | [`service_endpoints`] | which pods stand behind a service |
//! | [`batch`], [`write`], [`written`] | slow start; patches and lost races; own writes that a cache lacks |
//! | [`int_or_percent`] | numbers that may be percentages |
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod batch;
mod bootstrap_token;
mod certificates;
mod cluster_role_aggregation;
pub mod context;
pub mod controllers;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod ephemeral_volumes;
pub mod expectations;
mod garbage_collector;
mod history;
pub mod int_or_percent;
mod job;
mod load_balancer;
mod local_volumes;
mod manager;
mod namespace;
mod node_ipam;
mod node_lifecycle;
pub mod options;
pub mod ownership;
mod persistent_volumes;
mod pod_autoscaler;
pub mod pod_control;
pub mod pod_events;
mod pod_gc;
pub mod pod_rank;
pub mod pod_state;
pub mod pod_template;
mod replication;
mod resource_claims;
mod resource_quota;
mod root_ca;
pub mod scalable;
mod service_account;
mod service_account_token;
mod service_cidrs;
pub mod service_endpoints;
pub mod slices;
pub mod slim;
mod stateful_set;
mod step;
mod taint_eviction;
mod taints;
mod ttl_after_finished;
mod volume_expansion;
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
