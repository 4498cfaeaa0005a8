//! A runtime in memory, for tests of what stands above the seam. It passes the same conformance suite as Docker.
//!
//! Its containers run the few programs that [`program`] knows. Tests reach past the seam with [`FakeRuntime::exit`],
//! [`FakeRuntime::fail_next`], [`FakeRuntime::set_reachable`], [`FakeRuntime::set_exec_exit_code`] and
//! [`FakeRuntime::calls`].

mod program;
mod session;
mod state;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{broadcast, watch};

use self::state::State;
use super::*;

/// How many events a reader may be behind before it is told that it missed some.
const EVENT_BUFFER: usize = 1024;

/// The runtime in memory. Clones share everything, as kubelets before and after a restart share Docker.
#[derive(Clone)]
pub struct FakeRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    events: broadcast::Sender<RuntimeEvent>,
    /// Changes whenever the state does; what follows a log or a session waits on it.
    changed: watch::Sender<u64>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        let shared = Shared {
            state: Mutex::new(State::new()),
            events: broadcast::Sender::new(EVENT_BUFFER),
            changed: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl FakeRuntime {
    /// Ends a running container by itself, with this exit code.
    pub fn exit(&self, id: &ContainerId, code: i32) {
        let event = self.shared.state.lock().end(id.as_str(), code);
        self.publish(event.into_iter().collect());
    }

    /// Ends a pod's sandbox as if somebody had killed it.
    pub fn kill_sandbox(&self, id: &SandboxId) {
        let event = self.shared.state.lock().end_sandbox(id.as_str());
        self.publish(event.into_iter().collect());
    }

    /// Makes the next call of this method of [`Runtime`] fail with this message.
    pub fn fail_next(&self, method: &'static str, message: &str) {
        self.shared.state.lock().failures.push((method, message.to_owned()));
    }

    /// While it is not reachable, every call fails with [`RuntimeError::Unreachable`].
    pub fn set_reachable(&self, reachable: Reachability) {
        self.shared.state.lock().reachability = reachable;
        if reachable == Reachability::Up {
            self.publish(vec![RuntimeEvent { kind: EventKind::Reconnected, pod: None, container: None }]);
        }
    }

    /// What commands executed in containers of this name answer from now on, whatever the command.
    pub fn set_exec_exit_code(&self, container: &str, code: i32) {
        self.shared.state.lock().exec_codes.insert(container.to_owned(), code);
    }

    /// Makes an image present.
    pub fn add_image(&self, image: &str) -> ImageInfo {
        self.shared.state.lock().add_image(image, 1)
    }

    /// Makes an image one that [`Runtime::pull_image`] can pull.
    pub fn add_to_registry(&self, image: &str) {
        self.shared.state.lock().registry.insert(image.to_owned());
    }

    /// The methods that changed something so far, each with what it was about: `start_container web`.
    pub fn calls(&self) -> Vec<String> {
        self.shared.state.lock().calls.clone()
    }

    /// The state, for a call of `method`, unless that call is to fail.
    fn enter(&self, method: &'static str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.shared.state.lock();
        state.check(method)?;
        Ok(state)
    }

    fn publish(&self, events: Vec<RuntimeEvent>) {
        self.shared.changed.send_modify(|version| *version += 1);
        for event in events {
            // Nobody may be listening.
            let _ = self.shared.events.send(event);
        }
    }
}

/// Whether the fake answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// It does.
    Up,
    /// It does not.
    Down,
    /// It does, but [`Runtime::list_pods`] does not come back before it is [`Reachability::Up`].
    ListsHang,
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn version(&self) -> Result<RuntimeVersion> {
        drop(self.enter("version")?);
        Ok(RuntimeVersion { name: "fake".into(), version: "1.0.0".into(), api_version: "1.0".into() })
    }

    async fn info(&self) -> Result<RuntimeInfo> {
        drop(self.enter("info")?);
        Ok(RuntimeInfo { cgroup_driver: "cgroupfs".into(), cgroup_version: 2, ..RuntimeInfo::default() })
    }

    fn restrictions(&self) -> Vec<HostRestriction> {
        Vec::new()
    }

    async fn list_pods(&self) -> Result<Vec<RuntimePod>> {
        let hangs = || self.shared.state.lock().reachability == Reachability::ListsHang;
        let mut changes = self.shared.changed.subscribe();
        while hangs() && changes.changed().await.is_ok() {}
        Ok(self.enter("list_pods")?.pods())
    }

    async fn pod(&self, uid: &PodUid) -> Result<RuntimePod> {
        Ok(self.enter("pod")?.pod(uid))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus> {
        let (status, events) = self.enter("run_sandbox")?.run_sandbox(config)?;
        self.publish(events);
        Ok(status)
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        let event = self.enter("stop_sandbox")?.stop_sandbox(id);
        self.publish(event.into_iter().collect());
        Ok(())
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        let event = self.enter("remove_sandbox")?.remove_sandbox(id);
        self.publish(event.into_iter().collect());
        Ok(())
    }

    async fn create_container(
        &self,
        sandbox_id: &SandboxId,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<ContainerId> {
        let (id, event) = self.enter("create_container")?.create(sandbox_id, &sandbox.pod, config)?;
        self.publish(vec![event]);
        Ok(id)
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let events = self.enter("start_container")?.start(id)?;
        self.publish(events);
        Ok(())
    }

    async fn update_container(&self, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        self.enter("update_container")?.update(id, resources)
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let stubborn = self.enter("stop_container")?.running(id).is_ok_and(|program| program.stubborn);
        if stubborn {
            // What ends by itself meanwhile needs no force, as with Docker.
            let ended = self.wait_for_end(id, self.shared.changed.subscribe());
            let _ = tokio::time::timeout(grace, ended).await;
        }
        let event = self.enter("stop_container")?.stop(id);
        self.publish(event.into_iter().collect());
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let event = self.enter("remove_container")?.remove(id);
        self.publish(event.into_iter().collect());
        Ok(())
    }

    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        Ok(self.enter("container_status")?.container(id)?.status.clone())
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>> {
        Ok(self.enter("list_images")?.images.clone())
    }

    async fn inspect_image(&self, image: &str) -> Result<Option<ImageInfo>> {
        Ok(self.enter("inspect_image")?.image(image).cloned())
    }

    async fn pull_image(&self, image: &str, _credentials: Option<&PullCredentials>) -> Result<ImageInfo> {
        self.enter("pull_image")?.pull(image)
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.enter("remove_image")?.remove_image(image);
        Ok(())
    }

    async fn import_image(&self, image: &str, rootfs: Bytes, _changes: &[String]) -> Result<ImageInfo> {
        Ok(self.enter("import_image")?.add_image(image, rootfs.len() as u64))
    }

    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        let program = self.enter("exec_sync")?.exec(id, command)?;
        if program.end.is_none() {
            tokio::time::sleep(timeout).await;
            return Err(RuntimeError::Timeout(timeout));
        }
        Ok(program.output())
    }

    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<Session> {
        let program = self.enter("exec")?.exec(id, &request.command)?;
        Ok(session::of_command(program, request))
    }

    async fn attach(&self, id: &ContainerId, request: &AttachRequest) -> Result<Session> {
        let program = self.enter("attach")?.running(id)?;
        let request = ExecRequest { stdin: request.stdin, tty: request.tty, ..ExecRequest::default() };
        Ok(session::of_command(program, &request))
    }

    async fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<BoxStream<'static, Result<OutputChunk>>> {
        let first = self.enter("logs")?.container(id)?.log(options);
        let runtime = options.follow.then(|| self.clone());
        let written = stream::iter(first.into_iter().map(Ok));
        let (id, changes) = (id.clone(), self.shared.changed.subscribe());
        let until_end = stream::once(async move {
            if let Some(runtime) = runtime {
                runtime.wait_for_end(&id, changes).await;
            }
        });
        let log = written.chain(until_end.filter_map(|()| futures::future::ready(None)));
        Ok(super::session::limit_bytes(log, options.limit_bytes).boxed())
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let reconnected = RuntimeEvent { kind: EventKind::Reconnected, pod: None, container: None };
        let missed = reconnected.clone();
        let live = stream::unfold(self.shared.events.subscribe(), move |mut receiver| {
            let missed = missed.clone();
            async move {
                match receiver.recv().await {
                    Ok(event) => Some((event, receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => Some((missed, receiver)),
                    Err(broadcast::error::RecvError::Closed) => None,
                }
            }
        });
        stream::once(futures::future::ready(reconnected))
            .chain(live)
            .chain(futures::future::pending().into_stream())
            .boxed()
    }

    async fn stats(&self, id: &ContainerId) -> Result<ContainerStats> {
        self.enter("stats")?.running(id)?;
        let time = jiff::Timestamp::now();
        Ok(ContainerStats { time, cpu_usage_ns: 1_000_000, memory_working_set: 1 << 20, memory_usage: 1 << 20 })
    }
}

impl FakeRuntime {
    async fn wait_for_end(&self, id: &ContainerId, mut changes: watch::Receiver<u64>) {
        let running = || self.shared.state.lock().container(id).is_ok_and(|c| c.status.state.is_running());
        while running() && changes.changed().await.is_ok() {}
    }
}
