//! `ctl`: the command line, with kubectl's verbs, flags and output.
//!
//! [`cli`] parses; [`connection`] reads the kubeconfig; [`api`] speaks HTTP; [`resources`] turns
//! what people type into resources, through discovery; [`manifests`] reads files; [`commands`] has
//! one file a verb; [`output`] prints.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod cli;
pub mod commands;
pub mod connection;
pub mod error;
pub mod manifests;
pub mod output;
pub mod resources;
