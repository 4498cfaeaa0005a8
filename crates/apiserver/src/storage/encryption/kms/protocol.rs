//! What is said to a key management service, and what is stored: upstream's `v2` messages.

use std::{collections::BTreeMap, path::Path, time::Duration};

use http::uri::PathAndQuery;
use tonic::{
    Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

/// Asks how the service is. It has no fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct StatusRequest {}

/// How the service is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StatusResponse {
    /// The protocol's version, `v2`.
    #[prost(string, tag = "1")]
    pub version: String,
    /// `ok`, or what is wrong.
    #[prost(string, tag = "2")]
    pub healthz: String,
    /// The key with which it encrypts now.
    #[prost(string, tag = "3")]
    pub key_id: String,
}

/// Something to decrypt.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DecryptRequest {
    /// What was encrypted.
    #[prost(bytes = "vec", tag = "1")]
    pub ciphertext: Vec<u8>,
    /// For the service's log.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// With which key.
    #[prost(string, tag = "3")]
    pub key_id: String,
    /// What the service said besides when it encrypted.
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub annotations: BTreeMap<String, Vec<u8>>,
}

/// It decrypted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DecryptResponse {
    /// As it was.
    #[prost(bytes = "vec", tag = "1")]
    pub plaintext: Vec<u8>,
}

/// Something to encrypt.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EncryptRequest {
    /// What.
    #[prost(bytes = "vec", tag = "1")]
    pub plaintext: Vec<u8>,
    /// For the service's log.
    #[prost(string, tag = "2")]
    pub uid: String,
}

/// It encrypted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EncryptResponse {
    /// What only the service can decrypt.
    #[prost(bytes = "vec", tag = "1")]
    pub ciphertext: Vec<u8>,
    /// With which key.
    #[prost(string, tag = "2")]
    pub key_id: String,
    /// What it wants to be told when it is to decrypt that.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub annotations: BTreeMap<String, Vec<u8>>,
}

/// A value as it is stored, behind the provider's prefix.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EncryptedObject {
    /// The value, encrypted here.
    #[prost(bytes = "vec", tag = "1")]
    pub encrypted_data: Vec<u8>,
    /// The service's key.
    #[prost(string, tag = "2")]
    pub key_id: String,
    /// What the value's key comes from, encrypted by the service.
    #[prost(bytes = "vec", tag = "3")]
    pub encrypted_dek_source: Vec<u8>,
    /// What the service said besides.
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub annotations: BTreeMap<String, Vec<u8>>,
    /// How the value's key comes from its source.
    #[prost(int32, tag = "5")]
    pub encrypted_dek_source_type: i32,
}

/// The source is the AES-GCM key itself. It is read, but not written.
pub const AES_GCM_KEY: i32 = 0;
/// The source is a seed: a key for each value is derived from it.
pub const HKDF_SEED: i32 = 1;

/// The longest key id and encrypted source, in bytes; upstream's.
const LONGEST: usize = 1024;
/// The greatest annotations, keys and values together; upstream's.
const ANNOTATIONS: usize = 32 * 1024;

/// Whether it can be the id of a key.
///
/// # Errors
/// When it is empty or too long.
pub fn check_key_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("keyID is empty".into()),
        1..=LONGEST => Ok(()),
        size => Err(format!("keyID is {size} bytes, which exceeds the max size of {LONGEST}")),
    }
}

impl EncryptedObject {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// When it does not; in upstream's words.
    pub fn check(&self) -> Result<(), String> {
        if ![AES_GCM_KEY, HKDF_SEED].contains(&self.encrypted_dek_source_type) {
            return Err(format!("unknown encryptedDEKSourceType: {}", self.encrypted_dek_source_type));
        }
        if self.encrypted_data.is_empty() {
            return Err("encrypted data is empty".into());
        }
        let source = match self.encrypted_dek_source.len() {
            0 => Err("encrypted DEK source is empty".into()),
            1..=LONGEST => Ok(()),
            size => Err(format!("encrypted DEK source is {size} bytes, which exceeds the max size of {LONGEST}")),
        };
        source.map_err(|why: String| format!("failed to validate encrypted DEK source: {why}"))?;
        check_key_id(&self.key_id).map_err(|why| format!("failed to validate key id: {why}"))?;
        check_annotations(&self.annotations).map_err(|why| format!("failed to validate annotations: {why}"))
    }
}

fn check_annotations(annotations: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let wrong = |key: &String| {
        let fully = key.contains('.') && api_types::validation::names::dns1123_subdomain(key).is_empty();
        (!fully).then(|| format!("annotations: Invalid value: {key:?}: should be a domain with at least two segments"))
    };
    if let Some(why) = annotations.keys().find_map(wrong) {
        return Err(why);
    }
    match annotations.iter().map(|(key, value)| key.len() + value.len()).sum() {
        0..=ANNOTATIONS => Ok(()),
        size => Err(format!("total size of annotations is {size}, which exceeds the max size of {ANNOTATIONS}")),
    }
}

/// A connection to a service, which is made when it is needed, and anew when it was lost.
#[derive(Clone, Debug)]
pub struct Service(Channel);

impl Service {
    /// The service that listens at a socket. Needs a runtime around it; connects later.
    ///
    /// # Errors
    /// When the path cannot be one.
    pub fn new(socket: &Path, timeout: Duration) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
        Ok(Self(endpoint.timeout(timeout).connect_timeout(timeout).connect_lazy()))
    }

    /// Calls a method.
    ///
    /// # Errors
    /// What the service answers, or why there is no answer.
    pub async fn call<Q, A>(&self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(method);
        Ok(grpc.unary(Request::new(question), path, ProstCodec::<Q, A>::default()).await?.into_inner())
    }
}
