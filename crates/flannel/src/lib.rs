//! flanneld: the network between nodes. Every node has a subnet, of which the others are told by way of etcd or of the
//! API server; packets to it go straight (`host-gw`), in the kernel's tunnel (`vxlan`) or in ours (`udp`).
//!
//! ```text
//! subnets (etcd or nodes) → lease (values) → peers (checked) → backend: plan (pure) → kernel (the difference, by netlink)
//! ```
//!
//! Invariants: what others say of themselves is checked before it becomes a route; what somebody removes comes back;
//! routes outlive the process, so that a restart interrupts nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

pub mod app;
pub mod backend;
pub mod config;
pub mod flags;
pub mod interface;
pub mod kernel;
pub mod lease;
pub mod peers;
pub mod rules;
pub mod subnet_file;
pub mod subnets;

/// The program. It is in the library, because what a binary is the first to use is compiled in the binary: all of it,
/// once more.
pub fn main() -> ExitCode {
    let flags: flags::Flags = component::flags::parse_or_exit(flags::RETIRED);
    let logging = flags.logging.clone();
    component::daemon::run("flanneld", &logging, |daemon| app::start(daemon, flags))
}
