//! Runs a node's pods on Docker.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod network;
pub mod pleg;
pub mod runtime;
pub mod server;
