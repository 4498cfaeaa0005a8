//! Images.

use super::ImageId;

/// An image on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// Content id, `sha256:…`.
    pub id: ImageId,
    /// What `status.containerStatuses[].imageID` says: `docker-pullable://repo@sha256:…` or `docker://sha256:…` with
    /// Docker, `repo@sha256:…` or `sha256:…` elsewhere.
    pub reference: String,
    /// Names it goes by (`ferrokube/demo:v1`).
    pub tags: Vec<String>,
    /// Names with a digest (`repo@sha256:…`); empty for what never was in a registry.
    pub digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// The image's user: `uid[:gid]` or a name; empty is root. A list of images does not tell it, only an inspection.
    pub user: String,
    /// Milliseconds since 1970, 0 when unknown.
    pub created_ms: i64,
}

impl ImageInfo {
    /// The numeric user, when the image names one.
    pub fn uid(&self) -> Option<i64> {
        let user = self.user.split(':').next().unwrap_or_default();
        if user.is_empty() { Some(0) } else { user.parse().ok() }
    }
}

/// Credentials for one registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PullCredentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Registry host, as it stands in the docker config.
    pub server: String,
    /// Identity token instead of a password.
    pub identity_token: Option<String>,
}

impl std::fmt::Debug for PullCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullCredentials").field("server", &self.server).finish_non_exhaustive()
    }
}
