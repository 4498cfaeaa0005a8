//! Starting one container.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Container, Pod};
use api_types::jiff::Timestamp;
use component::recorder::EventType::{Normal, Warning};

use super::container_config::{ConfigSources, render};
use super::hooks;
use super::runtime_class::RUNTIME;
use super::security::check_non_root;
use super::worker::Worker;
use crate::dns;
use crate::env::{self, EnvSources, services};
use crate::plan::Start;
use crate::pod::{PodExt, Role, grace};
use crate::runtime::{ContainerConfig, ContainerId, ImageInfo, Mount, SandboxConfig};
use crate::status::Reason;
use crate::volumes::MountSources;

/// Where a container finds the pod's hosts file.
const ETC_HOSTS: &str = "/etc/hosts";
/// How long a container may take to see services that were made just before it.
const SERVICES: Duration = Duration::from_secs(5);

/// Why a container did not start, and when to try again if that is known.
struct Failure {
    reason: Reason,
    retry_in: Option<Duration>,
}

impl Failure {
    fn new(reason: &str, message: impl ToString) -> Self {
        Self { reason: Reason::new(reason, message.to_string()), retry_in: None }
    }
}

impl Worker {
    /// Starts a container. What went wrong has been told; the error is when to try again.
    pub(super) async fn start(&mut self, pod: &Arc<Pod>, start: &Start) -> Result<(), Option<Duration>> {
        let Some((role, container)) = pod.container(&start.name) else { return Ok(()) };
        match self.try_start(pod, role, &container, start.attempt).await {
            Ok(()) => {
                self.reasons.remove(&start.name);
                Ok(())
            }
            Err(failure) => {
                let Reason { reason, message } = &failure.reason;
                // What pulling says is in its own events already.
                let told = if PULL_REASONS.contains(&reason.as_str()) { reason } else { message };
                self.context.events.container(pod, &start.name, Warning, "Failed", &format!("Error: {told}"));
                self.reasons.insert(start.name.clone(), failure.reason.clone());
                Err(failure.retry_in)
            }
        }
    }

    async fn try_start(
        &mut self,
        pod: &Arc<Pod>,
        role: Role,
        container: &Container,
        attempt: u32,
    ) -> Result<(), Failure> {
        let mailbox = self.mailbox.clone();
        let pull = self.context.images.ensure(pod, container, &self.objects);
        let Some(image) = Self::while_running(&mailbox, pull).await else { return Ok(()) };
        let image = image.map_err(|error| Failure { reason: error.reason, retry_in: error.retry_in })?;
        let sandbox =
            self.current_sandbox(pod).ok_or_else(|| Failure::new("CreateContainerError", "the sandbox is gone"))?;
        let config = self.container_config(pod, container, attempt, &image).await?;
        self.count_restart(&container.name);
        let id = self.create(pod, container, &sandbox, &config).await?;
        self.run_created(pod, container, &id).await?;
        self.publish(pod);
        if matches!(role, Role::Init | Role::Ephemeral) { Ok(()) } else { self.post_start(pod, container, &id).await }
    }

    fn count_restart(&mut self, name: &str) {
        if let Some(earlier) = self.runtime.latest(name) {
            let ended = match &earlier.state {
                crate::runtime::ContainerState::Exited(exit) => exit.finished_at,
                _ => earlier.created_at,
            };
            self.back_offs.restarted(name, ended, Timestamp::now());
        }
    }

    /// The configuration of the sandbox that runs.
    fn current_sandbox(&mut self, pod: &Pod) -> Option<(crate::runtime::SandboxId, SandboxConfig)> {
        let sandbox = self.runtime.ready_sandbox()?;
        let (id, attempt) = (sandbox.id.clone(), sandbox.attempt);
        let runtime = sandbox.annotations.get(RUNTIME).cloned();
        let config = match self.sandbox.take().filter(|config| config.attempt == attempt) {
            Some(config) => config,
            None => self.sandbox_config(pod, attempt, runtime),
        };
        self.sandbox = Some(config.clone());
        Some((id, config))
    }

    async fn container_config(
        &mut self,
        pod: &Arc<Pod>,
        container: &Container,
        attempt: u32,
        image: &ImageInfo,
    ) -> Result<ContainerConfig, Failure> {
        let bad = |why: String| Failure::new("CreateContainerConfigError", why);
        check_non_root(pod, container, image).map_err(bad)?;
        let target = self.target(pod, &container.name).map_err(bad)?;
        let variables = self.environment(pod, container).await.map_err(bad)?;
        let mut mounts = self.volume_mounts(container, &variables).await.map_err(bad)?;
        mounts.extend(self.own_mounts(pod, container).await.map_err(bad)?);
        let node = &self.context.node;
        Ok(render(
            pod,
            container,
            ConfigSources { attempt, image, env: variables, mounts, node, root: &self.context.root, target },
        ))
    }

