//! `emptyDir` in memory.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

use super::VolumeError;

/// Mounts a tmpfs of at most `limit` bytes; 0 leaves it to the kernel.
pub(super) fn mount(path: &Path, limit: u64) -> Result<(), VolumeError> {
    let options = if limit > 0 { format!("mode=0777,size={limit}") } else { "mode=0777".to_owned() };
    nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|error| VolumeError::disk("mounting a tmpfs on", path)(error.into()))
}

/// Whether something is mounted exactly there.
pub(super) fn is_mounted(path: &Path) -> bool {
    mount_points().iter().any(|mounted| mounted == path)
}

/// Unmounts everything at and below `path`, the innermost first.
pub(super) fn unmount_below(path: &Path) -> Result<(), VolumeError> {
    let mut below: Vec<PathBuf> = mount_points().into_iter().filter(|mounted| mounted.starts_with(path)).collect();
    below.sort_by_key(|mounted| std::cmp::Reverse(mounted.components().count()));
    for mounted in below {
        nix::mount::umount2(&mounted, MntFlags::empty())
            .map_err(|error| VolumeError::disk("unmounting", &mounted)(error.into()))?;
    }
    Ok(())
}

/// The second field of `/proc/self/mounts`, in which blanks and the like are octal escapes.
fn mount_points() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(|field| PathBuf::from(unescape(field))).collect()
}

fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
