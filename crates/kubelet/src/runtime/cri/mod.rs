//! The runtime behind upstream's container runtime interface: containerd, CRI-O and their like, over `runtime.v1`.
//!
//! The runtime makes sandboxes, and connects them through CNI. What must survive a restart of the kubelet is in labels
//! and annotations ([`labels`]); logs are files, which are read and rotated here ([`logs`], [`rotate`]); sessions are
//! held with the runtime's own streaming server ([`sessions`]).

mod client;
mod create;
mod events;
mod exec;
mod images;
mod import;
mod inspect;
mod labels;
mod lifecycle;
mod list;
mod logs;
mod protocol;
mod rotate;
mod security;
mod sessions;
mod stats;
mod update;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::task::AbortOnDropHandle;

use self::client::Client;
use self::events::Lives;
use self::images::KnownImages;
use self::list::InspectCache;
use super::host::HostLimits;
use super::*;

/// How the kubelet uses a runtime.
#[derive(Debug, Clone)]
pub struct CriConfig {
    /// `--container-runtime-endpoint`: `unix:///run/containerd/containerd.sock`.
    pub endpoint: String,
    /// `--image-service-endpoint`; `None` is the same.
    pub image_endpoint: Option<String>,
    /// How long the runtime may take for an ordinary request.
    pub request_timeout: Duration,
    /// `--pod-logs-dir`: where containers' logs are.
    pub pod_logs: PathBuf,
    /// `--container-log-max-size` in bytes.
    pub log_max_size: u64,
    /// `--container-log-max-files`.
    pub log_max_files: u32,
}

impl Default for CriConfig {
    fn default() -> Self {
        Self {
            endpoint: "unix:///run/containerd/containerd.sock".to_owned(),
            image_endpoint: None,
            request_timeout: Duration::from_secs(120),
            pod_logs: "/var/log/pods".into(),
            log_max_size: 10 << 20,
            log_max_files: 5,
        }
    }
}

/// A real [`Runtime`].
pub struct CriRuntime {
    /// What tasks share with it.
    shared: Arc<Shared>,
    /// What this host refuses.
    limits: HostLimits,
    /// Whether the image of sandboxes has been seen to. Whoever holds it does so.
    has_sandbox_image: Mutex<bool>,
    /// Rotates logs.
    _rotation: AbortOnDropHandle<()>,
}

/// The runtime, and what is known of it.
struct Shared {
    client: Client,
    config: CriConfig,
    /// The runtime's name (`containerd`), which is part of containers' ids as others see them.
    name: OnceCell<String>,
    /// What cannot have changed since it was read.
    cache: InspectCache,
    /// Images that have been looked at.
    known_images: KnownImages,
    /// What happens to containers, where the runtime does not tell.
    lives: Lives,
}

impl CriRuntime {
    /// Looks at the host (and logs once what it refuses), but does not need the runtime to be there yet. Needs a runtime
    /// of tasks around it.
    ///
    /// # Errors
    /// When an endpoint cannot be one.
    pub fn new(config: CriConfig) -> Result<Self> {
        let limits = HostLimits::detect();
        limits.log();
        let wrong = |error: tonic::transport::Error| RuntimeError::Broken {
            operation: "understand the endpoint of the container runtime",
            source: error.into(),
        };
        let shared = Arc::new(Shared {
            client: Client::new(&config).map_err(wrong)?,
            config,
            name: OnceCell::new(),
            cache: InspectCache::default(),
            known_images: KnownImages::default(),
            lives: Lives::default(),
        });
        let rotation = tokio::spawn(rotate::run(Arc::downgrade(&shared)));
        Ok(Self { shared, limits, has_sandbox_image: Mutex::default(), _rotation: AbortOnDropHandle::new(rotation) })
    }
}

#[async_trait]
impl Runtime for CriRuntime {
    async fn version(&self) -> Result<RuntimeVersion> {
        self.shared.version().await
    }

    async fn info(&self) -> Result<RuntimeInfo> {
        self.shared.info().await
    }

    fn restrictions(&self) -> Vec<HostRestriction> {
        self.limits.restrictions()
    }

    async fn list_pods(&self) -> Result<Vec<RuntimePod>> {
        self.shared.list(None).await
    }

    async fn pod(&self, uid: &PodUid) -> Result<RuntimePod> {
        let pods = self.shared.list(Some(uid)).await?;
        Ok(pods.into_iter().next().unwrap_or_else(|| RuntimePod::nothing_of(uid.clone())))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus> {
        self.create_and_start_sandbox(config).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.shared.end_sandbox(id).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.shared.delete_sandbox(id).await
    }

    async fn create_container(
        &self,
        sandbox_id: &SandboxId,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<ContainerId> {
        self.create_in_sandbox(sandbox_id, sandbox, config).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        self.shared.start(id).await
    }

    async fn update_container(&self, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        self.shared.update(id, resources).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        self.shared.stop(id, grace).await
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        self.shared.remove(id).await
    }

    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        self.shared.container(id).await
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>> {
        self.shared.images().await
    }

    async fn inspect_image(&self, image: &str) -> Result<Option<ImageInfo>> {
        self.shared.image(image).await
    }

    async fn pull_image(&self, image: &str, credentials: Option<&PullCredentials>) -> Result<ImageInfo> {
        self.shared.pull(image, credentials).await
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.shared.delete_image(image).await
    }

    async fn import_image(&self, image: &str, rootfs: Bytes, changes: &[String]) -> Result<ImageInfo> {
        self.shared.import(image, rootfs, changes).await
    }

    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        self.shared.run_command(id, command, timeout).await
    }

    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<Session> {
        self.shared.exec_session(id, request).await
    }

    async fn attach(&self, id: &ContainerId, request: &AttachRequest) -> Result<Session> {
        self.shared.attach_session(id, request).await
    }

    async fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<BoxStream<'static, Result<OutputChunk>>> {
        logs::stream(&self.shared, id, options).await
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        events::stream(Arc::clone(&self.shared))
    }

    async fn stats(&self, id: &ContainerId) -> Result<ContainerStats> {
        self.shared.container_stats(id).await
    }
}
