//! Creating, starting, stopping and removing.

use std::path::{Component, Path};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions, StartContainerOptions,
    StopContainerOptions,
};
use tokio::io::AsyncWriteExt;

use super::client::{lacking, status_code, translate};
use super::{
    DockerRuntime, Result, RuntimeError, RuntimeInfo, RuntimeVersion, SandboxConfig, SandboxStatus, create, labels,
};

impl DockerRuntime {
    pub(super) async fn create_and_start_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus> {
        let name = labels::sandbox_name(config);
        let body = create::sandbox(config, &self.limits, &self.config);
        let id = match self.create_named(&name, body.clone()).await {
            Err(RuntimeError::ImageMissing(_)) => {
                self.ensure_pause_image().await?;
                self.create_named(&name, body).await?
            }
            created => created?,
        };
        self.start(&id).await?;
        let (details, status) = self.read_sandbox(&id).await?;
        self.write_resolv_conf(config, &details).await?;
        Ok(status)
    }

    /// Docker writes the file when the sandbox starts, and gives the same file to every container that joins.
    async fn write_resolv_conf(&self, config: &SandboxConfig, details: &ContainerInspectResponse) -> Result<()> {
        const OPERATION: &str = "write the pod's resolv.conf";
        let Some(dns) = &config.dns else { return Ok(()) };
        let path = details.resolv_conf_path.as_deref().map(Path::new).filter(|path| is_resolv_conf(path, details));
        let path = path.ok_or_else(|| lacking(OPERATION, "usable ResolvConfPath"))?;
        let written = overwrite(path, dns.render().as_bytes()).await;
        written.map_err(|error| RuntimeError::Broken { operation: OPERATION, source: error.into() })
    }

    /// Creates a container, and removes a dead left-over of the same name first if there is one.
    pub(super) async fn create_named(&self, name: &str, body: ContainerCreateBody) -> Result<String> {
        match self.try_create(name, body.clone()).await {
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => {
                self.remove_left_over(name).await?;
                self.try_create(name, body.clone()).await.map_err(|error| create_error(&body, name, error))
            }
            created => created.map_err(|error| create_error(&body, name, error)),
        }
    }

    async fn try_create(&self, name: &str, body: ContainerCreateBody) -> Result<String, bollard::errors::Error> {
        let docker = self.client.docker().map_err(|error| bollard::errors::Error::IOError {
            err: std::io::Error::new(std::io::ErrorKind::NotConnected, error),
        })?;
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
        docker.create_container(Some(options), body).await.map(|created| created.id)
    }

    async fn remove_left_over(&self, name: &str) -> Result<()> {
        let details = match self.inspect(name).await {
            Err(RuntimeError::NotFound(_)) => return Ok(()),
            details => details?,
        };
        if details.state.as_ref().and_then(|state| state.running) == Some(true) {
            let message = format!("the name {name} belongs to a running container");
            return Err(RuntimeError::Refused { operation: "create container", message });
        }
        self.remove(name).await
    }

    pub(super) async fn start(&self, id: &str) -> Result<()> {
        let started = self.client.docker()?.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|error| translate("start container", id, error))
    }

    pub(super) async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        // Docker knows whole seconds; a grace period is never cut short.
        let seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
        let t = i32::try_from(seconds).unwrap_or(i32::MAX);
        let docker = self.client.docker_slow(Duration::from_secs(seconds))?;
        match docker.stop_container(id, Some(StopContainerOptions { t: Some(t), signal: None })).await {
            Err(error) if status_code(&error) == Some(404) => Ok(()),
            stopped => stopped.map_err(|error| translate("stop container", id, error)),
        }
    }

    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        match self.client.docker()?.remove_container(id, Some(options)).await {
            // 409: its removal is in progress already.
            Err(error) if matches!(status_code(&error), Some(404 | 409)) => Ok(()),
            removed => removed.map_err(|error| translate("remove container", id, error)),
        }
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse> {
        let details = self.client.docker()?.inspect_container(id, None::<InspectContainerOptions>).await;
        details.map_err(|error| translate("inspect container", id, error))
    }

    pub(super) async fn docker_version(&self) -> Result<RuntimeVersion> {
        let version = self.client.docker()?.version().await.map_err(|error| translate("version", "docker", error))?;
        Ok(RuntimeVersion {
            name: "docker".to_owned(),
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
        })
    }

    pub(super) async fn docker_info(&self) -> Result<RuntimeInfo> {
        let info = self.client.docker()?.info().await.map_err(|error| translate("info", "docker", error))?;
        let cgroup_version = info.cgroup_version.map(|version| version.to_string());
        Ok(RuntimeInfo {
            storage_driver: info.driver.unwrap_or_default(),
            root_dir: info.docker_root_dir.unwrap_or_default(),
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
            cgroup_version: if cgroup_version.as_deref() == Some("2") { 2 } else { 1 },
            operating_system: info.operating_system.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            ..RuntimeInfo::default()
        })
    }
}

/// Docker keeps the file in the container's own directory.
fn is_resolv_conf(path: &Path, details: &ContainerInspectResponse) -> bool {
    let own = details.id.as_deref().map(|id| Path::new(id).join("resolv.conf"));
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    path.is_absolute() && plain && own.is_some_and(|own| path.ends_with(own))
}

/// Replaces the contents of a file that is there, and not what a link in its place leads to.
async fn overwrite(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.write(true).truncate(true).custom_flags(nix::libc::O_NOFOLLOW).open(path).await?;
    file.write_all(contents).await?;
    file.flush().await
}

fn create_error(body: &ContainerCreateBody, name: &str, error: bollard::errors::Error) -> RuntimeError {
    match status_code(&error) {
        Some(404) => RuntimeError::ImageMissing(body.image.clone().unwrap_or_default()),
        _ => translate("create container", name, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_containers_own_resolv_conf_is_written() {
        let details = ContainerInspectResponse { id: Some("0a1b".into()), ..ContainerInspectResponse::default() };
        for (path, expected) in [
            ("/var/lib/docker/containers/0a1b/resolv.conf", true),
            ("/etc/resolv.conf", false),
            ("/etc/passwd", false),
            ("", false),
            ("0a1b/resolv.conf", false),
            ("/x/../0a1b/resolv.conf", false),
        ] {
            assert_eq!(is_resolv_conf(Path::new(path), &details), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_link_in_the_files_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "much that was there").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(overwrite(&link, b"x").await.is_err());
        overwrite(&file, b"new").await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert!(overwrite(&directory.path().join("absent"), b"x").await.is_err());
    }
}
