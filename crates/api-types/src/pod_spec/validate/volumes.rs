//! Volumes.

use std::collections::BTreeSet;

use super::environment::{self, Place};
use crate::{
    core::{DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Volume, VolumeProjection},
    field::{FieldError, Path},
    pod_spec::volume_sources,
    quantity::Quantity,
    validation::names,
};

const HOST_PATH_TYPES: [&str; 7] =
    ["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const BAD_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
/// Shortest life of a projected token, in seconds.
const MIN_TOKEN_SECONDS: i64 = 600;

pub(super) fn validate(path: &Path, volumes: &[Volume]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i);
        errors.extend(sources(&path, volume));
        let (name, name_path) = (volume.name.as_str(), path.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&name_path, ""));
            continue;
        }
        errors.extend(names::check(names::dns1123_label, &name_path, name));
        if !taken.insert(name) {
            errors.push(FieldError::duplicate(&name_path, name));
        }
    }
    errors
}

fn sources(path: &Path, volume: &Volume) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let sources = volume_sources(volume);
    if sources.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for extra in sources.iter().skip(1) {
        errors.push(FieldError::forbidden(&path.child(extra), "may not specify more than 1 volume type"));
    }
    errors.extend(files(path, volume));
    if let Some(host_path) = &volume.host_path {
        errors.extend(validate_host_path(&path.child("hostPath"), host_path));
    }
    let limit = volume.empty_dir.as_ref().and_then(|empty_dir| empty_dir.size_limit.as_ref());
    if limit.is_some_and(|limit| Quantity::try_from(limit).map_or(true, |limit| limit.is_negative())) {
        let detail = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("emptyDir").child("sizeLimit"), detail));
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let path = path.child("persistentVolumeClaim").child("claimName");
        errors.extend(names::required(&path, &claim.claim_name));
    }
    if let Some(ephemeral) = &volume.ephemeral
        && ephemeral.volume_claim_template.is_none()
    {
        errors.push(FieldError::required(&path.child("ephemeral").child("volumeClaimTemplate"), ""));
    }
    if let Some(nfs) = &volume.nfs {
        let path = path.child("nfs");
        errors.extend(names::required(&path.child("server"), &nfs.server));
        errors.extend(names::required(&path.child("path"), &nfs.path));
        if !nfs.path.is_empty() && !nfs.path.starts_with('/') {
            errors.push(FieldError::invalid(&path.child("path"), nfs.path.as_str(), "must be an absolute path"));
        }
    }
    errors
}

pub(crate) fn validate_host_path(path: &Path, host_path: &HostPathVolumeSource) -> Vec<FieldError> {
    let own = host_path.path.as_str();
    let mut errors: Vec<FieldError> = names::required(&path.child("path"), own).into_iter().collect();
    if own.split('/').any(|segment| segment == "..") {
        errors.push(FieldError::invalid(&path.child("path"), own, "must not contain '..'"));
    }
    errors.extend(names::none_or_one_of(&path.child("type"), host_path.type_.as_deref(), &HOST_PATH_TYPES));
    errors
}

/// Volumes made of files that the kubelet writes.
fn files(path: &Path, volume: &Volume) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(secret) = &volume.secret {
        let path = path.child("secret");
        errors.extend(names::required(&path.child("secretName"), secret.secret_name.as_deref().unwrap_or_default()));
        errors.extend(mode(&path.child("defaultMode"), secret.default_mode));
        errors.extend(items(&path.child("items"), secret.items.as_deref()));
    }
    if let Some(config_map) = &volume.config_map {
        let path = path.child("configMap");
        errors.extend(names::required(&path.child("name"), &config_map.name));
        errors.extend(mode(&path.child("defaultMode"), config_map.default_mode));
        errors.extend(items(&path.child("items"), config_map.items.as_deref()));
    }
    if let Some(downward) = &volume.downward_api {
        let path = path.child("downwardAPI");
        errors.extend(mode(&path.child("defaultMode"), downward.default_mode));
        errors.extend(downward_files(&path, downward.items.as_deref()));
    }
    if let Some(projected) = &volume.projected {
        let path = path.child("projected");
        errors.extend(mode(&path.child("defaultMode"), projected.default_mode));
        let mut taken = BTreeSet::new();
        for (i, source) in projected.sources.iter().flatten().enumerate() {
            errors.extend(projection(&path.child("sources").index(i), source));
            let clashes = projected_paths(source).into_iter().filter(|(file, _)| !taken.insert(*file));
            errors.extend(clashes.map(|(_, told)| FieldError::invalid(&path, told, "conflicting duplicate paths")));
        }
    }
    errors
}

