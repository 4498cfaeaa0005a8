//! The Kubernetes API server: one table of resources over one store.

pub mod storage;
