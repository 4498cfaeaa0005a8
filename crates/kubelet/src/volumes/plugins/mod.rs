//! The kinds of volumes. Adding one is a file and a row.

mod claim;
mod config_map;
mod downward_api;
mod empty_dir;
mod files;
mod host_path;
mod projected;
mod secret;

use std::path::PathBuf;

use api_types::core::Volume;
use async_trait::async_trait;

use super::payload::PayloadSources;
use super::{Ownership, PodDirectory, VolumeError};

/// All of them.
static PLUGINS: [&dyn VolumePlugin; 7] = [
    &claim::Claim,
    &config_map::PLUGIN,
    &downward_api::PLUGIN,
    &empty_dir::EmptyDir,
    &host_path::HostPath,
    &projected::PLUGIN,
    &secret::PLUGIN,
];

/// What holds a volume's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A directory of the pod's own.
    Directory,
    /// A file system in memory of the pod's own.
    Memory,
    /// The node, which has it whether the pod is there or not.
    Node,
}

/// What is true of a volume from the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// What holds its files.
    pub medium: Medium,
    /// No container may write to it, whatever its mount says.
    pub read_only: bool,
    /// The kubelet gives it to the pod's `fsGroup`.
    pub owned: bool,
}

/// A volume to be set up.
pub struct Request<'a> {
    /// As the pod has it.
    pub volume: &'a Volume,
    /// What its files are made of.
    pub sources: &'a PayloadSources<'a>,
    /// Where the pod keeps its files.
    pub directory: &'a PodDirectory,
    /// Whom they belong to; nobody in particular if the volume is not owned.
    pub ownership: Ownership,
}

/// A kind of volume.
#[async_trait]
pub trait VolumePlugin: Send + Sync {
    /// Upstream's name for it, without `kubernetes.io/`. Its directories are called after it.
    fn name(&self) -> &'static str;

    /// Whether this is a volume of the kind.
    fn supports(&self, volume: &Volume) -> bool;

    /// What is true of the volume.
    fn attributes(&self, volume: &Volume) -> Attributes;

    /// Makes the volume, or brings it up to date, and answers where it is. Harmless to repeat.
    async fn set_up(&self, request: &Request<'_>) -> Result<PathBuf, VolumeError>;

    /// Takes away everything that the volume has on this node: after the pod, or after a set-up that a crash ended.
    async fn tear_down(&self, directory: &PodDirectory, volume: &str) -> Result<(), VolumeError> {
        directory.remove_volume(self.name(), volume).await
    }
}

/// The kind of a volume.
///
/// # Errors
/// When no plugin has it, or more than one.
pub(super) fn of_volume(volume: &Volume) -> Result<&'static dyn VolumePlugin, VolumeError> {
    let matching: Vec<&dyn VolumePlugin> = PLUGINS.iter().copied().filter(|plugin| plugin.supports(volume)).collect();
    let why = match matching.as_slice() {
        [only] => return Ok(*only),
        [] => "no volume plugin matched".to_owned(),
        several => {
            let names: Vec<String> = several.iter().map(|plugin| format!("kubernetes.io/{}", plugin.name())).collect();
            format!("multiple volume plugins matched: {}", names.join(","))
        }
    };
    Err(VolumeError::NoPlugin { volume: volume.name.clone(), why })
}

/// The plugin that a directory is called after.
pub(super) fn by_name(name: &str) -> Option<&'static dyn VolumePlugin> {
    PLUGINS.iter().copied().find(|plugin| plugin.name() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn volume(mut source: serde_json::Value) -> Volume {
        source["name"] = json!("v");
        serde_json::from_value(source).unwrap()
    }

    #[test]
    fn no_two_plugins_have_one_name() {
        let names: BTreeSet<_> = PLUGINS.iter().map(|plugin| plugin.name()).collect();
        assert_eq!(names.len(), PLUGINS.len());
        for name in names {
            assert_eq!(by_name(name).unwrap().name(), name);
        }
    }

    #[test]
    fn a_volume_is_of_one_kind_or_it_is_an_error() {
        let cases = [
            (json!({"emptyDir": {}}), Ok("empty-dir")),
            (json!({"hostPath": {"path": "/x"}}), Ok("host-path")),
            (json!({"configMap": {"name": "c"}}), Ok("configmap")),
            (json!({"secret": {"secretName": "s"}}), Ok("secret")),
            (json!({"downwardAPI": {}}), Ok("downward-api")),
            (json!({"projected": {"sources": []}}), Ok("projected")),
            (json!({}), Err("no volume plugin matched")),
            (json!({"nfs": {"server": "s", "path": "/"}}), Err("no volume plugin matched")),
            (json!({"persistentVolumeClaim": {"claimName": "c"}}), Ok("local-volume")),
            (json!({"csi": {"driver": "d"}}), Err("no volume plugin matched")),
            (json!({"ephemeral": {}}), Ok("local-volume")),
            (json!({"image": {"reference": "r"}}), Err("no volume plugin matched")),
            (json!({"photonPersistentDisk": {"pdID": "p"}}), Err("no volume plugin matched")),
            (
                json!({"emptyDir": {}, "secret": {"secretName": "s"}}),
                Err("multiple volume plugins matched: kubernetes.io/empty-dir,kubernetes.io/secret"),
            ),
        ];
        for (source, expected) in cases {
            let found = of_volume(&volume(source.clone())).map(VolumePlugin::name).map_err(|error| error.to_string());
            let expected =
                expected.map_err(|why| format!("failed to get Plugin from volumeSpec for volume \"v\" err={why}"));
            assert_eq!(found, expected, "{source}");
        }
    }

    #[test]
    fn containers_write_to_no_files_of_the_kubelets() {
        use Medium::{Directory, Memory, Node};
        let cases = [
            (json!({"emptyDir": {}}), (Directory, false, true)),
            (json!({"emptyDir": {"medium": "Memory"}}), (Memory, false, true)),
            (json!({"hostPath": {"path": "/x"}}), (Node, false, false)),
            (json!({"persistentVolumeClaim": {"claimName": "c"}}), (Node, false, true)),
            (json!({"persistentVolumeClaim": {"claimName": "c", "readOnly": true}}), (Node, true, true)),
            (json!({"configMap": {"name": "c"}}), (Directory, true, true)),
            (json!({"secret": {"secretName": "s"}}), (Memory, true, true)),
            (json!({"downwardAPI": {}}), (Memory, true, true)),
            (json!({"projected": {"sources": []}}), (Memory, true, true)),
        ];
        for (source, (medium, read_only, owned)) in cases {
            let volume = volume(source);
            let found = of_volume(&volume).unwrap().attributes(&volume);
            assert_eq!(found, Attributes { medium, read_only, owned }, "{volume:?}");
        }
    }
}
