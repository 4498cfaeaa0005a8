//! The controllers against the real API server, in this process, with a kubelet that only writes
//! statuses.
#![allow(clippy::unwrap_used)]

mod accounts;
mod autoscalers;
mod certificates;
mod cron_jobs;
mod daemon_sets;
mod disruptions;
mod garbage;
mod harness;
mod jobs;
mod load_balancers;
mod mirrors;
mod nodes;
mod persistent_volumes;
mod quotas;
mod resource_claims;
mod roles;
mod service_ranges;
mod stateful_sets;
mod volumes;
mod workloads;
