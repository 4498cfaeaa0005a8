//! Volumes: what a pod's volumes hold is computed in [`payload`], and put on disk here.
//!
//! Everything lives where upstream has it: `<root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`.

pub mod atomic_writer;
mod host_path;
mod mounts;
mod ownership;
pub mod payload;
mod tmpfs;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use api_types::core::{Pod, Volume};

use crate::pod::PodExt;
use crate::runtime::PodUid;
pub use mounts::{MountError, MountSources, of_container};
pub use ownership::Ownership;
pub use payload::{Payload, PayloadSources};

/// Why a volume cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A kind of volume that this kubelet does not have.
    #[error("volumes of type {0} are not supported by this node")]
    Unsupported(&'static str),
    /// What goes into it is not there.
    #[error(transparent)]
    Payload(#[from] payload::PayloadError),
    /// `hostPath.type` is not what is found.
    #[error("hostPath type check failed: {path} is not {expected}")]
    HostPath {
        /// The path on the node.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file system refused.
    #[error("{operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl VolumeError {
    fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Disk { operation, path, source }
    }
}

/// A volume that could not be set up, in the words of the `FailedMount` event.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
pub struct FailedMount {
    /// The volume's name in the pod.
    pub volume: String,
    /// Why.
    #[source]
    pub source: VolumeError,
}

/// Where each volume of a pod is on the node.
pub type VolumePaths = BTreeMap<String, PathBuf>;

/// What a volume is to be, everything looked up: ready to be put on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of the pod's own.
    EmptyDir {
        /// Size limit in bytes of a tmpfs; `None` is a plain directory.
        memory: Option<Memory>,
    },
    /// A path of the node.
    HostPath {
        /// The path.
        path: PathBuf,
        /// What must be there.
        kind: String,
    },
    /// Files that follow what they are made from.
    Files {
        /// Directory name of the plugin.
        plugin: &'static str,
        /// The files.
        payload: Payload,
    },
}

/// An emptyDir in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// At most so many bytes; 0 leaves it to the kernel.
    pub limit: u64,
}

/// Where a pod keeps its files.
#[derive(Debug, Clone)]
pub struct PodDirectory(PathBuf);

impl PodDirectory {
    /// The directory of a pod under `--root-dir`.
    #[must_use]
    pub fn new(root: &Path, uid: &PodUid) -> Self {
        Self(root.join("pods").join(uid.as_str()))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A volume's directory.
    #[must_use]
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.0.join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// Where a container's termination message files are.
    #[must_use]
    pub fn container(&self, name: &str) -> PathBuf {
        self.0.join("containers").join(name)
    }

    /// The pod's `/etc/hosts`.
    #[must_use]
    pub fn etc_hosts(&self) -> PathBuf {
        self.0.join("etc-hosts")
    }

    /// Unmounts what is mounted in it and removes it. Blocking.
    ///
    /// # Errors
    /// When something in it is busy.
    pub fn remove(&self) -> Result<(), VolumeError> {
        tmpfs::unmount_below(&self.0)?;
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(VolumeError::disk("removing", &self.0)(error)),
            _ => Ok(()),
        }
    }
}

/// Looks up everything that the pod's volumes need.
///
/// # Errors
/// The first volume that cannot be had.
pub fn sources(pod: &Pod, lookup: &PayloadSources<'_>) -> Result<BTreeMap<String, Source>, FailedMount> {
    let mut sources = BTreeMap::new();
    for volume in pod.pod_spec().volumes.iter().flatten() {
        let source = source(volume, lookup).map_err(|source| FailedMount { volume: volume.name.clone(), source })?;
        sources.insert(volume.name.clone(), source);
    }
    Ok(sources)
}

fn source(volume: &Volume, lookup: &PayloadSources<'_>) -> Result<Source, VolumeError> {
    if let Some(path) = &volume.host_path {
        let kind = path.type_.clone().unwrap_or_default();
        return Ok(Source::HostPath { path: PathBuf::from(&path.path), kind });
    }
    if let Some((plugin, payload)) = payload::of_volume(volume, lookup)? {
        return Ok(Source::Files { plugin, payload });
    }
    if let Some(kind) = unsupported(volume) {
        return Err(VolumeError::Unsupported(kind));
    }
    let empty_dir = volume.empty_dir.clone().unwrap_or_default();
    let limit = empty_dir.size_limit.as_ref().and_then(|limit| api_types::quantity::Quantity::try_from(limit).ok());
    let limit = limit.and_then(|limit| u64::try_from(limit.value()).ok()).unwrap_or(0);
    let memory = (empty_dir.medium.as_deref() == Some("Memory")).then_some(Memory { limit });
    Ok(Source::EmptyDir { memory })
}

/// Kinds of volumes that need more than this kubelet can do.
fn unsupported(volume: &Volume) -> Option<&'static str> {
    let kinds = [
        ("persistentVolumeClaim", volume.persistent_volume_claim.is_some()),
        ("csi", volume.csi.is_some()),
        ("ephemeral", volume.ephemeral.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("fc", volume.fc.is_some()),
        ("image", volume.image.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
    ];
    kinds.into_iter().find(|(_, is)| *is).map(|(kind, _)| kind)
}

/// Puts volumes on disk, or brings them up to date. Blocking; harmless to repeat.
///
/// # Errors
/// The first volume that cannot be set up.
pub fn set_up(
    directory: &PodDirectory,
    sources: &BTreeMap<String, Source>,
    ownership: &Ownership,
) -> Result<VolumePaths, FailedMount> {
    let mut paths = VolumePaths::new();
    for (name, source) in sources {
        let path = set_up_one(directory, name, source, ownership)
            .map_err(|source| FailedMount { volume: name.clone(), source })?;
        paths.insert(name.clone(), path);
    }
    Ok(paths)
}

fn set_up_one(
    directory: &PodDirectory,
    name: &str,
    source: &Source,
    ownership: &Ownership,
) -> Result<PathBuf, VolumeError> {
    match source {
        Source::HostPath { path, kind } => host_path::check(path, kind).map(|()| path.clone()),
        Source::Files { plugin, payload } => {
            let path = directory.volume(plugin, name);
            make_directory(&path, 0o777)?;
            atomic_writer::write(&path, payload, ownership)?;
            Ok(path)
        }
        Source::EmptyDir { memory } => {
            let path = directory.volume("empty-dir", name);
            if make_directory(&path, 0o777)? == Made::New {
                if let Some(memory) = memory {
                    tmpfs::mount(&path, memory.limit)?;
                }
                ownership.apply_to_directory(&path)?;
            } else if memory.is_some() && !tmpfs::is_mounted(&path) {
                // The node has been restarted.
                tmpfs::mount(&path, memory.map_or(0, |memory| memory.limit))?;
                ownership.apply_to_directory(&path)?;
            }
            Ok(path)
        }
    }
}

/// Whether a directory was there already.
#[derive(Debug, PartialEq, Eq)]
enum Made {
    New,
    Already,
}

/// Makes a directory with these permissions, whatever the umask is.
fn make_directory(path: &Path, mode: u32) -> Result<Made, VolumeError> {
    use std::os::unix::fs::PermissionsExt;
    if path.is_dir() {
        return Ok(Made::Already);
    }
    std::fs::create_dir_all(path).map_err(VolumeError::disk("creating", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(VolumeError::disk("setting the mode of", path))?;
    Ok(Made::New)
}

/// Pods that have a directory. Blocking.
#[must_use]
pub fn pods_on_disk(root: &Path) -> Vec<PodUid> {
    let entries = std::fs::read_dir(root.join("pods")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).map(PodUid).collect()
}
