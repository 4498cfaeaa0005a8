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
const DEFAULT_PATH: &str = "/dev/termination-log";
const FALL_BACK_TO_LOGS: &str = "FallbackToLogsOnError";

impl Worker {
    /// A fresh file for the container to write to.
    pub(super) async fn message_mount(&self, container: &Container) -> std::io::Result<Mount> {
        use std::os::unix::fs::PermissionsExt;
        let directory = self.directory.container(&container.name);
        tokio::fs::create_dir_all(&directory).await?;
        let path = directory.join(format!("{:08x}", rand::random::<u32>()));
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
        let own = mounted.map(|mount| PathBuf::from(&mount.host_path));
        let own = own.filter(|path| path.starts_with(self.directory.path()));
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
        let Ok(chunks) = stream.try_collect::<Vec<_>>().await else { return String::new() };
        let all: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.iter().copied()).collect();
        String::from_utf8_lossy(&all[all.len().saturating_sub(LOG_BYTES)..]).into_owned()
    }
}

async fn read_beginning(path: &Path) -> std::io::Result<String> {
    let mut content = Vec::new();
    tokio::fs::File::open(path).await?.take(MESSAGE).read_to_end(&mut content).await?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}
