//! Informers and leader election against the real API server, in this process, behind a wire that can be cut.
#![allow(clippy::unwrap_used)]

mod leader;
mod reflector;
mod support;
