//! What volumes of files have in common: the kubelet writes them, containers only read them.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use api_types::core::Volume;
use async_trait::async_trait;

use super::{Attributes, Medium, Request, VolumePlugin};
use crate::volumes::ownership::Share;
use crate::volumes::payload::{Payload, PayloadError, PayloadSources};
use crate::volumes::tmpfs::Tmpfs;
use crate::volumes::{PodDirectory, VolumeError, atomic_writer, blocking, nested};

/// Permissions of the volume itself: whatever user a container has, it can read.
const MODE: u32 = 0o755;

/// A kind of volume of files.
pub(super) struct Files {
    /// Its name.
    pub(super) name: &'static str,
    /// What holds the files.
    pub(super) medium: Medium,
    /// The files of a volume of this kind; `None` for another kind.
    pub(super) payload: fn(&Volume, &PayloadSources<'_>) -> Option<Result<Payload, PayloadError>>,
    /// Whether a volume is of this kind.
    pub(super) supports: fn(&Volume) -> bool,
}

#[async_trait]
impl VolumePlugin for Files {
    fn name(&self) -> &'static str {
        self.name
    }

    fn supports(&self, volume: &Volume) -> bool {
        (self.supports)(volume)
    }

    fn attributes(&self, _: &Volume) -> Attributes {
        Attributes { medium: self.medium, read_only: true, owned: true }
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<PathBuf, VolumeError> {
        let payload = (self.payload)(request.volume, request.sources).transpose()?.unwrap_or_default();
        let work = Work {
            directory: request.directory.clone(),
            plugin: self.name,
            volume: request.volume.name.clone(),
            medium: self.medium,
            share: Share::read(request.ownership),
            points: nested::mount_points(request.sources.pod, &request.volume.name),
            payload,
        };
        let path = request.directory.volume(self.name, &request.volume.name);
        blocking(move || work.run()).await?;
        Ok(path)
    }
}

/// Everything that is needed to put the files on disk.
struct Work {
    directory: PodDirectory,
    plugin: &'static str,
    volume: String,
    medium: Medium,
    share: Share,
    /// Where other volumes are mounted in this one.
    points: Vec<PathBuf>,
    payload: Payload,
}

impl Work {
    fn run(&self) -> Result<(), VolumeError> {
        let path = self.directory.volume(self.plugin, &self.volume);
        self.put(OsStr::new(&self.volume)).map_err(VolumeError::disk("writing", &path))
    }

    fn put(&self, name: &OsStr) -> std::io::Result<()> {
        let parent = self.directory.make_plugin(self.plugin)?;
        let mode = self.share.of_directory(MODE);
        let volume = if self.medium == Medium::Memory {
            Tmpfs { mode, group: self.share.group(), size: None }.ensure(&parent, name)?
        } else {
            parent.make(name, mode)?
        };
        self.share.give_directory(volume.as_fd())?;
        atomic_writer::write(&volume, &self.payload, self.share)?;
        self.points.iter().try_for_each(|point| nested::make(&volume, Path::new(point)))
    }
}

#[cfg(test)]
mod tests {
    use api_types::core::Pod;
    use serde_json::json;

    use super::super::{config_map, downward_api, projected, secret};
    use super::*;
    use crate::env::Allocatable;
    use crate::objects::testing::FixedObjects;
    use crate::volumes::Claimed;
    use crate::volumes::payload::{File, TokenKey, Tokens};

