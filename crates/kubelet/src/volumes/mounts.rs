//! Where a container sees the pod's volumes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use api_types::core::{Container, VolumeMount};

use super::VolumePaths;
use crate::env::expand::expand;
use crate::runtime::{Mount, MountPropagation};

/// Why a mount cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The pod has no such volume.
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    NoVolume {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
    /// `subPath` leaves the volume.
    #[error("subpath {0:?} is not within the volume path")]
    Outside(String),
    /// `subPath` cannot be made.
    #[error("failed to prepare subPath for volumeMount {volume:?} of container {container:?}: {source}")]
    SubPath {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
}

/// What mounts are made of.
pub struct MountSources<'a> {
    /// Where the volumes are.
    pub volumes: &'a VolumePaths,
    /// The container's environment, for `subPathExpr`.
    pub env: &'a [(String, String)],
}

/// The mounts of a container. Blocking: makes sub-paths that are not there.
///
/// # Errors
/// See [`MountError`].
pub fn of_container(container: &Container, sources: &MountSources<'_>) -> Result<Vec<Mount>, MountError> {
    container.volume_mounts.iter().flatten().map(|mount| one(container, mount, sources)).collect()
}

fn one(container: &Container, mount: &VolumeMount, sources: &MountSources<'_>) -> Result<Mount, MountError> {
    let volume = sources
        .volumes
        .get(&mount.name)
        .ok_or_else(|| MountError::NoVolume { volume: mount.name.clone(), container: container.name.clone() })?;
    let lookup = |name: &str| sources.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let sub_path = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(expression), _) if !expression.is_empty() => expand(expression, lookup),
        (_, path) => path.clone().unwrap_or_default(),
    };
    let host_path = if sub_path.is_empty() {
        volume.clone()
    } else {
        below(volume, &sub_path).map_err(|error| match error {
            Below::Outside => MountError::Outside(sub_path.clone()),
            Below::Disk(source) => {
                MountError::SubPath { volume: mount.name.clone(), container: container.name.clone(), source }
            }
        })?
    };
    Ok(Mount {
        host_path,
        container_path: mount.mount_path.clone(),
        read_only: mount.read_only == Some(true),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => MountPropagation::HostToContainer,
            Some("Bidirectional") => MountPropagation::Bidirectional,
            _ => MountPropagation::Private,
        },
    })
}

enum Below {
    Outside,
    Disk(io::Error),
}

/// The real path of `sub_path` in the volume, made as a directory if it is not there; links may not lead out.
fn below(volume: &Path, sub_path: &str) -> Result<PathBuf, Below> {
    let relative = Path::new(sub_path);
    if !relative.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)) {
        return Err(Below::Outside);
    }
    let root = volume.canonicalize().map_err(Below::Disk)?;
    let mut real = root.clone();
    for component in relative.components() {
        let next = real.join(component);
        real = match next.canonicalize() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&next, &real).map_err(Below::Disk)?,
            Err(error) => return Err(Below::Disk(error)),
        };
        if !real.starts_with(&root) {
            return Err(Below::Outside);
        }
    }
    Ok(real)
}

/// A directory with its parent's permissions, as upstream makes it.
fn make(path: &Path, parent: &Path) -> io::Result<PathBuf> {
    let mode = fs::metadata(parent)?.permissions().mode();
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn sub_paths_stay_in_the_volume() {
        let root = tempfile::tempdir().unwrap();
        let volume = root.path().join("volume");
        fs::create_dir_all(volume.join("inside")).unwrap();
        fs::write(volume.join("file"), "").unwrap();
        symlink("/etc", volume.join("out")).unwrap();
        symlink("inside", volume.join("in")).unwrap();
        let cases = [
            ("inside", Some("inside")),
            ("file", Some("file")),
            ("new/deep", Some("new/deep")),
            ("in", Some("inside")),
            ("out", None),
            ("out/passwd", None),
            ("../volume", None),
            ("/etc", None),
        ];
        for (sub_path, expected) in cases {
            let got = below(&volume, sub_path).ok();
            assert_eq!(got, expected.map(|path| volume.canonicalize().unwrap().join(path)), "{sub_path}");
        }
    }
}
