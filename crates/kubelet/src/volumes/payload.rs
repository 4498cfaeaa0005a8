//! What is in a volume of files: pure, from objects and the pod's own fields.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::core::{DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccountTokenProjection, Volume, VolumeProjection};

use crate::env::{Allocatable, EnvError, fields};
use crate::objects::Objects;
use crate::pod::PodExt;

/// `defaultMode` of every kind of file volume.
const DEFAULT_MODE: i32 = 0o644;

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Files by path in the volume.
pub type Payload = BTreeMap<String, File>;

/// Why a volume's files cannot be made; the messages are upstream's.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// A config map or secret is not there.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// `items` names a key that is not there.
    #[error("{0}")]
    Key(String),
    /// A field or resource that does not exist.
    #[error(transparent)]
    Field(#[from] EnvError),
    /// There is no token yet.
    #[error("failed to fetch token: {0}")]
    Token(String),
    /// A projection that this kubelet does not have.
    #[error("projected volumes of type {0} are not supported by this node")]
    Unsupported(&'static str),
}

/// Tokens of the pod's service account, fetched before.
pub type Tokens = BTreeMap<TokenKey, Result<String, String>>;

/// Which token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey {
    /// Audience; empty is the API server.
    pub audience: String,
    /// Life in seconds.
    pub seconds: i64,
}

impl TokenKey {
    /// The token that a projection asks for.
    #[must_use]
    pub fn of(projection: &ServiceAccountTokenProjection) -> Self {
        Self {
            audience: projection.audience.clone().unwrap_or_default(),
            seconds: projection.expiration_seconds.unwrap_or(3600),
        }
    }
}

/// The tokens that a pod's volumes need.
#[must_use]
pub fn tokens_of(pod: &Pod) -> Vec<TokenKey> {
    let projected = pod.pod_spec().volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
    let sources = projected.flat_map(|projected| projected.sources.iter().flatten());
    sources.filter_map(|source| source.service_account_token.as_ref()).map(TokenKey::of).collect()
}

/// Everything that payloads are made of.
pub struct PayloadSources<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its addresses.
    pub ips: &'a [IpAddr],
    /// The node's addresses.
    pub node_ips: &'a [IpAddr],
    /// What the node has.
    pub allocatable: &'a Allocatable,
    /// Config maps and secrets.
    pub objects: &'a dyn Objects,
    /// Service account tokens.
    pub tokens: &'a Tokens,
}

/// The plugin's name and the files of a volume, if it is one of files.
///
/// # Errors
/// When something that is not optional is missing.
pub fn of_volume(
    volume: &Volume,
    sources: &PayloadSources<'_>,
) -> Result<Option<(&'static str, Payload)>, PayloadError> {
    if let Some(source) = &volume.config_map {
        let found = config_map(&source.name, sources);
        let items = Items { wanted: source.items.as_deref(), mode: source.default_mode, optional: source.optional };
        return items.pick(&CONFIG_MAP, &source.name, found).map(|payload| Some(("configmap", payload)));
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap_or_default();
        let items = Items { wanted: source.items.as_deref(), mode: source.default_mode, optional: source.optional };
        return items.pick(&SECRET, &name, secret(&name, sources)).map(|payload| Some(("secret", payload)));
    }
    if let Some(source) = &volume.downward_api {
        let files = source.items.as_deref().unwrap_or_default();
        return downward(files, source.default_mode, sources).map(|payload| Some(("downward-api", payload)));
    }
    if let Some(source) = &volume.projected {
        let mut payload = Payload::new();
        for projection in source.sources.iter().flatten() {
            payload.extend(project(projection, source.default_mode, sources)?);
        }
        return Ok(Some(("projected", payload)));
    }
    Ok(None)
}

