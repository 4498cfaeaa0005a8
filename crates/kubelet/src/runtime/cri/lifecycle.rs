//! Creating, starting, stopping and removing.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Method, lacking};
use super::protocol::{
    CreateContainerRequest, ImageFsInfoResponse, Nothing, OfId, RunPodSandboxRequest, RuntimeStatusRequest,
    RuntimeStatusResponse, StopContainerRequest, VersionRequest, VersionResponse,
};
use super::{
    ContainerConfig, ContainerId, CriRuntime, EventKind, ImageInfo, Result, RuntimeError, RuntimeHandler, RuntimeInfo,
    RuntimeVersion, SandboxConfig, SandboxId, SandboxState, SandboxStatus, Shared, create, images, rotate,
};
use crate::runtime::pause;

/// A sandbox waits for its network.
const SANDBOX_PATIENCE: Duration = Duration::from_secs(120);
/// The version of the interface that is spoken here.
const VERSION: &str = "v1";

impl CriRuntime {
    pub(super) async fn create_and_start_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus> {
        self.ensure_sandbox_image().await?;
        make_directory(&create::log_directory(&self.shared.config.pod_logs, &config.pod)).await?;
        let id = match self.shared.try_run_sandbox(config).await {
            Err(refused @ RuntimeError::Refused { .. }) => {
                *self.has_sandbox_image.lock().await = false;
                if !self.shared.remove_left_over_sandbox(config).await? {
                    return Err(refused);
                }
                self.shared.try_run_sandbox(config).await?
            }
            run => run?,
        };
        for kind in [EventKind::Created, EventKind::Started] {
            self.shared.lives.tell(kind, &config.pod.uid, id.as_str());
        }
        self.shared.sandbox(&id).await
    }

    /// Makes the built-in pause image, if it is that which the runtime wants for sandboxes. Another is the runtime's
    /// affair. What was made may have been taken away since, which is seen when a sandbox cannot be made.
    async fn ensure_sandbox_image(&self) -> Result<()> {
        let mut seen_to = self.has_sandbox_image.lock().await;
        if *seen_to {
            return Ok(());
        }
        let wanted = self.shared.sandbox_image().await?;
        if wanted.is_some_and(|image| images::same(&image, pause::IMAGE))
            && self.shared.image(pause::IMAGE).await?.is_none()
        {
            self.shared.import(pause::IMAGE, pause::rootfs()?, &pause::CHANGES.map(str::to_owned)).await?;
        }
        *seen_to = true;
        Ok(())
    }

    pub(super) async fn create_in_sandbox(
        &self,
        id: &SandboxId,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<ContainerId> {
        let missing = || RuntimeError::ImageMissing(config.image.clone());
        let image = match self.shared.known_images.get(&config.image) {
            Some(known) => known,
            None => self.shared.image(&config.image).await?.ok_or_else(missing)?,
        };
        let logs = create::log_directory(&self.shared.config.pod_logs, &sandbox.pod);
        make_directory(&logs.join(&config.name)).await?;
        let created = match self.try_create(id, sandbox, config, &image).await {
            Err(refused @ RuntimeError::Refused { .. }) => {
                if !self.shared.remove_left_over(sandbox, config).await? {
                    return Err(refused);
                }
                self.try_create(id, sandbox, config, &image).await?
            }
            // It is the sandbox, or an image that was taken away since it was looked at.
            Err(RuntimeError::NotFound(_)) if self.shared.image(&config.image).await?.is_none() => {
                return Err(missing());
            }
            created => created?,
        };
        self.shared.lives.tell(EventKind::Created, &sandbox.pod.uid, created.as_str());
        Ok(created)
    }

    async fn try_create(
        &self,
        id: &SandboxId,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
        image: &ImageInfo,
    ) -> Result<ContainerId> {
        let question = CreateContainerRequest {
            pod_sandbox_id: id.0.clone(),
            config: Some(create::container(id, sandbox, config, image, &self.limits)),
            sandbox_config: Some(create::sandbox(sandbox, &self.shared.config.pod_logs)),
        };
        let answer: OfId = self.shared.client.call(Method::CREATE_CONTAINER, id.as_str(), question).await?;
        some_id(answer.id, Method::CREATE_CONTAINER).map(ContainerId)
    }
}

impl Shared {
    async fn try_run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId> {
        let question = RunPodSandboxRequest {
            config: Some(create::sandbox(config, &self.config.pod_logs)),
            runtime_handler: config.runtime.clone().unwrap_or_default(),
        };
        let answer: OfId =
            self.client.call_slow(Method::RUN_SANDBOX, &config.pod.name, SANDBOX_PATIENCE, question).await?;
        some_id(answer.id, Method::RUN_SANDBOX).map(SandboxId)
    }

