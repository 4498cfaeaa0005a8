//! The container runtime seam: what the kubelet asks of Docker or containerd, in the kubelet's own words.
//!
//! [`Runtime`] has three implementations, [`docker`], [`cri`] and [`fake`], and one conformance
//! suite (`tests/runtime_conformance/`) that all pass. Everything the kubelet needs to find a pod again after a restart
//! is in container labels, so [`Runtime::list_pods`] is the only source of truth about what runs.

mod cgroup;
pub mod config;
pub mod cri;
pub mod docker;
pub mod error;
pub mod fake;
mod host;
pub mod image;
mod lines;
pub mod pause;
pub mod session;
pub mod status;
mod user;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use config::{
    Capabilities, ContainerConfig, Device, DnsConfig, LinuxResources, Mount, MountPropagation, NamespaceMode,
    Namespaces, SandboxConfig, SeccompProfile, SecurityContext,
};
pub use error::{Result, RuntimeError};
pub use image::{ImageInfo, PullCredentials};
pub use session::{
    AttachRequest, ExecOutput, ExecRequest, LogOptions, OutputChunk, Session, SessionControl, StdStream, TerminalSize,
};
pub use status::{
    ContainerId, ContainerState, ContainerStats, ContainerStatus, EventKind, Exit, HostRestriction, ImageId, LinuxUser,
    Mounted, PodIdentity, PodUid, RuntimeEvent, RuntimeHandler, RuntimeInfo, RuntimePod, RuntimeVersion, SandboxId,
    SandboxState, SandboxStatus,
};

/// A container runtime: Docker, one behind CRI, or the fake that tests use.
///
/// Every call is safe to repeat: stopping what is stopped and removing what is gone succeed. Creating a sandbox or a
/// container whose name (pod, container, attempt) is taken by a dead left-over of the same name removes the left-over
/// first. A runtime that is away answers [`RuntimeError::Unreachable`] and works again as soon as it is back.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and versions, for `status.nodeInfo.containerRuntimeVersion` (`docker://20.10.24`). Also the health check.
    async fn version(&self) -> Result<RuntimeVersion>;

    /// What the runtime knows about its host.
    async fn info(&self) -> Result<RuntimeInfo>;

    /// What this host refuses to containers, found out once at start. The runtime already works around each of them;
    /// the node tells its users with an event.
    fn restrictions(&self) -> Vec<HostRestriction>;

    /// Every pod that has a sandbox or a container here, dead ones included, found from labels.
    ///
    /// Sandboxes and containers are sorted newest first.
    async fn list_pods(&self) -> Result<Vec<RuntimePod>>;

    /// The same for one pod: a pod of which nothing is left has no sandboxes and no containers.
    async fn pod(&self, uid: &PodUid) -> Result<RuntimePod>;

    /// Creates and starts the pod's sandbox (the pause container).
    ///
    /// Unless the pod lives in the node's network, its namespace has only `lo`, and [`crate::network::PodNetwork`]
    /// wires it through [`SandboxStatus::pid`], or the runtime has connected it ([`SandboxStatus::runtime_ips`]).
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus>;

    /// Stops the sandbox at once; its network namespace is gone afterwards.
    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()>;

    /// Removes the sandbox, forcibly if it still runs.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()>;

    /// Creates a container in a sandbox without starting it. `sandbox` is the configuration the sandbox was run with.
    async fn create_container(
        &self,
        sandbox_id: &SandboxId,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<ContainerId>;

    /// Starts a created container.
    async fn start_container(&self, id: &ContainerId) -> Result<()>;

    /// Gives a container other limits and shares while it runs; its `oom_score_adj` stays. A limit of memory cannot be
    /// taken away.
    async fn update_container(&self, id: &ContainerId, resources: &LinuxResources) -> Result<()>;

    /// Sends the container's stop signal, and SIGKILL after `grace`. Returns when the container has ended.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()>;

    /// Removes a container with its writable layer and log, forcibly if it still runs.
    async fn remove_container(&self, id: &ContainerId) -> Result<()>;

    /// One container's present state.
    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus>;

    /// All images.
    async fn list_images(&self) -> Result<Vec<ImageInfo>>;

    /// The image that a name, digest or id means, or `None` when it is not on this host.
    async fn inspect_image(&self, image: &str) -> Result<Option<ImageInfo>>;

    /// Pulls an image and returns what it is.
    async fn pull_image(&self, image: &str, credentials: Option<&PullCredentials>) -> Result<ImageInfo>;

    /// Removes an image; one that is not there counts as removed.
    async fn remove_image(&self, image: &str) -> Result<()>;

    /// Makes a one-layer image named `image` from a tar of a root filesystem. `changes` are Dockerfile instructions
    /// such as `ENTRYPOINT ["/pause"]`.
    async fn import_image(&self, image: &str, rootfs: Bytes, changes: &[String]) -> Result<ImageInfo>;

    /// Runs a command in a container and collects its output (at most 16 KiB of each stream is kept). When `timeout`
    /// passes, the command is killed and [`RuntimeError::Timeout`] is returned.
    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput>;

    /// Starts a command in a container with streams attached.
    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<Session>;

    /// Attaches to the streams of the container's main process.
    async fn attach(&self, id: &ContainerId, request: &AttachRequest) -> Result<Session>;

    /// The container's log. With `follow` the stream ends when the container has ended.
    async fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<BoxStream<'static, Result<OutputChunk>>>;

    /// What happens to containers, for ever. Reconnects by itself with back-off, and says
    /// [`EventKind::Reconnected`] whenever events may have been missed (the first item of every stream, too).
    fn events(&self) -> BoxStream<'static, RuntimeEvent>;

    /// CPU and memory of a running container.
    async fn stats(&self, id: &ContainerId) -> Result<ContainerStats>;
}
