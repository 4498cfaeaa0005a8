//! The scheduler: `pop → filter → score → assume → bind`.
//!
//! [`framework`] holds the decision, which is pure; [`cache`] what is known of the cluster;
//! [`queue`] the pods that wait; [`scheduler`] the loop that joins them; [`binder`] the writes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod app;
pub mod binder;
pub mod cache;
pub mod framework;
pub mod metrics;
pub mod model;
pub mod plugins;
pub mod queue;
pub mod resources;
pub mod scheduler;
