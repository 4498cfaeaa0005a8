//! What containers leave in their termination message file, or in their log.

use std::path::{Path, PathBuf};

use api_types::core::Container;
use futures::TryStreamExt;
use tokio::io::AsyncReadExt;

use super::worker::Worker;
use crate::runtime::{ContainerId, ContainerState, ContainerStatus, Exit, LogOptions, Mount};

/// Upstream's limits.
const MESSAGE: u64 = 4096;
const LOG_BYTES: usize = 2048;
const LOG_LINES: u64 = 80;
/// Length of the files' names: a random number in hexadecimal.
const NAME: usize = 8;
const DEFAULT_PATH: &str = "/dev/termination-log";
const FALL_BACK_TO_LOGS: &str = "FallbackToLogsOnError";

impl Worker {
    /// A fresh file for the container to write to, in its directory.
    pub(super) async fn message_mount(&self, container: &Container) -> std::io::Result<Mount> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.container(&container.name).join(format!("{:0NAME$x}", rand::random::<u32>()));
        tokio::fs::write(&path, "").await?;
        // Whoever the container runs as.
        tokio::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).await?;
        let container_path = container.termination_message_path.as_deref().unwrap_or(DEFAULT_PATH);
        Ok(Mount { host_path: path, container_path: container_path.to_owned(), ..Mount::default() })
    }

    /// Reads what containers left that have ended since the last look.
    pub(super) async fn read_messages(&mut self) {
        let ids: Vec<&ContainerId> = self.runtime.containers.iter().map(|container| &container.id).collect();
        self.messages.retain(|id, _| ids.contains(&id));
        for status in &self.runtime.containers {
            if let ContainerState::Exited(exit) = &status.state
                && !self.messages.contains_key(&status.id)
            {
                let message = self.message(status, exit).await;
                self.messages.insert(status.id.clone(), message);
            }
        }
    }

    async fn message(&self, status: &ContainerStatus, exit: &Exit) -> String {
        let mounted = status.mounts.iter().find(|mount| mount.container_path == status.termination_message_path);
        // Only a file that the kubelet made is read: a volume could be mounted over the same path.
        let own = mounted.and_then(|mount| own_file(&self.directory.container(&status.name), &mount.host_path));
        let written = match own {
            Some(path) => read_beginning(&path).await.unwrap_or_default(),
            None => String::new(),
        };
        let falls_back = status.termination_message_policy == FALL_BACK_TO_LOGS;
        if written.is_empty() && falls_back && exit.code != 0 { self.end_of_log(&status.id).await } else { written }
    }

    async fn end_of_log(&self, id: &ContainerId) -> String {
        let options = LogOptions { tail: Some(LOG_LINES), ..LogOptions::default() };
        let Ok(stream) = self.context.runtime.logs(id, &options).await else { return String::new() };
        let end = stream.try_fold(Vec::new(), |mut end, chunk| async move {
            end.extend_from_slice(&chunk.data);
            // A line may be of any length.
            end.drain(..end.len().saturating_sub(LOG_BYTES));
            Ok(end)
        });
        String::from_utf8_lossy(&end.await.unwrap_or_default()).into_owned()
    }
}

/// The file that a mount of the container's message shows, if it is one of those that the kubelet made in `directory`:
/// the name is taken from what the runtime says, the place is not.
fn own_file(directory: &Path, host_path: &str) -> Option<PathBuf> {
    let name = Path::new(host_path).strip_prefix(directory).ok()?.to_str()?;
    let ours = name.len() == NAME && name.bytes().all(|c| c.is_ascii_hexdigit());
    ours.then(|| directory.join(name))
}

async fn read_beginning(path: &Path) -> std::io::Result<String> {
    let mut options = tokio::fs::OpenOptions::new();
    // Nothing but a file: a link could lead anywhere, a pipe could keep the reader waiting.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = options.read(true).custom_flags(flags).open(path).await?;
    if !file.metadata().await?.is_file() {
        return Ok(String::new());
    }
    let mut content = Vec::new();
    file.take(MESSAGE).read_to_end(&mut content).await?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kubelets_own_files_are_read() {
        let directory = Path::new("/r/pods/u/containers/c");
        for (path, expected) in [
            ("/r/pods/u/containers/c/0123abcd", true),
            ("/r/pods/u/containers/c/../../../../../etc/shadow", false),
            ("/r/pods/u/containers/c/0123abcd/x", false),
            ("/r/pods/u/containers/c", false),
            ("/r/pods/u/etc-hosts", false),
            ("/etc/shadow", false),
            ("", false),
        ] {
            assert_eq!(own_file(directory, path).is_some(), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn links_and_pipes_say_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "x".repeat(5000)).unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_beginning(&path("file")).await.unwrap().len(), 4096);
        assert!(read_beginning(&path("link")).await.is_err());
        assert_eq!(read_beginning(&path("pipe")).await.unwrap(), "");
    }
}
