//! The Kubernetes API server: one table of resources over one store.
//!
//! The folders tell a request's story in order: [`filters`] (one ordered list) → [`handlers`] (one file a verb) →
//! [`admission`] (one ordered list) → [`registry`] (generic) and [`resources`] (the table) → [`storage`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admission;
mod app;
pub mod bootstrap;
pub mod config;
pub mod discovery;
pub mod filters;
pub mod handlers;
pub mod json;
pub mod managed_fields;
pub mod openapi;
pub mod patch;
pub mod registry;
pub mod request;
pub mod resources;
pub mod serving;
pub mod storage;
pub mod testing;

pub use app::{Addresses, App, BuildError};
pub use config::{Config, Flags, RETIRED};