/// The files that a projection makes, and what is told when one is there already.
fn projected_paths(source: &VolumeProjection) -> Vec<(&str, &str)> {
    fn items<'a>(items: Option<&'a Vec<KeyToPath>>, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        items.into_iter().flatten().map(move |item| (item.path.as_str(), name))
    }
    let mut paths = Vec::new();
    if let Some(secret) = &source.secret {
        paths.extend(items(secret.items.as_ref(), secret.name.as_str()));
    }
    if let Some(map) = &source.config_map {
        paths.extend(items(map.items.as_ref(), map.name.as_str()));
    }
    if let Some(downward) = &source.downward_api {
        paths.extend(downward.items.iter().flatten().map(|file| (file.path.as_str(), file.path.as_str())));
    }
    if let Some(token) = &source.service_account_token {
        paths.push((&token.path, &token.path));
    }
    paths.retain(|(path, _)| !path.is_empty());
    paths
}

fn projection(path: &Path, source: &VolumeProjection) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(secret) = &source.secret {
        let path = path.child("secret");
        errors.extend(names::required(&path.child("name"), &secret.name));
        errors.extend(items(&path.child("items"), secret.items.as_deref()));
    }
    if let Some(config_map) = &source.config_map {
        let path = path.child("configMap");
        errors.extend(names::required(&path.child("name"), &config_map.name));
        errors.extend(items(&path.child("items"), config_map.items.as_deref()));
    }
    if let Some(downward) = &source.downward_api {
        errors.extend(downward_files(&path.child("downwardAPI"), downward.items.as_deref()));
    }
    if let Some(token) = &source.service_account_token {
        let path = path.child("serviceAccountToken");
        errors.extend(file_path(&path.child("path"), &token.path));
        if let Some(seconds) = token.expiration_seconds.filter(|seconds| *seconds < MIN_TOKEN_SECONDS) {
            let detail = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
        }
    }
    errors
}

fn items(path: &Path, items: Option<&[KeyToPath]>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, item) in items.into_iter().flatten().enumerate() {
        let path = path.index(i);
        errors.extend(names::required(&path.child("key"), &item.key));
        errors.extend(file_path(&path.child("path"), &item.path));
        errors.extend(mode(&path.child("mode"), item.mode));
    }
    errors
}

fn downward_files(path: &Path, files: Option<&[DownwardAPIVolumeFile]>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for file in files.into_iter().flatten() {
        errors.extend(file_path(&path.child("path"), &file.path));
        errors.extend(mode(&path.child("mode"), file.mode));
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(_), Some(_)) => {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", detail));
            }
            (Some(own), None) => {
                errors.extend(environment::field_ref(&path.child("fieldRef"), own, Place::Volume));
            }
            (None, Some(own)) => {
                let path = path.child("resourceFieldRef");
                errors.extend(names::required(
                    &path.child("containerName"),
                    own.container_name.as_deref().unwrap_or_default(),
                ));
                errors.extend(environment::resource_field_ref(&path, own));
            }
            (None, None) => {
                errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
            }
        }
    }
    errors
}

/// A path within a volume that the kubelet can write.
fn file_path(path: &Path, value: &str) -> Vec<FieldError> {
    if value.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = super::containers::descending_path(path, value);
    if value.starts_with("..") && value.split('/').all(|segment| segment != "..") {
        errors.push(FieldError::invalid(path, value, "must not start with '..'"));
    }
    errors
}

fn mode(path: &Path, mode: Option<i32>) -> Option<FieldError> {
    let mode = mode.filter(|mode| !(0..=0o777).contains(mode))?;
    Some(FieldError::invalid(path, mode, BAD_MODE))
}
