//! `emptyDir`: a directory of the pod's own, on the node's disk or in memory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use api_types::core::{EmptyDirVolumeSource, Volume};
use api_types::quantity::Quantity;
use async_trait::async_trait;

use super::{Attributes, Medium, Request, VolumePlugin};
use crate::env::Allocatable;
use crate::volumes::dir::{Dir, is_directory};
use crate::volumes::ownership::Share;
use crate::volumes::tmpfs::Tmpfs;
use crate::volumes::{VolumeError, blocking};

/// Whatever user a container has, it can write.
const MODE: u32 = 0o777;
const MEMORY: &str = "Memory";

pub(super) struct EmptyDir;

#[async_trait]
impl VolumePlugin for EmptyDir {
    fn name(&self) -> &'static str {
        "empty-dir"
    }

    fn supports(&self, volume: &Volume) -> bool {
        volume.empty_dir.is_some()
    }

    fn attributes(&self, volume: &Volume) -> Attributes {
        let in_memory = volume.empty_dir.as_ref().is_some_and(|source| medium(source) == MEMORY);
        let medium = if in_memory { Medium::Memory } else { Medium::Directory };
        Attributes { medium, read_only: false, owned: true }
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<PathBuf, VolumeError> {
        let source = request.volume.empty_dir.clone().unwrap_or_default();
        let size = match medium(&source) {
            "" => None,
            MEMORY => Some(size(&source, request.sources.allocatable)),
            other => return Err(VolumeError::Medium(other.to_owned())),
        };
        let (directory, name) = (request.directory.clone(), OsString::from(&request.volume.name));
        let path = directory.volume(self.name(), &request.volume.name);
        let (plugin, share, failed) =
            (self.name(), Share::write(request.ownership), VolumeError::disk("making", &path));
        let make = move || {
            let parent = directory.make_plugin(plugin)?;
            match size {
                Some(size) => in_memory(&parent, &name, share, size),
                None => on_disk(&parent, &name, share),
            }
        };
        blocking(move || make().map_err(failed)).await?;
        Ok(path)
    }
}

fn medium(source: &EmptyDirVolumeSource) -> &str {
    source.medium.as_deref().unwrap_or_default()
}

/// How much memory it may take: all that pods may have, or its own limit if that is less.
fn size(source: &EmptyDirVolumeSource, allocatable: &Allocatable) -> Option<u64> {
    let positive = |amount: &Quantity| u64::try_from(amount.value()).ok().filter(|bytes| *bytes > 0);
    let own = source.size_limit.as_ref().and_then(|limit| Quantity::try_from(limit).ok());
    [own.as_ref(), allocatable.get("memory")].into_iter().flatten().filter_map(positive).min()
}

fn in_memory(parent: &Dir, name: &OsStr, share: Share, size: Option<u64>) -> io::Result<()> {
    Tmpfs { mode: share.of_directory(MODE), group: share.group(), size }.ensure(parent, name).map(drop)
}

/// It gets its name when it is complete: later its permissions are the containers' affair.
fn on_disk(parent: &Dir, name: &OsStr, share: Share) -> io::Result<()> {
    match parent.find(name)? {
        Some(found) if is_directory(&found) => return Ok(()),
        Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
        None => {}
    }
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    let made = parent.make(&unfinished, MODE)?;
    share.give_directory(made.as_fd())?;
    parent.rename(&unfinished, name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let all = Allocatable::from([("memory".to_owned(), Quantity::from_bytes(1 << 30))]);
        let cases = [
            (json!({}), Some(1 << 30)),
            (json!({"sizeLimit": "64Mi"}), Some(64 << 20)),
            (json!({"sizeLimit": "2Gi"}), Some(1 << 30)),
            (json!({"sizeLimit": "0"}), Some(1 << 30)),
            (json!({"sizeLimit": "-1"}), Some(1 << 30)),
        ];
        for (source, expected) in cases {
            let source: EmptyDirVolumeSource = serde_json::from_value(source).unwrap();
            assert_eq!(size(&source, &all), expected, "{source:?}");
        }
        assert_eq!(size(&EmptyDirVolumeSource::default(), &Allocatable::new()), None);
    }
}
