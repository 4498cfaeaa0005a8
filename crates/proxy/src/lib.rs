//! kube-proxy: Services to iptables rules.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chains;
pub mod config;
pub mod endpoint;
pub mod file;
pub mod flags;
pub mod model;
pub mod rules;
pub mod service;
pub mod settings;
