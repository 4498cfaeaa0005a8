//! Node-pressure eviction: when the node runs short of memory, disk, inodes or process ids, it says so, takes back what
//! nobody needs, and ends pods one after the other, in upstream's order.

mod manager;
mod observe;
mod rank;
mod settings;
#[cfg(test)]
mod tests;
mod threshold;
mod tracker;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;

use crate::runtime::PodUid;
use crate::status::Reason;
pub use manager::Manager;
pub use settings::{Given, Settings, pairs};
pub use threshold::{Signal, Threshold};

/// Why no more pods are welcome: a condition of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pressure {
    /// `MemoryPressure`.
    Memory,
    /// `DiskPressure`.
    Disk,
    /// `PIDPressure`.
    Pid,
}

impl Pressure {
    /// The condition's type.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
            Self::Pid => "PIDPressure",
        }
    }
}

/// The pressures that the node is under.
pub type Pressures = BTreeSet<Pressure>;

/// How much of something is left, and how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Left.
    pub available: u64,
    /// All of it.
    pub capacity: u64,
}

/// What was seen of the node; what could not be read is not there.
pub type Observations = BTreeMap<Signal, Amount>;

/// A pod that has to go.
#[derive(Debug, Clone)]
pub struct Eviction {
    /// For its status.
    pub reason: Reason,
    /// Seconds that its containers have.
    pub grace: u32,
}

/// Pods that have to go, until their workers have heard of it.
#[derive(Default)]
pub struct Evictions(Mutex<HashMap<PodUid, Eviction>>);

impl Evictions {
    /// Notes that a pod has to go.
    pub fn add(&self, uid: PodUid, eviction: Eviction) {
        self.0.lock().insert(uid, eviction);
    }

    /// Whether the pod has to go; answers once.
    pub fn take(&self, uid: &PodUid) -> Option<Eviction> {
        self.0.lock().remove(uid)
    }
}

/// Reason of a pod's status and event.
pub const EVICTED: &str = "Evicted";
