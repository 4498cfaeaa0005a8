//! The controllers against the real API server, in this process, with a kubelet that only writes
//! statuses.
#![allow(clippy::unwrap_used)]

mod accounts;
mod certificates;
mod garbage;
mod harness;
mod nodes;
mod quotas;
mod roles;
mod volumes;
mod workloads;
