//! Volumes: what a pod's volumes hold is computed in [`payload`], put on disk by a plugin each, and shown to
//! containers by [`MountSources`].
//!
//! Containers write to some of these directories, so nothing in them is trusted: see `dir` for how they are walked.

mod atomic_writer;
pub mod claims;
mod dir;
mod group;
mod local;
mod mount_table;
mod mounts;
mod nested;
mod ownership;
pub mod payload;
mod plugins;
mod pod_directory;
mod remove;
mod sub_path;
#[cfg(test)]
mod testing;
mod tmpfs;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use api_types::core::{Pod, Volume};

use crate::pod::PodExt;
pub use claims::Claimed;
pub use local::{LocalVolumes, RemoveError};
pub use mounts::{MountError, MountSources};
pub use ownership::Ownership;
pub use payload::{Payload, PayloadSources};
use plugins::Request;
pub use pod_directory::{PodDirectory, pods_on_disk};

/// Why a volume cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A kind of volume that this kubelet does not have.
    #[error("failed to get Plugin from volumeSpec for volume {volume:?} err={why}")]
    NoPlugin {
        /// The volume's name.
        volume: String,
        /// What is wrong.
        why: String,
    },
    /// Its claim has no volume for it.
    #[error(transparent)]
    Claim(#[from] claims::ClaimError),
    /// What goes into it is not there.
    #[error(transparent)]
    Payload(#[from] payload::PayloadError),
    /// `emptyDir.medium` is none that this kubelet has.
    #[error("unknown storage medium {0:?}")]
    Medium(String),
    /// `hostPath` is not what is found.
    #[error("{0}")]
    HostPath(String),
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
    /// What was to be done to the disk came to no end.
    #[error("working on a volume: {0}")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl VolumeError {
    fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| Self::Disk { operation, path, source }
    }
}

/// Runs what waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, VolumeError> {
    tokio::task::spawn_blocking(work).await.map_err(VolumeError::Interrupted)?
}

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetUpVolume {
    /// Where it is on the node.
    pub path: PathBuf,
    /// No container may write to it.
    pub read_only: bool,
}

/// A pod's volumes that are there, by name.
pub type SetUpVolumes = BTreeMap<String, SetUpVolume>;

/// What became of a pod's volumes.
#[derive(Debug, Default)]
pub struct SetUp {
    /// Those that are there.
    pub volumes: SetUpVolumes,
    /// Why the others are not, by name.
    pub failed: BTreeMap<String, VolumeError>,
}

/// Sets up the volumes that containers of the pod use, or brings them up to date. One that fails does not keep the
/// others from being set up.
pub async fn set_up(sources: &PayloadSources<'_>, directory: &PodDirectory) -> SetUp {
    let used = used(sources.pod);
    let mut set_up = SetUp::default();
    for volume in sources.pod.pod_spec().volumes.iter().flatten().filter(|volume| used.contains(volume.name.as_str())) {
        match set_up_one(volume, sources, directory).await {
            Ok(done) => drop(set_up.volumes.insert(volume.name.clone(), done)),
            Err(error) => drop(set_up.failed.insert(volume.name.clone(), error)),
        }
    }
    set_up
}

async fn set_up_one(
    volume: &Volume,
    sources: &PayloadSources<'_>,
    directory: &PodDirectory,
) -> Result<SetUpVolume, VolumeError> {
    let plugin = plugins::of_volume(volume)?;
    let attributes = plugin.attributes(volume);
    let ownership = if attributes.owned { Ownership::of(sources.pod) } else { Ownership::default() };
    let path = plugin.set_up(&Request { volume, sources, directory, ownership }).await?;
    Ok(SetUpVolume { path, read_only: attributes.read_only })
}

/// Names of the volumes that some container mounts.
fn used(pod: &Pod) -> BTreeSet<String> {
    let containers = pod.every_container();
    let mounts = containers.iter().flat_map(|(_, container)| container.volume_mounts.iter().flatten());
    let devices = containers.iter().flat_map(|(_, container)| container.volume_devices.iter().flatten());
    mounts.map(|mount| mount.name.clone()).chain(devices.map(|device| device.name.clone())).collect()
}

impl SetUp {
    /// What went wrong, in the words of upstream's `FailedMount` events.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let no_plugin = |error: &VolumeError| {
            matches!(error, VolumeError::NoPlugin { .. } | VolumeError::Claim(claims::ClaimError::Unusable { .. }))
        };
        let set_up = self.failed.iter().filter(|(_, error)| !no_plugin(error));
        let mut complaints: Vec<String> = set_up
            .map(|(volume, error)| match error {
                VolumeError::Claim(claims::ClaimError::Elsewhere { volume }) => {
                    format!("MountVolume.NodeAffinity check failed for volume {volume:?} : {error}")
                }
                error => format!("MountVolume.SetUp failed for volume {volume:?} : {error}"),
            })
            .collect();
        let (names, errors): (Vec<&str>, Vec<String>) = self
            .failed
            .iter()
            .filter(|(_, error)| no_plugin(error))
            .map(|(name, error)| (name.as_str(), error.to_string()))
            .unzip();
        if !names.is_empty() {
            let all: Vec<&str> = self.failed.keys().map(String::as_str).collect();
            complaints.push(format!(
                "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], failed to process volumes=[{}]: {}",
                all.join(" "),
                names.join(" "),
                errors.join("; ")
            ));
        }
        complaints
    }
}

#[cfg(test)]
mod tests;
