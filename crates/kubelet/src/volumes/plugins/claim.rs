//! Claims, named ones and a pod's own: whatever volume they have, which is a directory or path of this node.

use std::path::{Component, Path, PathBuf};

use api_types::core::Volume;
use async_trait::async_trait;
use component::volumes::{PROVISIONED_BY, Volume as PersistentVolume, annotation, local};

use super::{Attributes, Medium, Request, VolumePlugin, host_path};
use crate::pod::PodExt;
use crate::volumes::dir::Dir;
use crate::volumes::group::{ChangePolicy, give_tree};
use crate::volumes::local::PLUGIN;
use crate::volumes::ownership::Share;
use crate::volumes::{VolumeError, blocking};

/// Nobody looks into what only tells that a pod has a volume.
const PRIVATE: u32 = 0o750;

pub(super) struct Claim;

#[async_trait]
impl VolumePlugin for Claim {
    fn name(&self) -> &'static str {
        PLUGIN
    }

    fn supports(&self, volume: &Volume) -> bool {
        volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()
    }

    fn attributes(&self, volume: &Volume) -> Attributes {
        let read_only = volume.persistent_volume_claim.as_ref().is_some_and(|source| source.read_only == Some(true));
        Attributes { medium: Medium::Node, read_only, owned: true }
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<PathBuf, VolumeError> {
        let found = request.sources.claimed.volumes.get(&request.volume.name);
        let volume = match found {
            Some(Ok(volume)) => volume,
            Some(Err(error)) => return Err(error.clone().into()),
            None => return Err(no_plugin(request.volume, "the claim was not looked up")),
        };
        if let Some(source) = &volume.spec.local {
            return set_up_local(request, volume, PathBuf::from(&source.path)).await;
        }
        if let Some(source) = &volume.spec.host_path {
            let (path, kind) = (PathBuf::from(&source.path), source.type_.clone().unwrap_or_default());
            return blocking(move || host_path::check(&path, &kind).map(|()| path)).await;
        }
        Err(no_plugin(request.volume, "no volume plugin matched"))
    }
}

fn no_plugin(volume: &Volume, why: &str) -> VolumeError {
    VolumeError::NoPlugin { volume: volume.name.clone(), why: why.to_owned() }
}

/// A directory of this node: one that is made when it is first wanted, or one that has to be there.
async fn set_up_local(request: &Request<'_>, volume: &PersistentVolume, path: PathBuf) -> Result<PathBuf, VolumeError> {
    let (name, directory) = (volume.name().to_owned(), request.directory.clone());
    let own = std::sync::Arc::clone(&request.sources.claimed.local);
    let is_made_here = annotation(&volume.metadata, PROVISIONED_BY) == Some(local::PROVISIONER)
        && own.path(&name).is_some_and(|made| made == path);
    let share = Share::write(request.ownership);
    let policy = change_policy(request);
    blocking(move || {
        let failed = VolumeError::disk("making", &path);
        // First of all it is written down who has it, so that nobody takes it away.
        let noted = directory.make_plugin(PLUGIN).and_then(|plugin| plugin.make(&name, PRIVATE));
        let made = noted.and_then(|_| if is_made_here { own.make(&name) } else { Ok(()) });
        made.map_err(failed)?;
        check(&path)?;
        let given = Dir::open(&path).and_then(|dir| give_tree(&dir, share, policy));
        given.map_err(VolumeError::disk("giving to the pod's group", &path))?;
        Ok(path)
    })
    .await
}

fn change_policy(request: &Request<'_>) -> ChangePolicy {
    let context = request.sources.pod.pod_spec().security_context.as_ref();
    match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => ChangePolicy::OnRootMismatch,
        _ => ChangePolicy::Always,
    }
}

fn check(path: &Path) -> Result<(), VolumeError> {
    let text = path.display();
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(VolumeError::HostPath(format!("path {text:?} must not contain '..'")));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(VolumeError::HostPath(format!("path \"{text}\" is no directory, which is all that is supported"))),
        Err(_) => Err(VolumeError::HostPath(format!("path \"{text}\" does not exist"))),
    }
}
