//! Whose turn it is: pure, in upstream's order.

use std::cmp::Reverse;
use std::sync::Arc;

use api_types::core::Pod;
use api_types::pod::resources::{self, Counting};

use super::Signal;
use crate::pod::{PodExt, qos};

/// A pod that could go, with what it uses.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) pod: Arc<Pod>,
    /// What each of its containers uses of memory, in bytes.
    pub(super) memory: Vec<(String, u64)>,
    /// Bytes that it keeps on disk.
    pub(super) disk: u64,
    /// How many processes it has.
    pub(super) processes: u64,
}

impl Candidate {
    fn used(&self, signal: Signal) -> u64 {
        match signal {
            Signal::Memory => self.memory.iter().fold(0, |sum, (_, used)| sum.saturating_add(*used)),
            Signal::Pid => self.processes,
            _ => self.disk,
        }
    }

    fn requested(&self, signal: Signal) -> u64 {
        let name = signal.resource();
        let requests = resources::requests(self.pod.as_ref(), Counting::default());
        requests.get(name).and_then(|amount| u64::try_from(amount.value()).ok()).unwrap_or(0)
    }
}

/// Whether the node must do without it first of all: pods that the node itself is made of stay.
#[must_use]
pub(super) fn may_go(pod: &Pod) -> bool {
    !pod.is_static() && !pod.is_mirror() && !qos::is_critical(pod)
}

/// Who goes first stands first: who uses more than was asked for, then who matters less, then who exceeds its request by
/// more. Nobody asks for inodes or process ids.
pub(super) fn rank(candidates: &mut [Candidate], signal: Signal) {
    let counts = matches!(signal, Signal::Memory | Signal::NodeDisk | Signal::ImageDisk);
    candidates.sort_by_key(|candidate| {
        let (used, requested) = (candidate.used(signal), if counts { candidate.requested(signal) } else { 0 });
        let within = counts && used <= requested;
        let priority = candidate.pod.pod_spec().priority.unwrap_or(0);
        (within, priority, Reverse(i128::from(used) - i128::from(requested)))
    });
}
