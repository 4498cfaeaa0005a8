//! The scheduler against the real API server, in this process.
#![allow(clippy::unwrap_used)]

mod binder;
mod devices;
mod extenders;
mod harness;
mod placement;
mod preemption;
mod volumes;
