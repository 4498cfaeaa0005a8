//! Requests for certificates.

use std::collections::BTreeMap;

use api_types::{certificates::CertificateSigningRequestCondition, k8s_openapi::ByteString, meta::ObjectMeta};
use serde::Deserialize;

/// A request for a certificate.
#[derive(Clone, Debug, Deserialize)]
pub struct CertificateSigningRequest {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for, and by whom.
    pub spec: CertificateSigningRequestSpec,
    /// What became of it.
    #[serde(default)]
    pub status: CertificateSigningRequestStatus,
}

/// `spec` of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSigningRequestSpec {
    /// The request in PEM.
    pub request: ByteString,
    /// Who is to sign.
    pub signer_name: String,
    /// What the certificate is to be good for.
    pub usages: Vec<String>,
    /// How long it is to be good, in seconds.
    pub expiration_seconds: Option<i32>,
    /// Who asks; the API server says so.
    pub username: String,
    /// Their uid.
    pub uid: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// What else is known of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// `status` of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CertificateSigningRequestStatus {
    /// What was decided.
    pub conditions: Vec<CertificateSigningRequestCondition>,
    /// What was issued, in PEM; empty before.
    pub certificate: ByteString,
}

impl CertificateSigningRequest {
    /// The condition of this type, whose status can only be `True`.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&CertificateSigningRequestCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == kind)
    }
}

component::slim_resource!(CertificateSigningRequest => api_types::certificates::CertificateSigningRequest);
