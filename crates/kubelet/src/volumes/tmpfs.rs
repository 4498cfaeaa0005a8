//! Volumes in memory.

use std::ffi::OsStr;
use std::io;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::dir::{Dir, Mounts};

/// Permissions of a directory on which something is mounted.
const POINT: u32 = 0o750;

/// What a file system in memory is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tmpfs {
    /// Permissions of its root.
    pub(super) mode: u32,
    /// Group of its root.
    pub(super) group: Option<u32>,
    /// At most so many bytes; `None` leaves it to the kernel.
    pub(super) size: Option<u64>,
}

impl Tmpfs {
    fn options(self) -> String {
        let mut options = format!("mode={:04o}", self.mode);
        if let Some(group) = self.group {
            options.push_str(&format!(",gid={group}"));
        }
        if let Some(size) = self.size {
            options.push_str(&format!(",size={size}"));
        }
        options
    }

    /// Mounts it on a name unless that has been done, and opens it.
    pub(super) fn ensure(self, parent: &Dir, name: &OsStr) -> io::Result<Dir> {
        if !parent.is_mount(name)? {
            let point = parent.make(name, POINT)?;
            self.mount(&point)?;
        }
        parent.enter(name, Mounts::Enter)
    }

    fn mount(self, point: &Dir) -> io::Result<()> {
        let options = self.options();
        let attempt =
            |options: &str| mount(Some("tmpfs"), &point.proc_path(), Some("tmpfs"), MsFlags::empty(), Some(options));
        // What is in memory should not be written to a disk by way of swapping. Kernels before 6.4 cannot say so.
        match attempt(&format!("{options},noswap")) {
            Err(Errno::EINVAL) => Ok(attempt(&options)?),
            mounted => Ok(mounted?),
        }
    }
}
