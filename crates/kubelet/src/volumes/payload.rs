//! What is in a volume of files: pure, from objects and the pod's own fields.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::core::{KeyToPath, Pod, ServiceAccountTokenProjection};

use super::Claimed;
use crate::env::{Allocatable, EnvError};
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
    /// Whose it is, unless it is root's.
    pub owner: Option<u32>,
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
    /// What claims have.
    pub claimed: &'a Claimed,
    /// Config maps and secrets.
    pub objects: &'a dyn Objects,
    /// Service account tokens.
    pub tokens: &'a Tokens,
}

/// Values by key.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// What is in a config map.
pub(super) fn config_map(name: &str, sources: &PayloadSources<'_>) -> Option<Data> {
    let map = sources.objects.config_map(name)?;
    let texts = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let bytes = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    Some(texts.chain(bytes).collect())
}

/// What is in a secret.
pub(super) fn secret(name: &str, sources: &PayloadSources<'_>) -> Option<Data> {
    let secret = sources.objects.secret(name)?;
    Some(secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect())
}

/// How a kind of object is named in messages.
pub(super) struct Words {
    missing: &'static str,
    key: &'static str,
}

pub(super) const CONFIG_MAP: Words =
    Words { missing: "configmap", key: "configmap references non-existent config key: " };
pub(super) const SECRET: Words = Words { missing: "secret", key: "references non-existent secret key: " };

/// Which keys become which files.
pub(super) struct Items<'a> {
    /// These; all, if there are none.
    pub(super) wanted: Option<&'a [KeyToPath]>,
    /// Permissions, unless an item has its own.
    pub(super) mode: Option<i32>,
    /// Whether it is fine if something is missing.
    pub(super) optional: Option<bool>,
}

impl Items<'_> {
    /// The files.
    ///
    /// # Errors
    /// When something that is not optional is missing.
    pub(super) fn pick(&self, words: &Words, name: &str, data: Option<Data>) -> Result<Payload, PayloadError> {
        let optional = self.optional == Some(true);
        let data = match data {
            Some(data) => data,
            None if optional => Data::new(),
            None => return Err(PayloadError::Missing { kind: words.missing, name: name.to_owned() }),
        };
        let default = mode_bits(self.mode);
        let Some(wanted) = self.wanted.filter(|wanted| !wanted.is_empty()) else {
            return Ok(data
                .into_iter()
                .map(|(key, content)| (key, File { content, mode: default, owner: None }))
                .collect());
        };
        let mut payload = Payload::new();
        for item in wanted {
            match data.get(&item.key) {
                Some(content) => {
                    let mode = item.mode.map_or(default, |mode| mode_bits(Some(mode)));
                    payload.insert(item.path.clone(), File { content: content.clone(), mode, owner: None });
                }
                None if optional => {}
                None => return Err(PayloadError::Key(format!("{}{}", words.key, item.key))),
            }
        }
        Ok(payload)
    }
}

/// Permission bits of a file.
pub(super) fn mode_bits(mode: Option<i32>) -> u32 {
    u32::try_from(mode.unwrap_or(DEFAULT_MODE)).unwrap_or(0) & 0o777
}
