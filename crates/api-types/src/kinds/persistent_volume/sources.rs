//! What volumes are made of: exactly one source, of many kinds.

use crate::{
    core::{CSIPersistentVolumeSource, PersistentVolumeSpec, SecretReference},
    field::{FieldError, Path},
    pod_spec::{defaults::default_text, validate::host_path},
    validation::{names, volume},
};

/// A source's name in JSON, and its texts that may not be empty.
type Source<'a> = (&'static str, Vec<(&'static str, &'a str)>);

/// The sources that a volume has, in upstream's order.
macro_rules! sources {
    ($spec:expr, $($field:ident: $name:literal [$($required:ident: $text:literal),* $(,)?]),* $(,)?) => {{
        let mut sources: Vec<Source<'_>> = Vec::new();
        $(if let Some(source) = &$spec.$field {
            let _ = source;
            sources.push(($name, vec![$(($text, source.$required.as_str())),*]));
        })*
        sources
    }};
}

fn all(spec: &PersistentVolumeSpec) -> Vec<Source<'_>> {
    sources!(spec,
        host_path: "hostPath" [],
        gce_persistent_disk: "gcePersistentDisk" [pd_name: "pdName"],
        aws_elastic_block_store: "awsElasticBlockStore" [volume_id: "volumeID"],
        glusterfs: "glusterfs" [endpoints: "endpoints", path: "path"],
        flocker: "flocker" [],
        nfs: "nfs" [server: "server", path: "path"],
        rbd: "rbd" [image: "image"],
        quobyte: "quobyte" [registry: "registry", volume: "volume"],
        cephfs: "cephfs" [],
        iscsi: "iscsi" [target_portal: "targetPortal", iqn: "iqn"],
        cinder: "cinder" [volume_id: "volumeID"],
        fc: "fc" [],
        flex_volume: "flexVolume" [driver: "driver"],
        azure_file: "azureFile" [secret_name: "secretName", share_name: "shareName"],
        vsphere_volume: "vsphereVolume" [volume_path: "volumePath"],
        photon_persistent_disk: "photonPersistentDisk" [pd_id: "pdID"],
        portworx_volume: "portworxVolume" [volume_id: "volumeID"],
        azure_disk: "azureDisk" [disk_uri: "diskURI", disk_name: "diskName"],
        scale_io: "scaleIO" [gateway: "gateway", system: "system"],
        local: "local" [path: "path"],
        storageos: "storageos" [],
        csi: "csi" [],
    )
}

/// Exactly one source, with what it needs.
pub(super) fn validate(path: &Path, spec: &PersistentVolumeSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, (name, texts)) in all(spec).into_iter().enumerate() {
        let path_of_source = path.child(name);
        if i > 0 {
            errors.push(FieldError::forbidden(&path_of_source, "may not specify more than 1 volume type"));
            continue;
        }
        let missing = texts.into_iter().filter_map(|(text, value)| names::required(&path_of_source.child(text), value));
        errors.extend(missing);
        errors.extend(validate_source(path, &path_of_source, name, spec));
    }
    if errors.is_empty() && all(spec).is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    errors
}

fn validate_source(path: &Path, own: &Path, name: &str, spec: &PersistentVolumeSpec) -> Vec<FieldError> {
    match name {
        "hostPath" => spec.host_path.iter().flat_map(|source| host_path(own, source)).collect(),
        "nfs" => spec.nfs.iter().filter_map(|source| absolute(&own.child("path"), &source.path)).collect(),
        "local" => local(path, own, spec),
        "csi" => spec.csi.iter().flat_map(|source| csi(own, source)).collect(),
        "rbd" => spec.rbd.iter().filter_map(|source| monitors(own, &source.monitors)).collect(),
        "cephfs" => spec.cephfs.iter().filter_map(|source| monitors(own, &source.monitors)).collect(),
        _ => Vec::new(),
    }
}

fn absolute(path: &Path, value: &str) -> Option<FieldError> {
    (!value.starts_with('/')).then(|| FieldError::invalid(path, value, "must be an absolute path"))
}

fn monitors(path: &Path, monitors: &[String]) -> Option<FieldError> {
    monitors.is_empty().then(|| FieldError::required(&path.child("monitors"), ""))
}

/// A local volume says where it is.
fn local(path: &Path, own: &Path, spec: &PersistentVolumeSpec) -> Vec<FieldError> {
    let value = spec.local.as_ref().map(|local| local.path.as_str()).unwrap_or_default();
    let mut errors = Vec::new();
    if value.split('/').any(|segment| segment == "..") {
        errors.push(FieldError::invalid(&own.child("path"), value, "must not contain '..'"));
    }
    if spec.node_affinity.is_none() {
        errors.push(FieldError::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
    }
    errors
}

fn csi(path: &Path, source: &CSIPersistentVolumeSource) -> Vec<FieldError> {
    let mut errors = volume::driver_name(&path.child("driver"), &source.driver);
    errors.extend(names::required(&path.child("volumeHandle"), &source.volume_handle));
    let secrets = [
        ("controllerPublishSecretRef", &source.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &source.controller_expand_secret_ref),
        ("nodePublishSecretRef", &source.node_publish_secret_ref),
        ("nodeExpandSecretRef", &source.node_expand_secret_ref),
    ];
    for (field, secret) in secrets {
        if let Some(SecretReference { name, namespace }) = secret {
            let path = path.child(field);
            errors.extend(names::required(&path.child("name"), name.as_deref().unwrap_or_default()));
            errors.extend(names::required(&path.child("namespace"), namespace.as_deref().unwrap_or_default()));
        }
    }
    errors
}

/// What is left of a spec when only its sources are looked at. The secret for growing may be added later.
pub(super) fn only(spec: &PersistentVolumeSpec, old: &PersistentVolumeSpec) -> PersistentVolumeSpec {
    let mut sources = PersistentVolumeSpec {
        access_modes: None,
        capacity: None,
        claim_ref: None,
        mount_options: None,
        node_affinity: None,
        persistent_volume_reclaim_policy: None,
        storage_class_name: None,
        volume_attributes_class_name: None,
        volume_mode: None,
        ..spec.clone()
    };
    if let (Some(csi), Some(before)) = (&mut sources.csi, &old.csi)
        && before.controller_expand_secret_ref.is_none()
    {
        csi.controller_expand_secret_ref = None;
    }
    sources
}

/// Upstream's defaults.
pub(super) fn set_defaults(spec: &mut PersistentVolumeSpec) {
    if let Some(host_path) = &mut spec.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(iscsi) = &mut spec.iscsi {
        default_text(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut spec.rbd {
        default_text(&mut rbd.pool, "rbd");
        default_text(&mut rbd.user, "admin");
        default_text(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut spec.azure_disk {
        default_text(&mut disk.caching_mode, "ReadWrite");
        default_text(&mut disk.kind, "Shared");
        default_text(&mut disk.fs_type, "ext4");
        disk.read_only.get_or_insert(false);
    }
    if let Some(scale_io) = &mut spec.scale_io {
        default_text(&mut scale_io.storage_mode, "ThinProvisioned");
        default_text(&mut scale_io.fs_type, "xfs");
    }
}
