//! kube-proxy: makes Services reachable by way of iptables rules.
//!
//! ```text
//! model (informers) → service + endpoint (resolved, per family) → rules (pure) → apply (delta, one restore)
//! sync (the loop) around it; app puts it together from flags + file = config
//! ```
//!
//! Invariants: nothing is changed before both informers have listed; what is applied is always computed from the
//! whole; the rules outlive the process, so that a restart interrupts nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

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
pub mod rules;
pub mod service;
pub mod settings;
pub mod sync;
