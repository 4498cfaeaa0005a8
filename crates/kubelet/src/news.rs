//! News of a directory, by inotify.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// What changes a directory's files.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// News of one directory, or of one file. Only that there is some matters, so the events are read and thrown away.
#[derive(Debug)]
pub struct News {
    path: PathBuf,
    /// inotify's descriptor, which is read like a pipe.
    events: pipe::Receiver,
    /// What is watched: another may have taken its name.
    inode: u64,
}

impl News {
    /// Watches from now on.
    ///
    /// # Errors
    /// The kernel's: when there is no such directory, above all.
    pub fn of(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(path, CHANGES)?;
        let events = pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?;
        Ok(Self { path: path.to_owned(), events, inode: fs::metadata(path)?.ino() })
    }

    /// Waits until there is some. No news is lost when this is given up.
    ///
    /// # Errors
    /// When another directory has taken the name: it has to be watched anew.
    pub async fn wait(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        let some = self.events.read(&mut events).await? > 0;
        if some && fs::metadata(&self.path)?.ino() == self.inode {
            Ok(())
        } else {
            Err(io::Error::other("the directory is another"))
        }
    }
}