    /// The container whose processes an ephemeral container is to see.
    fn target(&self, pod: &Pod, name: &str) -> Result<Option<ContainerId>, String> {
        let ephemeral = pod.pod_spec().ephemeral_containers.iter().flatten().find(|own| own.name == name);
        let target = ephemeral.and_then(|own| own.target_container_name.as_deref()).filter(|target| !target.is_empty());
        let Some(target) = target else { return Ok(None) };
        let found = self.runtime.latest(target).map(|status| status.id.clone());
        found.map(Some).ok_or_else(|| format!("unable to find target container {target}"))
    }

    async fn environment(&self, pod: &Pod, container: &Container) -> Result<Vec<(String, String)>, String> {
        let services = match &self.context.services {
            None => BTreeMap::new(),
            Some(informer) => {
                let synced = tokio::time::timeout(SERVICES, informer.synced()).await.is_ok();
                // A static pod may be what serves the API.
                if !synced && !pod.is_static() {
                    return Err("services have not yet been read at least once, cannot construct envvars".to_owned());
                }
                services::of_pod(pod, informer.store())
            }
        };
        let sources = EnvSources {
            pod,
            ips: &self.ips,
            node_ips: &self.context.node.ips,
            allocatable: &self.context.node.allocatable,
            objects: &self.objects,
            services,
        };
        env::build(container, &sources).map_err(|error| error.to_string())
    }

    async fn volume_mounts(&self, container: &Container, env: &[(String, String)]) -> Result<Vec<Mount>, String> {
        let sources = MountSources {
            container: container.clone(),
            volumes: self.volumes.clone(),
            env: env.to_vec(),
            directory: self.directory.clone(),
        };
        let mounts = tokio::task::spawn_blocking(move || sources.mounts()).await;
        mounts.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// `/etc/hosts` and the termination message file.
    async fn own_mounts(&self, pod: &Pod, container: &Container) -> Result<Vec<Mount>, String> {
        let (directory, name) = (self.directory.clone(), container.name.clone());
        let made = tokio::task::spawn_blocking(move || directory.make_container(&name)).await;
        made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.files_of_its_own(pod, container).await.map_err(|error| error.to_string())
    }

    async fn files_of_its_own(&self, pod: &Pod, container: &Container) -> std::io::Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        let has_own = container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == ETC_HOSTS);
        if !has_own {
            let node_hosts = tokio::fs::read_to_string(ETC_HOSTS).await.unwrap_or_default();
            let path = self.directory.etc_hosts();
            tokio::fs::write(&path, dns::etc_hosts(pod, &self.ips, &self.context.dns, &node_hosts)).await?;
            mounts.push(Mount { host_path: path, container_path: ETC_HOSTS.to_owned(), ..Mount::default() });
        }
        mounts.push(self.message_mount(container).await?);
        Ok(mounts)
    }

    async fn create(
        &self,
        pod: &Pod,
        container: &Container,
        (sandbox_id, sandbox): &(crate::runtime::SandboxId, SandboxConfig),
        config: &ContainerConfig,
    ) -> Result<ContainerId, Failure> {
        let created = self.context.runtime.create_container(sandbox_id, sandbox, config).await;
        let id = created.map_err(|error| Failure::new("CreateContainerError", error))?;
        let message = format!("Created container: {}", container.name);
        self.context.events.container(pod, &container.name, Normal, "Created", &message);
        Ok(id)
    }

    async fn run_created(&mut self, pod: &Pod, container: &Container, id: &ContainerId) -> Result<(), Failure> {
        let started = self.context.runtime.start_container(id).await;
        // Whatever became of it, this is what there is now.
        if let Ok(status) = self.context.runtime.container_status(id).await {
            self.link_log(&pod.identity(), &status).await;
            self.runtime.containers.insert(0, status);
            // It may have ended already, and its end is not told without its message.
            self.read_messages().await;
        }
        started.map_err(|error| Failure::new("RunContainerError", error))?;
        self.reasons.remove(&container.name);
        let message = format!("Started container {}", container.name);
        self.context.events.container(pod, &container.name, Normal, "Started", &message);
        Ok(())
    }

    async fn post_start(&mut self, pod: &Arc<Pod>, container: &Container, id: &ContainerId) -> Result<(), Failure> {
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        let address = self.ips.first().copied();
        let runtime = Arc::clone(&self.context.runtime);
        let run = hooks::run(runtime.as_ref(), hook, container, id, address);
        let Some(Err(why)) = Self::while_running(&self.mailbox.clone(), run).await else { return Ok(()) };
        let message = format!("PostStartHook failed: {why}");
        self.context.events.container(pod, &container.name, Warning, "FailedPostStartHook", &message);
        let stop = super::kill::Victim::new(pod, container, id, "FailedPostStartHook".to_owned());
        self.killer(pod).kill_all(vec![stop], grace::of_container(pod, None), None).await;
        Err(Failure { reason: Reason::new("PostStartHookError", why), retry_in: Some(Duration::from_millis(10)) })
    }
}

/// Reasons whose messages are too long for the event that follows.
const PULL_REASONS: [&str; 5] =
    ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"];
