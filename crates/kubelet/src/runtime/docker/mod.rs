//! The runtime on Docker's engine API.
//!
//! A sandbox is a container that runs [`super::pause`] and owns the namespaces; the pod's containers join them. What
//! must survive a restart of the kubelet is in labels ([`labels`]), spelt as the dockershim spelt it.

mod client;
mod create;
mod events;
mod exec;
mod images;
mod inspect;
mod kill;
mod labels;
mod lifecycle;
mod list;
mod logs;
mod security;
mod stats;
mod update;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio_util::task::TaskTracker;

use self::client::Client;
use self::list::InspectCache;
use super::host::HostLimits;
use super::*;

pub use self::client::DEFAULT_ENDPOINT;

/// How the kubelet uses Docker.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// `unix:///var/run/docker.sock` or `tcp://host:port`.
    pub endpoint: String,
    /// Docker network that sandboxes join: `none` when the kubelet wires pods itself, `bridge` when Docker does.
    pub sandbox_network: String,
    /// How long Docker may take to begin its answer to an ordinary request.
    pub request_timeout: Duration,
    /// Image of the sandbox container. The built-in one is imported when it is absent.
    pub pause_image: String,
    /// `--container-log-max-size` in bytes.
    pub log_max_size: u64,
    /// `--container-log-max-files`.
    pub log_max_files: u32,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            sandbox_network: "none".to_owned(),
            request_timeout: Duration::from_secs(120),
            pause_image: super::pause::IMAGE.to_owned(),
            log_max_size: 10 << 20,
            log_max_files: 5,
        }
    }
}

/// The real [`Runtime`].
pub struct DockerRuntime {
    /// The connection; made when first needed.
    client: Client,
    /// As given.
    config: DockerConfig,
    /// What this host refuses.
    limits: HostLimits,
    /// Details of containers that cannot have changed since they were read.
    cache: Arc<InspectCache>,
    /// Commands of [`Runtime::exec_sync`], which outlive a caller that goes away so that none leaks.
    commands: TaskTracker,
}

impl DockerRuntime {
    /// Looks at the host (and logs once what it refuses), but does not need Docker to be there yet.
    pub fn new(config: DockerConfig) -> Self {
        let limits = HostLimits::detect();
        limits.log();
        Self {
            client: Client::new(&config.endpoint, config.request_timeout),
            config,
            limits,
            cache: Arc::default(),
            commands: TaskTracker::new(),
        }
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn version(&self) -> Result<RuntimeVersion> {
        self.docker_version().await
    }

    async fn info(&self) -> Result<RuntimeInfo> {
        self.docker_info().await
    }

    fn restrictions(&self) -> Vec<HostRestriction> {
        self.limits.restrictions()
    }

    async fn list_pods(&self) -> Result<Vec<RuntimePod>> {
        self.list(None).await
    }

    async fn pod(&self, uid: &PodUid) -> Result<RuntimePod> {
        let pods = self.list(Some(uid)).await?;
        Ok(pods.into_iter().next().unwrap_or_else(|| RuntimePod::nothing_of(uid.clone())))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus> {
        self.create_and_start_sandbox(config).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.stop(id.as_str(), Duration::ZERO).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.remove(id.as_str()).await
    }

    async fn create_container(
        &self,
        sandbox_id: &SandboxId,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<ContainerId> {
        let name = labels::container_name(&sandbox.pod, &config.name, config.attempt);
        let body = create::container(sandbox_id, sandbox, config, &self.limits, &self.config)?;
        self.create_named(&name, body).await.map(ContainerId)
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        self.start(id.as_str()).await
    }

    async fn update_container(&self, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        self.update(id.as_str(), resources).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        self.stop(id.as_str(), grace).await
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        self.remove(id.as_str()).await
    }

    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        self.read_container(id.as_str()).await
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>> {
        self.images().await
    }

    async fn inspect_image(&self, image: &str) -> Result<Option<ImageInfo>> {
        self.image(image).await
    }

    async fn pull_image(&self, image: &str, credentials: Option<&PullCredentials>) -> Result<ImageInfo> {
        self.pull(image, credentials).await
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.delete_image(image).await
    }

    async fn import_image(&self, image: &str, rootfs: Bytes, changes: &[String]) -> Result<ImageInfo> {
        self.import(image, rootfs, changes).await
    }

    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        self.run_command(id, command, timeout).await
    }

    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<Session> {
        self.exec_session(id, request).await
    }

    async fn attach(&self, id: &ContainerId, request: &AttachRequest) -> Result<Session> {
        self.attach_session(id, request).await
    }

    async fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<BoxStream<'static, Result<OutputChunk>>> {
        self.log_stream(id, options).await
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        events::stream(self.client.clone(), Arc::clone(&self.cache))
    }

    async fn stats(&self, id: &ContainerId) -> Result<ContainerStats> {
        self.container_stats(id).await
    }
}
