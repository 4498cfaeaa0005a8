//! Taints that controllers set and heed.

/// The kubelet says that the node is not ready.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The kubelet says nothing.
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
pub(crate) const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";
pub(crate) const DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
pub(crate) const PID_PRESSURE: &str = "node.kubernetes.io/pid-pressure";
pub(crate) const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";
/// Set by people: the node is off for certain.
pub(crate) const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub(crate) use api_types::pod::tolerations::{NO_EXECUTE, NO_SCHEDULE};
