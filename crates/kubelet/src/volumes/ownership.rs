//! `fsGroup`: whose a pod's own volumes are.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use api_types::core::Pod;

use super::VolumeError;
use crate::pod::PodExt;

/// Group that every file of the pod's own volumes belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// `fsGroup`.
    pub group: Option<u32>,
}

/// Read for the group on files, everything and the group's inheritance on directories.
const FILE: u32 = 0o440;
const DIRECTORY: u32 = 0o2770;

impl Ownership {
    /// What the pod asks for.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let group = pod.pod_spec().security_context.as_ref().and_then(|context| context.fs_group);
        Self { group: group.and_then(|group| u32::try_from(group).ok()) }
    }

    /// Gives a directory to the group.
    pub(super) fn apply_to_directory(self, path: &Path) -> Result<(), VolumeError> {
        self.apply(path, DIRECTORY)
    }

    /// Gives a file to the group.
    pub(super) fn apply_to_file(self, path: &Path) -> Result<(), VolumeError> {
        self.apply(path, FILE)
    }

    fn apply(self, path: &Path, add: u32) -> Result<(), VolumeError> {
        let Some(group) = self.group else { return Ok(()) };
        chown(path, None, Some(group)).map_err(VolumeError::disk("changing the group of", path))?;
        let metadata = std::fs::metadata(path).map_err(VolumeError::disk("reading", path))?;
        let mode = metadata.permissions().mode() | add;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(VolumeError::disk("setting the mode of", path))
    }
}