    fn render(volume: serde_json::Value) -> Result<Vec<(String, String, u32)>, String> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "labels": {"a": "b", "c": "d"}}})).unwrap();
        let objects = FixedObjects::new(
            json!([{"metadata": {"name": "cm"}, "data": {"k": "v"}, "binaryData": {"bin": "AAE="}}]),
            json!([{"metadata": {"name": "s"}, "data": {"pw": "eA=="}}]),
        );
        let allocatable = Allocatable::new();
        let token = TokenKey { audience: String::new(), seconds: 3600 };
        let tokens = Tokens::from([(token, Ok("jwt".to_owned()))]);
        let sources = PayloadSources {
            pod: &pod,
            ips: &[],
            node_ips: &[],
            allocatable: &allocatable,
            claimed: &Claimed::default(),
            objects: &objects,
            tokens: &tokens,
        };
        let all = [&config_map::PLUGIN, &downward_api::PLUGIN, &projected::PLUGIN, &secret::PLUGIN];
        let plugin = all.into_iter().find(|plugin| plugin.supports(&volume)).unwrap();
        let payload = (plugin.payload)(&volume, &sources).unwrap().map_err(|error| error.to_string())?;
        let text = |file: &File| String::from_utf8_lossy(&file.content).into_owned();
        Ok(payload.iter().map(|(path, file)| (path.clone(), text(file), file.mode)).collect())
    }

    fn files(list: &[(&str, &str, u32)]) -> Vec<(String, String, u32)> {
        list.iter().map(|(path, text, mode)| ((*path).to_owned(), (*text).to_owned(), *mode)).collect()
    }

    #[test]
    fn volumes_become_files() {
        let cases = [
            (json!({"configMap": {"name": "cm"}}), files(&[("bin", "\0\u{1}", 0o644), ("k", "v", 0o644)])),
            (
                json!({"configMap": {"name": "cm", "defaultMode": 256, "items": [{"key": "k", "path": "d/f"}]}}),
                files(&[("d/f", "v", 0o400)]),
            ),
            (json!({"configMap": {"name": "no", "optional": true}}), files(&[])),
            (
                json!({"secret": {"secretName": "s", "items": [{"key": "pw", "path": "p", "mode": 384}]}}),
                files(&[("p", "x", 0o600)]),
            ),
            (
                json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
                files(&[("labels", "a=\"b\"\nc=\"d\"", 0o644)]),
            ),
            (
                json!({"projected": {"sources": [{"secret": {"name": "s"}}, {"serviceAccountToken": {"path": "t"}},
                    {"configMap": {"name": "cm", "items": [{"key": "k", "path": "k"}]}}]}}),
                files(&[("k", "v", 0o644), ("pw", "x", 0o644), ("t", "jwt", 0o644)]),
            ),
        ];
        for (mut volume, expected) in cases {
            volume["name"] = json!("v");
            assert_eq!(render(volume.clone()).unwrap(), expected, "{volume}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            (json!({"name": "v", "configMap": {"name": "no"}}), "configmap \"no\" not found"),
            (json!({"name": "v", "secret": {"secretName": "no"}}), "secret \"no\" not found"),
            (
                json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
                "configmap references non-existent config key: z",
            ),
            (
                json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}}),
                "references non-existent secret key: z",
            ),
        ];
        for (volume, expected) in cases {
            assert_eq!(render(volume).unwrap_err(), expected);
        }
    }
    #[test]
    fn a_token_is_for_the_pods_user_alone() {
        let volume = json!({"name": "v", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s"}}]}});
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let objects = FixedObjects::new(json!([]), json!([{"metadata": {"name": "s"}, "data": {"pw": "eA=="}}]));
        let token = TokenKey { audience: String::new(), seconds: 3600 };
        let cases = [
            (json!({}), Ok("jwt"), Ok((0o644, None))),
            (json!({"runAsUser": 5}), Ok("jwt"), Ok((0o600, Some(5)))),
            (json!({"fsGroup": 5}), Ok("jwt"), Ok((0o600, None))),
            (json!({}), Err("not served"), Err("failed to fetch token: not served")),
        ];
        for (context, answer, expected) in cases {
            let spec = json!({"securityContext": context, "containers": [{"name": "c"}]});
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let answer = answer.map(str::to_owned).map_err(str::to_owned);
            let sources = PayloadSources {
                pod: &pod,
                ips: &[],
                node_ips: &[],
                allocatable: &Allocatable::new(),
                claimed: &Claimed::default(),
                objects: &objects,
                tokens: &Tokens::from([(token.clone(), answer)]),
            };
            let payload = (projected::PLUGIN.payload)(&volume, &sources).unwrap();
            let found = payload.map(|payload| (payload["t"].mode, payload["t"].owner));
            assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{context}");
        }
    }
}
