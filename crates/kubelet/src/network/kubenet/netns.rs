//! Working inside another network namespace.

use std::fs::File;
use std::future::Future;
use std::io;

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::super::{NetworkError, Result};

/// Runs `work` in the network namespace of process `pid`.
///
/// A namespace belongs to a thread, so this is a thread of its own, with a small async runtime of its own; it ends
/// with the work and never comes back to a pool.
pub(super) async fn inside<F, W>(pid: u32, work: W) -> Result<()>
where
    W: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<()>>,
{
    let (sender, receiver) = oneshot::channel();
    let body = move || {
        let outcome = enter(pid).and_then(|runtime| runtime.block_on(work()));
        // The caller may have gone away, and then nobody wants to know.
        let _ = sender.send(outcome);
    };
    std::thread::Builder::new().name("netns".to_owned()).spawn(body).map_err(|source| kernel(pid, source))?;
    receiver.await.map_err(|_| kernel(pid, io::Error::other("the thread panicked")))?
}

fn enter(pid: u32) -> Result<tokio::runtime::Runtime> {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).map_err(|source| kernel(pid, source))?;
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| kernel(pid, errno.into()))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|source| kernel(pid, source))
}

fn kernel(pid: u32, source: io::Error) -> NetworkError {
    NetworkError::Kernel { operation: format!("enter the network namespace of process {pid}"), source }
}
