//! Images.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::{ImageInspect, ImageSummary};
use bollard::query_parameters::{CreateImageOptions, ListImagesOptions, RemoveImageOptions};
use bytes::Bytes;
use futures::TryStreamExt;

use super::client::{status_code, translate};
use super::{DockerRuntime, ImageInfo, PullCredentials, Result, RuntimeError};
use crate::runtime::pause;

/// A registry may be slow to say its first word.
const PULL_PATIENCE: Duration = Duration::from_secs(600);
/// How Docker spells "no name".
const NO_NAME: &str = "<none>";

impl DockerRuntime {
    pub(super) async fn images(&self) -> Result<Vec<ImageInfo>> {
        let list = self.client.docker()?.list_images(None::<ListImagesOptions>).await;
        let list = list.map_err(|error| translate("list images", "all", error))?;
        Ok(list.into_iter().map(from_summary).collect())
    }

    pub(super) async fn image(&self, image: &str) -> Result<Option<ImageInfo>> {
        match self.client.docker()?.inspect_image(image).await {
            Ok(details) => Ok(Some(from_details(details))),
            Err(error) if status_code(&error) == Some(404) => Ok(None),
            Err(error) => Err(translate("inspect image", image, error)),
        }
    }

    pub(super) async fn pull(&self, image: &str, credentials: Option<&PullCredentials>) -> Result<ImageInfo> {
        let options = CreateImageOptions { from_image: Some(with_tag(image)), ..CreateImageOptions::default() };
        let docker = self.client.docker_slow(PULL_PATIENCE)?;
        let progress = docker.create_image(Some(options), None, credentials.map(to_docker));
        if let Err(error) = progress.try_for_each(|_| futures::future::ready(Ok(()))).await {
            return Err(pull_error(image, error));
        }
        self.present(image).await
    }

    pub(super) async fn delete_image(&self, image: &str) -> Result<()> {
        match self.client.docker()?.remove_image(image, None::<RemoveImageOptions>, None).await {
            Err(error) if status_code(&error) == Some(404) => Ok(()),
            removed => removed.map(drop).map_err(|error| translate("remove image", image, error)),
        }
    }

    pub(super) async fn import(&self, image: &str, rootfs: Bytes, changes: &[String]) -> Result<ImageInfo> {
        let (repo, tag) = split_tag(image);
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repo.to_owned()),
            tag: Some(tag.unwrap_or("latest").to_owned()),
            changes: changes.to_vec(),
            ..CreateImageOptions::default()
        };
        let docker = self.client.docker()?;
        let progress = docker.create_image(Some(options), Some(bollard::body_full(rootfs)), None);
        let imported = progress.try_for_each(|_| futures::future::ready(Ok(()))).await;
        imported.map_err(|error| translate("import image", image, error))?;
        self.present(image).await
    }

    /// Imports the built-in pause image, unless the image configured is another, which must then be there.
    pub(super) async fn ensure_pause_image(&self) -> Result<()> {
        if self.config.pause_image == pause::IMAGE {
            let changes = pause::CHANGES.map(str::to_owned);
            self.import(pause::IMAGE, pause::rootfs()?, &changes).await?;
        } else {
            self.pull(&self.config.pause_image, None).await?;
        }
        Ok(())
    }

    async fn present(&self, image: &str) -> Result<ImageInfo> {
        self.image(image).await?.ok_or_else(|| RuntimeError::ImageMissing(image.to_owned()))
    }
}

fn from_summary(summary: ImageSummary) -> ImageInfo {
    let digests = named(summary.repo_digests);
    ImageInfo {
        reference: reference(&summary.id, &digests),
        id: summary.id.into(),
        tags: named(summary.repo_tags),
        digests,
        size: u64::try_from(summary.size).unwrap_or(0),
        user: String::new(),
        created_ms: summary.created.saturating_mul(1000),
    }
}

fn from_details(details: ImageInspect) -> ImageInfo {
    let created = details.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let (id, digests) = (details.id.unwrap_or_default(), named(details.repo_digests.unwrap_or_default()));
    ImageInfo {
        reference: reference(&id, &digests),
        id: id.into(),
        tags: named(details.repo_tags.unwrap_or_default()),
        digests,
        size: details.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        user: details.config.and_then(|config| config.user).unwrap_or_default(),
        created_ms: created.map_or(0, |time| time.as_millisecond()),
    }
}

/// As the dockershim spelt it: an image that no registry knows has its id only.
fn reference(id: &str, digests: &[String]) -> String {
    match digests.first() {
        Some(digest) => format!("docker-pullable://{digest}"),
        None => format!("docker://{id}"),
    }
}

fn named(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.contains(NO_NAME)).collect()
}

fn to_docker(credentials: &PullCredentials) -> DockerCredentials {
    DockerCredentials {
        username: Some(credentials.username.clone()),
        password: Some(credentials.password.clone()),
        serveraddress: Some(credentials.server.clone()),
        identitytoken: credentials.identity_token.clone(),
        ..DockerCredentials::default()
    }
}

fn pull_error(image: &str, error: bollard::errors::Error) -> RuntimeError {
    match translate("pull image", image, error) {
        RuntimeError::Refused { message, .. } => RuntimeError::Pull { image: image.to_owned(), message },
        RuntimeError::NotFound(_) => {
            RuntimeError::Pull { image: image.to_owned(), message: "repository does not exist or needs login".into() }
        }
        other => other,
    }
}

/// The repository and the tag; a port is not a tag.
fn split_tag(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => (repo, Some(tag)),
        _ => (image, None),
    }
}

/// Docker pulls every tag of a repository that is named without one.
fn with_tag(image: &str) -> String {
    if image.contains('@') || split_tag(image).1.is_some() { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("reg:5000/nginx", "reg:5000/nginx:latest"),
            ("reg:5000/nginx:1", "reg:5000/nginx:1"),
            ("nginx@sha256:00", "nginx@sha256:00"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }
}