    /// Removes a dead sandbox of the same name; `false` if there is none.
    async fn remove_left_over_sandbox(self: &Arc<Self>, config: &SandboxConfig) -> Result<bool> {
        let pods = self.list(Some(&config.pod.uid)).await?;
        let mut dead = pods.iter().flat_map(|pod| &pod.sandboxes).filter(|sandbox| sandbox.attempt == config.attempt);
        match dead.find(|sandbox| sandbox.state == SandboxState::NotReady) {
            Some(sandbox) => self.delete_sandbox(&sandbox.id).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes a container of the same name that does not run; `false` if there is none.
    async fn remove_left_over(self: &Arc<Self>, sandbox: &SandboxConfig, config: &ContainerConfig) -> Result<bool> {
        let pods = self.list(Some(&sandbox.pod.uid)).await?;
        let mut same = pods.iter().flat_map(|pod| &pod.containers).filter(|container| container.name == config.name);
        match same.find(|container| container.attempt == config.attempt && !container.state.is_running()) {
            Some(container) => self.remove(&container.id).await.map(|()| true),
            None => Ok(false),
        }
    }

    pub(super) async fn end_sandbox(self: &Arc<Self>, id: &SandboxId) -> Result<()> {
        let question = OfId { id: id.0.clone() };
        let stopped = self.client.call_slow(Method::STOP_SANDBOX, id.as_str(), SANDBOX_PATIENCE, question).await;
        self.cache.forget(id.as_str());
        gone_is_fine(stopped)?;
        self.lives.ended(id.as_str());
        Ok(())
    }

    pub(super) async fn delete_sandbox(self: &Arc<Self>, id: &SandboxId) -> Result<()> {
        self.end_sandbox(id).await?;
        let removed = self.client.call(Method::REMOVE_SANDBOX, id.as_str(), OfId { id: id.0.clone() }).await;
        gone_is_fine(removed)?;
        self.cache.forget(id.as_str());
        self.lives.removed(id.as_str());
        Ok(())
    }

    pub(super) async fn start(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let started = self.client.call(Method::START_CONTAINER, id.as_str(), OfId { id: id.0.clone() }).await;
        self.cache.forget(id.as_str());
        let Nothing {} = started?;
        self.lives.started(id.as_str());
        Ok(())
    }

    pub(super) async fn stop(self: &Arc<Self>, id: &ContainerId, grace: Duration) -> Result<()> {
        // Runtimes know whole seconds; a grace period is never cut short.
        let seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
        let question =
            StopContainerRequest { container_id: id.0.clone(), timeout: i64::try_from(seconds).unwrap_or(i64::MAX) };
        let stopped =
            self.client.call_slow(Method::STOP_CONTAINER, id.as_str(), Duration::from_secs(seconds), question).await;
        self.cache.forget(id.as_str());
        gone_is_fine(stopped)
    }

    /// The log is the kubelet's, and goes with its container.
    pub(super) async fn remove(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let status = match self.container(id).await {
            Err(RuntimeError::NotFound(_)) => return Ok(()),
            status => status?,
        };
        let removed = self.client.call(Method::REMOVE_CONTAINER, id.as_str(), OfId { id: id.0.clone() }).await;
        gone_is_fine(removed)?;
        self.cache.forget(id.as_str());
        self.lives.removed(id.as_str());
        if let Some(log) = status.log_path.filter(|log| log.starts_with(&self.config.pod_logs)) {
            let removed = tokio::task::spawn_blocking(move || rotate::remove(&log)).await;
            if let Err(error) = removed.map_err(io::Error::other).and_then(|removed| removed) {
                tracing::warn!(container = %id, "removing its log: {error}");
            }
        }
        Ok(())
    }

    /// The runtime's name.
    pub(super) async fn name(&self) -> Result<&str> {
        self.name.get_or_try_init(async || Ok(self.version().await?.name)).await.map(String::as_str)
    }

    pub(super) async fn version(&self) -> Result<RuntimeVersion> {
        let question = VersionRequest { version: VERSION.to_owned() };
        let answer: VersionResponse = self.client.call(Method::VERSION, "runtime", question).await?;
        Ok(RuntimeVersion {
            name: answer.runtime_name,
            version: answer.runtime_version,
            api_version: answer.runtime_api_version,
        })
    }

    pub(super) async fn info(&self) -> Result<RuntimeInfo> {
        let question = RuntimeStatusRequest { verbose: false };
        let status: RuntimeStatusResponse = self.client.call(Method::STATUS, "runtime", question).await?;
        let images: ImageFsInfoResponse = self.client.call(Method::IMAGE_FS, "images", Nothing {}).await?;
        let mounted = images.image_filesystems.into_iter().find_map(|usage| usage.fs_id);
        let handlers = status.runtime_handlers.into_iter().map(|handler| {
            let features = handler.features.unwrap_or_default();
            RuntimeHandler {
                name: handler.name,
                recursive_read_only_mounts: features.recursive_read_only_mounts,
                user_namespaces: features.user_namespaces,
            }
        });
        let conditions = status.status.map(|status| status.conditions).unwrap_or_default();
        let trouble = conditions.into_iter().find(|condition| condition.kind == "NetworkReady" && !condition.status);
        Ok(RuntimeInfo {
            root_dir: mounted.map(|mounted| mounted.mountpoint).unwrap_or_default(),
            handlers: handlers.collect(),
            network_trouble: trouble.map(|trouble| format!("{}: {}", trouble.reason, trouble.message)),
            ..RuntimeInfo::default()
        })
    }
}

/// What is not there need not be stopped or removed.
fn gone_is_fine(done: Result<Nothing>) -> Result<()> {
    match done {
        Err(RuntimeError::NotFound(_)) => Ok(()),
        done => done.map(drop),
    }
}

fn some_id(id: String, method: Method) -> Result<String> {
    if id.is_empty() { Err(lacking(method, "id")) } else { Ok(id) }
}

async fn make_directory(path: &Path) -> Result<()> {
    let made = tokio::fs::create_dir_all(path).await;
    made.map_err(|error| RuntimeError::Broken { operation: "make a directory for logs", source: error.into() })
}
