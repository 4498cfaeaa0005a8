//! The stores and the watch cache, each against the same suite and then for what is its own.
#![allow(clippy::unwrap_used)]

mod cache;
mod conformance;
mod crash;
mod embedded;
mod encryption;
mod etcd;
mod etcd_server;
mod restart;
mod unreadable;
mod wakeups;