fn project(
    projection: &VolumeProjection,
    mode: Option<i32>,
    sources: &PayloadSources<'_>,
) -> Result<Payload, PayloadError> {
    if let Some(source) = &projection.config_map {
        let items = Items { wanted: source.items.as_deref(), mode, optional: source.optional };
        return items.pick(&CONFIG_MAP, &source.name, config_map(&source.name, sources));
    }
    if let Some(source) = &projection.secret {
        let items = Items { wanted: source.items.as_deref(), mode, optional: source.optional };
        return items.pick(&SECRET, &source.name, secret(&source.name, sources));
    }
    if let Some(source) = &projection.downward_api {
        return downward(source.items.as_deref().unwrap_or_default(), mode, sources);
    }
    if let Some(source) = &projection.service_account_token {
        let token = sources.tokens.get(&TokenKey::of(source));
        let token = token.cloned().unwrap_or_else(|| Err("it has not been requested".to_owned()));
        let content = token.map_err(PayloadError::Token)?.into_bytes();
        return Ok(Payload::from([(source.path.clone(), File { content, mode: mode_bits(mode) })]));
    }
    Err(PayloadError::Unsupported(if projection.cluster_trust_bundle.is_some() {
        "clusterTrustBundle"
    } else {
        "podCertificate"
    }))
}

type Data = BTreeMap<String, Vec<u8>>;

fn config_map(name: &str, sources: &PayloadSources<'_>) -> Option<Data> {
    let map = sources.objects.config_map(name)?;
    let texts = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let bytes = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    Some(texts.chain(bytes).collect())
}

fn secret(name: &str, sources: &PayloadSources<'_>) -> Option<Data> {
    let secret = sources.objects.secret(name)?;
    Some(secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect())
}

/// How a kind of object is named in messages.
struct Words {
    missing: &'static str,
    key: &'static str,
}

const CONFIG_MAP: Words = Words { missing: "configmap", key: "configmap references non-existent config key: " };
const SECRET: Words = Words { missing: "secret", key: "references non-existent secret key: " };

/// Which keys become which files.
struct Items<'a> {
    wanted: Option<&'a [KeyToPath]>,
    mode: Option<i32>,
    optional: Option<bool>,
}

impl Items<'_> {
    fn pick(&self, words: &Words, name: &str, data: Option<Data>) -> Result<Payload, PayloadError> {
        let optional = self.optional == Some(true);
        let data = match data {
            Some(data) => data,
            None if optional => Data::new(),
            None => return Err(PayloadError::Missing { kind: words.missing, name: name.to_owned() }),
        };
        let default = mode_bits(self.mode);
        let Some(wanted) = self.wanted.filter(|wanted| !wanted.is_empty()) else {
            return Ok(data.into_iter().map(|(key, content)| (key, File { content, mode: default })).collect());
        };
        let mut payload = Payload::new();
        for item in wanted {
            match data.get(&item.key) {
                Some(content) => {
                    let mode = item.mode.map_or(default, |mode| mode_bits(Some(mode)));
                    payload.insert(item.path.clone(), File { content: content.clone(), mode });
                }
                None if optional => {}
                None => return Err(PayloadError::Key(format!("{}{}", words.key, item.key))),
            }
        }
        Ok(payload)
    }
}

fn downward(
    files: &[DownwardAPIVolumeFile],
    mode: Option<i32>,
    sources: &PayloadSources<'_>,
) -> Result<Payload, PayloadError> {
    let mut payload = Payload::new();
    for file in files {
        let value = if let Some(field) = &file.field_ref {
            fields::field(sources.pod, &field.field_path, sources.ips, sources.node_ips)?
        } else if let Some(resource) = &file.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or_default();
            let container = sources.pod.container(name).map(|(_, container)| container);
            let container = container.ok_or_else(|| EnvError::Resource(format!("container {name:?} not found")))?;
            fields::resource(container, resource, sources.allocatable)?
        } else {
            continue;
        };
        let mode = mode_bits(file.mode.or(mode));
        payload.insert(file.path.clone(), File { content: value.into_bytes(), mode });
    }
    Ok(payload)
}

fn mode_bits(mode: Option<i32>) -> u32 {
    u32::try_from(mode.unwrap_or(DEFAULT_MODE)).unwrap_or(0) & 0o777
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::testing::FixedObjects;

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
            objects: &objects,
            tokens: &tokens,
        };
        let (_, payload) = of_volume(&volume, &sources).map_err(|error| error.to_string())?.unwrap();
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
}
