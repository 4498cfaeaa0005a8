//! Objects of any kind that have the subresource `scale`, found by what the API server says that it has.

use std::collections::HashMap;

use kube::Client;
use parking_lot::Mutex;

use crate::{
    step::{self, failed},
    write,
};

/// Why a kind leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server has no such kind.
    #[error("no matches for kind {kind:?} in {place}")]
    NoKind {
        /// The kind.
        kind: String,
        /// Where it was looked for.
        place: Place,
    },
    /// It cannot be put into a path.
    #[error("{0:?} is not a name")]
    NoName(String),
    /// The server does not answer.
    #[error(transparent)]
    Step(#[from] step::Error),
}

/// A resource in a version: `apps/v1` and `deployments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `v1` or `apps/v1`.
    pub api_version: String,
    /// Path segment.
    pub plural: String,
}

impl Resource {
    /// The group; empty for core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// `deployments` or `deployments.apps`.
    #[must_use]
    pub fn group_resource(&self) -> String {
        match self.group() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The path of an object's subresource.
    ///
    /// # Errors
    /// When the name would lead elsewhere.
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> Result<String, Error> {
        let segment = |text: &str| if is_segment(text) { Ok(()) } else { Err(Error::NoName(text.to_owned())) };
        segment(namespace).and_then(|()| segment(name))?;
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        Ok(format!("{root}/{}/namespaces/{namespace}/{}/{name}/{subresource}", self.api_version, self.plural))
    }
}

/// Whether a text leads, as a segment of a path, to what it names. Whoever may write references must not choose what is read.
#[must_use]
pub fn is_segment(text: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    !matches!(text, "" | "." | "..") && text.bytes().all(harmless)
}

/// Whether a text is an API version: `v1` or `apps/v1`.
fn is_version(text: &str) -> bool {
    text.split('/').count() <= 2 && text.split('/').all(is_segment)
}

/// Where a kind is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a group; empty for core.
    Group(String),
    /// In a version: `v1` or `apps/v1`.
    Version(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Group(group) => write!(f, "group {group:?}"),
            Self::Version(version) => write!(f, "version {version:?}"),
        }
    }
}

/// Which resources there are, as far as somebody asked.
pub struct Resources {
    client: Client,
    /// By group, or version of it, and kind.
    known: Mutex<HashMap<(Place, String), Resource>>,
}

impl Resources {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The resource of a kind; in a group, in the version that the server likes best.
    ///
    /// # Errors
    /// When there is none, or the server does not answer.
    pub async fn of_kind(&self, place: Place, kind: &str) -> Result<Resource, Error> {
        let key = (place, kind.to_owned());
        let known = self.known.lock().get(&key).cloned();
        if let Some(resource) = known {
            return Ok(resource);
        }
        let versions = match &key.0 {
            Place::Group(group) => self.versions(group).await?,
            Place::Version(version) => vec![version.clone()],
        };
        for api_version in versions {
            let resources = self.in_version(&api_version).await?;
            if let Some((plural, _)) = resources.into_iter().find(|(name, own)| own == kind && !name.contains('/')) {
                let resource = Resource { api_version, plural };
                self.known.lock().insert(key, resource.clone());
                return Ok(resource);
            }
        }
        Err(Error::NoKind { kind: key.1, place: key.0 })
    }

    /// Forgets a resource that is no longer where it was.
    pub fn forget(&self, place: Place, kind: &str) {
        self.known.lock().remove(&(place, kind.to_owned()));
    }

    /// Versions of a group, the preferred one first; none of a group that is not served.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn versions(&self, group: &str) -> Result<Vec<String>, Error> {
        if group.is_empty() {
            return Ok(vec!["v1".to_owned()]);
        }
        if !is_segment(group) {
            return Err(Error::NoName(group.to_owned()));
        }
        let list = match self.client.list_api_groups().await {
            Err(error) if write::code(&error) == Some(404) => return Ok(Vec::new()),
            list => list.map_err(failed("asking for groups"))?,
        };
        let Some(own) = list.groups.into_iter().find(|own| own.name == group) else { return Ok(Vec::new()) };
        let preferred = own.preferred_version.map(|version| version.group_version);
        let mut versions: Vec<String> = preferred.into_iter().collect();
        let others = own.versions.into_iter().map(|version| version.group_version);
        for version in others {
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        Ok(versions)
    }

    /// Names and kinds of what the server has in an API version.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn in_version(&self, api_version: &str) -> Result<Vec<(String, String)>, Error> {
        if !is_version(api_version) {
            return Err(Error::NoName(api_version.to_owned()));
        }
        let list = match api_version.contains('/') {
            true => self.client.list_api_group_resources(api_version).await,
            false => self.client.list_core_api_resources(api_version).await,
        };
        match list {
            Ok(list) => Ok(list.resources.into_iter().map(|resource| (resource.name, resource.kind)).collect()),
            Err(error) if write::code(&error) == Some(404) => Ok(Vec::new()),
            Err(error) => Err(failed("asking for resources")(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_elsewhere() {
        let deployments = Resource { api_version: "apps/v1".to_owned(), plural: "deployments".to_owned() };
        assert_eq!(deployments.group_resource(), "deployments.apps");
        let path = deployments.path("ns", "web.a-b:c", "scale").unwrap();
        assert_eq!(path, "/apis/apps/v1/namespaces/ns/deployments/web.a-b:c/scale");
        for name in ["", ".", "..", "a/../../secrets/b", "a?watch=1", "a%2fb", "a b", "é"] {
            assert!(deployments.path("ns", name, "scale").is_err(), "{name}");
            assert!(deployments.path(name, "web", "scale").is_err(), "{name}");
        }
    }

    #[test]
    fn versions_do_not_lead_elsewhere() {
        for (text, expected) in
            [("apps/v1", true), ("v1", true), ("../v1", false), ("a/b/c", false), ("v1?x", false), ("", false)]
        {
            assert_eq!(is_version(text), expected, "{text}");
        }
    }
}
