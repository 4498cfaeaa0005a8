//! The Kubernetes API server: one table of resources over one store.
//!
//! The folders tell a request's story in order: [`filters`] (one ordered list) → handlers → registry
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod discovery;
pub mod filters;
pub mod request;
pub mod serving;
pub mod storage;
pub mod admission;
pub mod bootstrap;
pub mod openapi;
pub mod registry;
pub mod resources;
