//! Pod specs, as pods and pod templates have them.

pub mod defaults;
pub mod image;
pub(crate) mod validate;
pub mod warnings;

pub use validate::node_affinity as validate_node_affinity;

use crate::core::Volume;

/// The JSON names of the sources that a volume has; a valid one has exactly one.
#[must_use]
pub fn volume_sources(volume: &Volume) -> Vec<&'static str> {
    macro_rules! present {
        ($($field:ident: $name:literal),* $(,)?) => {
            [$((volume.$field.is_some(), $name)),*]
        };
    }
    let sources = present! {
        host_path: "hostPath", empty_dir: "emptyDir", secret: "secret", config_map: "configMap",
        projected: "projected", downward_api: "downwardAPI", persistent_volume_claim: "persistentVolumeClaim",
        csi: "csi", ephemeral: "ephemeral", image: "image", nfs: "nfs", iscsi: "iscsi", fc: "fc", rbd: "rbd",
        cephfs: "cephfs", cinder: "cinder", glusterfs: "glusterfs", flex_volume: "flexVolume", flocker: "flocker",
        git_repo: "gitRepo", azure_disk: "azureDisk", azure_file: "azureFile", scale_io: "scaleIO",
        storageos: "storageos", quobyte: "quobyte", portworx_volume: "portworxVolume",
        vsphere_volume: "vsphereVolume", photon_persistent_disk: "photonPersistentDisk",
        gce_persistent_disk: "gcePersistentDisk", aws_elastic_block_store: "awsElasticBlockStore",
    };
    sources.into_iter().filter(|(present, _)| *present).map(|(_, name)| name).collect()
}
