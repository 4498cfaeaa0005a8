//! A piece of disk to test with.

use std::fs;
use std::path::{Path, PathBuf};

use super::dir::Dir;
use super::remove;

/// A directory, and beside it a file that nothing may touch.
pub(super) struct Disk {
    work: tempfile::TempDir,
    outside: tempfile::TempDir,
}

impl Disk {
    pub(super) fn new() -> Self {
        let disk = Self { work: tempfile::tempdir().unwrap(), outside: tempfile::tempdir().unwrap() };
        fs::write(disk.canary(), "alive").unwrap();
        disk
    }

    pub(super) fn path(&self) -> &Path {
        self.work.path()
    }

    /// A file with the text `alive` in a directory of its own elsewhere.
    pub(super) fn canary(&self) -> PathBuf {
        self.outside.path().join("canary")
    }

    /// Whether nothing has happened elsewhere.
    pub(super) fn canary_lives(&self) -> bool {
        fs::read_to_string(self.canary()).is_ok_and(|text| text == "alive")
            && fs::read_dir(self.outside.path()).unwrap().count() == 1
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for directory in [&self.work, &self.outside] {
            let path = directory.path();
            let parent = Dir::open(path.parent().unwrap()).unwrap();
            let unmounted = remove::unmount(&parent, path.file_name().unwrap());
            assert!(unmounted.is_ok() || std::thread::panicking(), "{unmounted:?}");
        }
    }
}

/// Whether this test may mount.
pub(super) fn needs_root() -> bool {
    test_needs::root()
}
