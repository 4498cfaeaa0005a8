//! Where a container sees the pod's volumes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use api_types::core::{Container, VolumeMount};

use super::sub_path::SubPath;
use super::{PodDirectory, SetUpVolume, SetUpVolumes};
use crate::env::expand::expand;
use crate::runtime::{Mount, MountPropagation};

/// Why a mount cannot be made. Containers' owners read this, so it says nothing about the node's disk.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MountError {
    /// The pod has no such volume.
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    NoVolume {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
    /// The mount is to be read-only all the way down.
    #[error(
        "failed to resolve recursive read-only mode: volume {0:?} requested recursive read-only mode, \
         but it is not supported by the runtime"
    )]
    RecursiveReadOnly(String),
    /// `subPathExpr` names variables that are not there.
    #[error("missing value for {0}")]
    Variables(String),
    /// `subPath` begins at the root.
    #[error("error SubPath `{0}` must not be an absolute path")]
    Absolute(String),
    /// `subPath` goes up.
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    Backsteps(String),
    /// `subPath` is not in the volume and cannot be made.
    #[error("failed to create subPath directory for volumeMount {volume:?} of container {container:?}")]
    Create {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
    /// `subPath` cannot be mounted.
    #[error("failed to prepare subPath for volumeMount {volume:?} of container {container:?}")]
    Prepare {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
}

/// What mounts are made of.
pub struct MountSources {
    /// The container.
    pub container: Container,
    /// The pod's volumes.
    pub volumes: SetUpVolumes,
    /// The container's environment, for `subPathExpr`.
    pub env: Vec<(String, String)>,
    /// Where the pod keeps its files.
    pub directory: PodDirectory,
}

impl MountSources {
    /// The mounts of the container. Blocking: makes sub-paths that are not there, and mounts them.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn mounts(&self) -> Result<Vec<Mount>, MountError> {
        let mounts = self.container.volume_mounts.iter().flatten().enumerate();
        mounts.map(|(index, mount)| self.mount(index, mount)).collect()
    }

    fn mount(&self, index: usize, mount: &VolumeMount) -> Result<Mount, MountError> {
        let volume = self.volumes.get(&mount.name).ok_or_else(|| MountError::NoVolume {
            volume: mount.name.clone(),
            container: self.container.name.clone(),
        })?;
        if mount.recursive_read_only.as_deref() == Some("Enabled") {
            return Err(MountError::RecursiveReadOnly(mount.name.clone()));
        }
        let sub_path = self.sub_path(mount)?;
        let host_path = match checked(&sub_path)? {
            None => volume.path.clone(),
            Some(path) => self.part(index, mount, volume, path)?,
        };
        Ok(Mount {
            host_path,
            container_path: mount.mount_path.clone(),
            read_only: volume.read_only || mount.read_only == Some(true),
            propagation: match mount.mount_propagation.as_deref() {
                Some("HostToContainer") => MountPropagation::HostToContainer,
                Some("Bidirectional") => MountPropagation::Bidirectional,
                _ => MountPropagation::Private,
            },
        })
    }

    fn sub_path(&self, mount: &VolumeMount) -> Result<String, MountError> {
        let Some(expression) = mount.sub_path_expr.as_deref().filter(|expression| !expression.is_empty()) else {
            return Ok(mount.sub_path.clone().unwrap_or_default());
        };
        let missing = RefCell::new(BTreeSet::new());
        let expanded = expand(expression, |name| {
            let found = self.env.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let found = found.filter(|value| !value.is_empty());
            if found.is_none() {
                missing.borrow_mut().insert(name.to_owned());
            }
            found
        });
        let missing: Vec<String> = missing.into_inner().into_iter().collect();
        if missing.is_empty() { Ok(expanded) } else { Err(MountError::Variables(missing.join(", "))) }
    }

    fn part(
        &self,
        index: usize,
        mount: &VolumeMount,
        volume: &SetUpVolume,
        path: &Path,
    ) -> Result<PathBuf, MountError> {
        let (name, container) = (&mount.name, &self.container.name);
        let part = SubPath { volume_path: &volume.path, volume: name, path, container, index };
        let opened = part.open().map_err(|error| {
            tracing::warn!(volume = name, container, sub_path = %path.display(), "opening a subPath: {error}");
            MountError::Create { volume: name.clone(), container: container.clone() }
        })?;
        part.bind(&opened, &self.directory).map_err(|error| {
            tracing::warn!(volume = name, container, sub_path = %path.display(), "mounting a subPath: {error}");
            MountError::Prepare { volume: name.clone(), container: container.clone() }
        })
    }
}

/// The path in the volume; `None` is the volume itself.
fn checked(sub_path: &str) -> Result<Option<&Path>, MountError> {
    let path = Path::new(sub_path);
    if path.is_absolute() {
        return Err(MountError::Absolute(sub_path.to_owned()));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(MountError::Backsteps(sub_path.to_owned()));
    }
    Ok(Some(path).filter(|_| !sub_path.is_empty()))
}
