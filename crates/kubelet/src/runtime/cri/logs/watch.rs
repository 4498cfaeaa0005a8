//! Learning that a log has grown, from inotify, and that its container has ended.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::super::{ContainerId, EventKind, RuntimeError, RuntimeEvent, Shared};

const CHANGES: AddWatchFlags =
    AddWatchFlags::IN_MODIFY.union(AddWatchFlags::IN_CREATE).union(AddWatchFlags::IN_MOVED_TO);

/// News of a log's directory: the log grows, or another takes its name. Only that there is some matters.
pub(super) struct Watch(pipe::Receiver);

impl Watch {
    pub(super) fn of(log: &Path) -> io::Result<Self> {
        let directory = log.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(directory, CHANGES)?;
        // It is read like a pipe.
        pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify)).map(Self)
    }

    pub(super) async fn changed(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        self.0.read(&mut events).await.map(drop)
    }
}

/// The end of a container.
pub(super) struct End {
    events: BoxStream<'static, RuntimeEvent>,
    shared: Arc<Shared>,
    id: ContainerId,
}

impl End {
    pub(super) fn new(events: BoxStream<'static, RuntimeEvent>, shared: Arc<Shared>, id: ContainerId) -> Self {
        Self { events, shared, id }
    }

    /// Waits until the container has ended or gone.
    pub(super) async fn reached(&mut self) {
        while let Some(event) = self.events.next().await {
            let concerns = event.container.as_ref() == Some(&self.id);
            let over = match event.kind {
                EventKind::Died | EventKind::Removed => concerns,
                EventKind::Reconnected => self.is_over().await,
                EventKind::Created | EventKind::Started => false,
            };
            if over {
                return;
            }
        }
    }

    async fn is_over(&mut self) -> bool {
        match self.shared.container(&self.id).await {
            Ok(status) => matches!(status.state, crate::runtime::ContainerState::Exited(_)),
            Err(error) => matches!(error, RuntimeError::NotFound(_)),
        }
    }
}
