//! Ending a command that was executed in a container.
//!
//! Docker can start such a command but not stop it, so the kubelet signals its process tree itself.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::runtime::cgroup::belongs_to;

/// Kills a process and all its descendants, if it is (still) one of container `id`.
///
/// Everything found is stopped first, so that nothing forks while the tree is being walked.
pub(super) fn kill_tree(root: u32, id: &str) {
    if !belongs_to(root, id) {
        return;
    }
    let mut found = HashSet::new();
    let mut fresh = vec![root];
    while !fresh.is_empty() {
        for pid in fresh.drain(..) {
            signal(pid, Signal::SIGSTOP);
            found.insert(pid);
        }
        let parents = parents();
        fresh = parents.filter(|(pid, parent)| found.contains(parent) && !found.contains(pid)).map(|p| p.0).collect();
    }
    for pid in found {
        signal(pid, Signal::SIGKILL);
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // It may have ended by itself, which is as good.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Every process with its parent.
fn parents() -> impl Iterator<Item = (u32, u32)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((pid, parent_of(&stat)?))
    })
}

/// The fourth field of `/proc/PID/stat`; the second, the name in brackets, may contain anything.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_past_strange_names() {
        assert_eq!(parent_of("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_of("12 (a"), None);
    }

    #[test]
    fn a_process_of_no_container_is_left_alone() {
        kill_tree(std::process::id(), "0123456789abcdef");
        kill_tree(std::process::id(), "");
    }
}
