//! Notice of a configuration file that has changed.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// As much of the file as is read: such files have a few kilobytes.
const LIMIT: u64 = 1 << 20;
/// What may bring another content: writing, renaming, and the link that a kubelet replaces where a ConfigMap is mounted.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// Reads the file.
///
/// # Errors
/// When it cannot be read, or is too large to be a configuration.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT { Err(io::Error::other(format!("it has more than {LIMIT} bytes"))) } else { Ok(text) }
}

/// A file that is watched.
#[derive(Debug)]
pub struct FileWatch<'p> {
    path: &'p Path,
    /// What it contained when that was last looked at.
    content: String,
    /// inotify's descriptor, which is read like a pipe.
    events: pipe::Receiver,
}

impl<'p> FileWatch<'p> {
    /// Watches a file that contained this. Needs a runtime.
    ///
    /// # Errors
    /// When the kernel does not let us watch its directory.
    pub fn new(path: &'p Path, content: String) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        inotify.add_watch(directory.unwrap_or(Path::new(".")), CHANGES)?;
        let events = pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?;
        Ok(Self { path, content, events })
    }

    /// Waits until it contains something else. While it cannot be read it contains what it did.
    ///
    /// # Errors
    /// When it cannot be watched any more.
    pub async fn changed(&mut self) -> io::Result<&str> {
        let mut events = [0; 4096];
        loop {
            match read(self.path) {
                Ok(content) if content != self.content => {
                    self.content = content;
                    return Ok(&self.content);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(path = %self.path.display(), "read the configuration again: {error}"),
            }
            // Only that there is some news matters.
            if self.events.read(&mut events).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A directory that goes away with the value.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("fk-proxy-config-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_seen() {
        let directory = Directory::new();
        let at = |name: &str| directory.0.join(name);
        let path = at("config");
        fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(&path, read(&path).unwrap()).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(watch.changed().await.unwrap(), "two");
        fs::write(at("other"), "three").unwrap();
        fs::rename(at("other"), &path).unwrap();
        assert_eq!(watch.changed().await.unwrap(), "three");
        // As a kubelet mounts a ConfigMap.
        for (version, text) in [("v1", "four"), ("v2", "five")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("config"), text).unwrap();
            symlink(version, at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
            if version == "v1" {
                fs::remove_file(&path).unwrap();
                symlink("..data/config", &path).unwrap();
            }
            assert_eq!(watch.changed().await.unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "x".repeat(2 << 20)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "six").unwrap();
        assert_eq!(watch.changed().await.unwrap(), "six", "what is no configuration is passed over");
    }
}
