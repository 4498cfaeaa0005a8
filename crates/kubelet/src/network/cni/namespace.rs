//! The network namespace of a sandbox, held open while plugins work in it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// Which namespace it is: a process's number may have become another's, so that it alone says little.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The process whose namespace it was.
    pid: u32,
    device: u64,
    inode: u64,
}

/// An open namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    identity: Identity,
}

impl Namespace {
    /// That of a process.
    ///
    /// # Errors
    /// The kernel's, when the process has ended, above all.
    pub fn of(pid: u32) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        let metadata = file.metadata()?;
        Ok(Self { file, identity: Identity { pid, device: metadata.dev(), inode: metadata.ino() } })
    }

    /// The one with this identity, if it is still there.
    pub fn again(identity: Identity) -> Option<Self> {
        Self::of(identity.pid).ok().filter(|namespace| namespace.identity == identity)
    }

    /// Which one it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// A path that leads to it, for every process of root's, as long as this is held.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}
