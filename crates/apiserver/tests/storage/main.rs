//! The stores and the watch cache, each against the same suite and then for what is its own; and what clients see of them
//! when somebody is killed.
#![allow(clippy::unwrap_used)]

mod cache;
mod conformance;
mod crash;
mod embedded;
mod encryption;
mod etcd;
mod etcd_server;
mod history;
mod kms;
mod kube_rs;
mod maintenance;
mod process;
mod profiling;
mod restart;
mod unreadable;
mod wakeups;
