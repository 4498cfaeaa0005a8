//! Images.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use super::client::{Method, translate};
use super::protocol::{
    AuthConfig, Image, ImageSpec, ImageStatusRequest, ImageStatusResponse, ListImagesResponse, Nothing, OfImage,
    PullImageRequest, PullImageResponse, RuntimeStatusRequest, RuntimeStatusResponse,
};
use super::{ImageInfo, PullCredentials, Result, RuntimeError, Shared};

/// A registry may be slow, and an image large.
const PULL_PATIENCE: Duration = Duration::from_secs(3600);
/// What images' names begin with that name no registry.
const DEFAULT_REGISTRY: &str = "docker.io/";
const LIBRARY: &str = "library/";

/// What containerd tells of its configuration.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    sandbox_image: Option<String>,
}

/// As many images are remembered.
const KNOWN: usize = 256;

/// Images by their ids, of which what is in them follows.
#[derive(Default)]
pub(super) struct KnownImages(Mutex<HashMap<String, ImageInfo>>);

impl KnownImages {
    /// The image of this id.
    pub(super) fn get(&self, id: &str) -> Option<ImageInfo> {
        self.0.lock().get(id).cloned()
    }

    fn keep(&self, image: &ImageInfo) {
        let mut known = self.0.lock();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(image.id.0.clone(), image.clone());
    }
}

impl Shared {
    pub(super) async fn images(&self) -> Result<Vec<ImageInfo>> {
        let list: ListImagesResponse = self.client.call(Method::LIST_IMAGES, "all", Nothing {}).await?;
        Ok(list.images.into_iter().map(told).collect())
    }

    pub(super) async fn image(&self, image: &str) -> Result<Option<ImageInfo>> {
        let question = ImageStatusRequest { image: Some(spec(image)), verbose: false };
        match self.client.call(Method::IMAGE_STATUS, image, question).await {
            Err(RuntimeError::NotFound(_)) => Ok(None),
            answer => {
                let found = answer.map(|answer: ImageStatusResponse| answer.image.map(told))?;
                found.iter().for_each(|found| self.known_images.keep(found));
                Ok(found)
            }
        }
    }

    pub(super) async fn pull(&self, image: &str, credentials: Option<&PullCredentials>) -> Result<ImageInfo> {
        let question = PullImageRequest { image: Some(spec(image)), auth: credentials.map(auth) };
        let pulled = self.client.ask(Method::PULL_IMAGE, PULL_PATIENCE, tonic::Request::new(question)).await;
        let pulled: PullImageResponse = pulled.map_err(|status| {
            let message = status.message().to_owned();
            match translate(Method::PULL_IMAGE, image, status) {
                lost @ RuntimeError::Unreachable(_) => lost,
                _ => RuntimeError::Pull { image: image.to_owned(), message },
            }
        })?;
        let found = self.image(&pulled.image_ref).await?;
        found.ok_or_else(|| RuntimeError::ImageMissing(image.to_owned()))
    }

    /// Runtimes remove an image under all its names, also when a container uses it, and that of sandboxes.
    pub(super) async fn delete_image(&self, image: &str) -> Result<()> {
        if self.is_pinned(image).await? {
            let message = format!("{image} is kept by the runtime");
            return Err(RuntimeError::Refused { operation: "remove image", message });
        }
        let question = OfImage { image: Some(spec(image)) };
        match self.client.call(Method::REMOVE_IMAGE, image, question).await {
            Err(RuntimeError::NotFound(_)) => Ok(()),
            removed => removed.map(|Nothing {}| ()),
        }
    }

    async fn is_pinned(&self, image: &str) -> Result<bool> {
        let question = ImageStatusRequest { image: Some(spec(image)), verbose: false };
        let answer: ImageStatusResponse = self.client.call(Method::IMAGE_STATUS, image, question).await?;
        let Some(found) = answer.image else { return Ok(false) };
        let sandbox = self.sandbox_image().await?;
        let names = found.repo_tags.iter().chain(&found.repo_digests);
        Ok(found.pinned || names.into_iter().any(|name| sandbox.as_deref().is_some_and(|own| same(own, name))))
    }

    /// The image of sandboxes, if the runtime tells.
    pub(super) async fn sandbox_image(&self) -> Result<Option<String>> {
        let question = RuntimeStatusRequest { verbose: true };
        let status: RuntimeStatusResponse = self.client.call(Method::STATUS, "runtime", question).await?;
        let configuration = status.info.get("config").and_then(|text| serde_json::from_str(text).ok());
        let configuration: Configuration = configuration.unwrap_or_default();
        Ok(configuration.sandbox_image)
    }

    /// An image that has just been made: the runtime learns of it a moment later.
    pub(super) async fn present(self: &Arc<Self>, image: &str) -> Result<ImageInfo> {
        const LAST_LOOK: Duration = Duration::from_secs(4);
        let mut look = Duration::from_millis(2);
        loop {
            match self.image(image).await? {
                Some(found) => return Ok(found),
                None if look > LAST_LOOK => return Err(RuntimeError::ImageMissing(image.to_owned())),
                None => tokio::time::sleep(look).await,
            }
            look *= 2;
        }
    }
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), user_specified_image: String::new() }
}

fn told(image: Image) -> ImageInfo {
    let reference = image.repo_digests.first().cloned().unwrap_or_else(|| image.id.clone());
    ImageInfo {
        id: image.id.into(),
        reference,
        tags: image.repo_tags,
        digests: image.repo_digests,
        size: image.size,
        user: image.uid.map_or(image.username, |uid| uid.value.to_string()),
        created_ms: 0,
    }
}

fn auth(credentials: &PullCredentials) -> AuthConfig {
    AuthConfig {
        username: credentials.username.clone(),
        password: credentials.password.clone(),
        server_address: credentials.server.clone(),
        identity_token: credentials.identity_token.clone().unwrap_or_default(),
    }
}

/// A name with its registry and tag, as runtimes spell it.
pub(super) fn whole(image: &str) -> String {
    let first = image.split('/').next().unwrap_or_default();
    let has_registry = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let name = match (has_registry, image.contains('/')) {
        (true, _) => image.to_owned(),
        (false, true) => format!("{DEFAULT_REGISTRY}{image}"),
        (false, false) => format!("{DEFAULT_REGISTRY}{LIBRARY}{image}"),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { name } else { format!("{name}:latest") }
}

/// Whether two names mean the same image.
pub(super) fn same(one: &str, other: &str) -> bool {
    whole(one) == whole(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_whole() {
        for (image, expected) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("ferrokube/demo:v1", "docker.io/ferrokube/demo:v1"),
            ("reg:5000/nginx", "reg:5000/nginx:latest"),
            ("localhost/nginx@sha256:00", "localhost/nginx@sha256:00"),
            ("registry.k8s.io/pause:3.6", "registry.k8s.io/pause:3.6"),
        ] {
            assert_eq!(whole(image), expected);
        }
        assert!(same("ferrokube/pause:1", "docker.io/ferrokube/pause:1"));
    }
}
