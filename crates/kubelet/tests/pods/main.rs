//! Whole pods: a kubelet with the runtime in memory, static pods on their own and pods from the real API server.
#![allow(clippy::unwrap_used)]

mod access;
mod api;
mod cni;
mod containerd;
mod docker;
mod ephemeral;
mod eviction;
mod identity;
mod node;
#[path = "../shared/containerd.rs"]
mod own_containerd;
mod resize;
mod restarts;
mod sandboxes;
#[path = "../shared/docker.rs"]
mod shared;
mod statics;
mod volumes;
