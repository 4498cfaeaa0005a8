//! What is left on this node. Blocking.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::{Amount, Observations, Signal};
use crate::node::NodeUsage;

/// What is left now; `root` is the kubelet's directory, `images` Docker's.
#[must_use]
pub(super) fn observe(root: &Path, images: Option<&Path>, memory: u64) -> Observations {
    let mut seen = Observations::new();
    if let Some(usage) = NodeUsage::read() {
        let available = memory.saturating_sub(usage.memory_working_set);
        seen.insert(Signal::Memory, Amount { available, capacity: memory });
    }
    disk(root, Signal::NodeDisk, Signal::NodeInodes, &mut seen);
    if let Some(images) = images {
        disk(images, Signal::ImageDisk, Signal::ImageInodes, &mut seen);
    }
    if let Some(amount) = processes() {
        seen.insert(Signal::Pid, amount);
    }
    seen
}

fn disk(path: &Path, bytes: Signal, inodes: Signal, seen: &mut Observations) {
    let Ok(disk) = statvfs(path) else { return };
    let size = disk.fragment_size();
    let amount = |available: u64, capacity: u64| Amount { available, capacity };
    seen.insert(bytes, amount(disk.blocks_available().saturating_mul(size), disk.blocks().saturating_mul(size)));
    // Some file systems have as many as they need and say that they have none.
    if disk.files() > 0 {
        seen.insert(inodes, amount(disk.files_available(), disk.files()));
    }
}

/// Process ids: the least of what the kernel has numbers and room for.
fn processes() -> Option<Amount> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let there = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Amount { available: most.saturating_sub(there), capacity: most })
}
