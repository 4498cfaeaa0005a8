//! Merge keys: Volumes, persistent and of pods.

use super::{
    CORE, METADATA, Type,
    core::{LOCAL_OBJECT_REFERENCE, NODE_SELECTOR, OBJECT_REFERENCE, SECRET_REFERENCE, TYPED_LOCAL_OBJECT_REFERENCE},
    field, granular, key, keyed,
    meta::{LABEL_SELECTOR, OBJECT_META},
};

pub(super) static CSI_PERSISTENT_VOLUME_SOURCE: Type = Type::new(
    CORE,
    "CSIPersistentVolumeSource",
    &[
        field("controllerExpandSecretRef").of(&SECRET_REFERENCE),
        field("controllerPublishSecretRef").of(&SECRET_REFERENCE),
        field("nodeExpandSecretRef").of(&SECRET_REFERENCE),
        field("nodePublishSecretRef").of(&SECRET_REFERENCE),
        field("nodeStageSecretRef").of(&SECRET_REFERENCE),
    ],
);

pub(super) static CSI_VOLUME_SOURCE: Type =
    Type::new(CORE, "CSIVolumeSource", &[field("nodePublishSecretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static CEPHFS_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "CephFSPersistentVolumeSource", &[field("secretRef").of(&SECRET_REFERENCE)]);

pub(super) static CEPHFS_VOLUME_SOURCE: Type =
    Type::new(CORE, "CephFSVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static CINDER_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "CinderPersistentVolumeSource", &[field("secretRef").of(&SECRET_REFERENCE)]);

pub(super) static CINDER_VOLUME_SOURCE: Type =
    Type::new(CORE, "CinderVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static EPHEMERAL_VOLUME_SOURCE: Type =
    Type::new(CORE, "EphemeralVolumeSource", &[field("volumeClaimTemplate").of(&PERSISTENT_VOLUME_CLAIM_TEMPLATE)]);

pub(super) static FLEX_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "FlexPersistentVolumeSource", &[field("secretRef").of(&SECRET_REFERENCE)]);

pub(super) static FLEX_VOLUME_SOURCE: Type =
    Type::new(CORE, "FlexVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static ISCSI_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "ISCSIPersistentVolumeSource", &[field("secretRef").of(&SECRET_REFERENCE)]);

pub(super) static ISCSI_VOLUME_SOURCE: Type =
    Type::new(CORE, "ISCSIVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static PERSISTENT_VOLUME: Type = Type::new(
    CORE,
    "PersistentVolume",
    &[METADATA, field("spec").of(&PERSISTENT_VOLUME_SPEC).present(), field("status").present()],
);

pub(super) static PERSISTENT_VOLUME_CLAIM: Type = Type::new(
    CORE,
    "PersistentVolumeClaim",
    &[
        METADATA,
        field("spec").of(&PERSISTENT_VOLUME_CLAIM_SPEC).present(),
        field("status").of(&PERSISTENT_VOLUME_CLAIM_STATUS).present(),
    ],
);

pub(super) static PERSISTENT_VOLUME_CLAIM_SPEC: Type = Type::new(
    CORE,
    "PersistentVolumeClaimSpec",
    &[field("dataSource").of(&TYPED_LOCAL_OBJECT_REFERENCE), field("selector").of(&LABEL_SELECTOR)],
);

pub(super) static PERSISTENT_VOLUME_CLAIM_STATUS: Type =
    Type::new(CORE, "PersistentVolumeClaimStatus", &[keyed("conditions", &[key("type")]).merge("type")]);

pub(super) static PERSISTENT_VOLUME_CLAIM_TEMPLATE: Type = Type::new(
    CORE,
    "PersistentVolumeClaimTemplate",
    &[field("metadata").of(&OBJECT_META), field("spec").of(&PERSISTENT_VOLUME_CLAIM_SPEC)],
);

pub(super) static PERSISTENT_VOLUME_SPEC: Type = Type::new(
    CORE,
    "PersistentVolumeSpec",
    &[
        field("cephfs").of(&CEPHFS_PERSISTENT_VOLUME_SOURCE),
        field("cinder").of(&CINDER_PERSISTENT_VOLUME_SOURCE),
        granular("claimRef"),
        field("csi").of(&CSI_PERSISTENT_VOLUME_SOURCE),
        field("flexVolume").of(&FLEX_PERSISTENT_VOLUME_SOURCE),
        field("iscsi").of(&ISCSI_PERSISTENT_VOLUME_SOURCE),
        field("nodeAffinity").of(&VOLUME_NODE_AFFINITY),
        field("rbd").of(&RBD_PERSISTENT_VOLUME_SOURCE),
        field("scaleIO").of(&SCALE_IO_PERSISTENT_VOLUME_SOURCE),
        field("storageos").of(&STORAGE_OS_PERSISTENT_VOLUME_SOURCE),
    ],
);

pub(super) static RBD_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "RBDPersistentVolumeSource", &[field("secretRef").of(&SECRET_REFERENCE)]);

pub(super) static RBD_VOLUME_SOURCE: Type =
    Type::new(CORE, "RBDVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static SCALE_IO_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "ScaleIOPersistentVolumeSource", &[field("secretRef").of(&SECRET_REFERENCE)]);

pub(super) static SCALE_IO_VOLUME_SOURCE: Type =
    Type::new(CORE, "ScaleIOVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static STORAGE_OS_PERSISTENT_VOLUME_SOURCE: Type =
    Type::new(CORE, "StorageOSPersistentVolumeSource", &[field("secretRef").of(&OBJECT_REFERENCE)]);

pub(super) static STORAGE_OS_VOLUME_SOURCE: Type =
    Type::new(CORE, "StorageOSVolumeSource", &[field("secretRef").of(&LOCAL_OBJECT_REFERENCE)]);

pub(super) static VOLUME: Type = Type::new(
    CORE,
    "Volume",
    &[
        field("cephfs").of(&CEPHFS_VOLUME_SOURCE),
        field("cinder").of(&CINDER_VOLUME_SOURCE),
        field("csi").of(&CSI_VOLUME_SOURCE),
        field("ephemeral").of(&EPHEMERAL_VOLUME_SOURCE),
        field("flexVolume").of(&FLEX_VOLUME_SOURCE),
        field("iscsi").of(&ISCSI_VOLUME_SOURCE),
        field("rbd").of(&RBD_VOLUME_SOURCE),
        field("scaleIO").of(&SCALE_IO_VOLUME_SOURCE),
        field("storageos").of(&STORAGE_OS_VOLUME_SOURCE),
    ],
);

pub(super) static VOLUME_NODE_AFFINITY: Type =
    Type::new(CORE, "VolumeNodeAffinity", &[field("required").of(&NODE_SELECTOR)]);
