//! Public keys, and how they are read from PEM files.

use std::fmt;

use aws_lc_rs::signature::UnparsedPublicKey;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::pem::{PemObject, SectionKind};
use sha2::{Digest, Sha256};
use x509_parser::{
    der_parser::{Oid, oid},
    prelude::FromDer,
    public_key,
    x509::SubjectPublicKeyInfo,
};

use super::{Algorithm, SigningKey};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not PEM.
    #[error("not PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// There is no key that is meant.
    #[error("data does not contain a valid RSA or ECDSA {0} key")]
    Missing(&'static str),
    /// There is one that is not sound, or not of a kind that is used.
    #[error("a key cannot be used: {0}")]
    Unusable(String),
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    P521,
}

const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const P384: Oid<'static> = oid!(1.3.132.0.34);
const P521: Oid<'static> = oid!(1.3.132.0.35);

impl Family {
    fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        let parsed = info.parsed().map_err(|error| KeyError::Unusable(error.to_string()))?;
        if matches!(parsed, public_key::PublicKey::RSA(_)) {
            return Ok(Self::Rsa);
        }
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let known = [(P256, Self::P256), (P384, Self::P384), (P521, Self::P521)];
        let known = known.into_iter().find_map(|(oid, family)| (curve.as_ref() == Some(&oid)).then_some(family));
        known.ok_or_else(|| KeyError::Unusable("neither RSA nor ECDSA over P-256, P-384 or P-521".to_owned()))
    }

    /// The algorithm by which keys of this kind sign.
    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::Rs256,
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }

    fn has(self, algorithm: Algorithm) -> bool {
        use Algorithm::{Es256, Es384, Es512};
        match algorithm {
            Es256 | Es384 | Es512 => algorithm == self.algorithm(),
            _ => self == Self::Rsa,
        }
    }
}

/// A key by which signatures are verified.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    pub(super) family: Family,
    /// The `SubjectPublicKeyInfo`.
    pub(super) der: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl PublicKey {
    /// A key in the form that certificates have. Its id is upstream's: from it nobody learns the key.
    ///
    /// # Errors
    /// When it is no key, or of a kind that is not used.
    pub fn new(der: &[u8]) -> Result<Self, KeyError> {
        let (rest, info) =
            SubjectPublicKeyInfo::from_der(der).map_err(|error| KeyError::Unusable(error.to_string()))?;
        let family = Family::of(&info)?;
        let der = der[..der.len() - rest.len()].to_vec();
        Ok(Self { id: URL_SAFE_NO_PAD.encode(Sha256::digest(&der)), family, der })
    }

    /// The same key under another id.
    #[must_use]
    pub fn called(self, id: String) -> Self {
        Self { id, ..self }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm that is meant when none is named.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.family.algorithm()
    }

    /// Whether this key's owner signed the message in this way.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.family.has(algorithm)
            && UnparsedPublicKey::new(algorithm.verification(), &self.der).verify(message, signature).is_ok()
    }
}

/// All keys in a PEM file: public keys, certificates, and the public halves of private keys. Other sections are passed
/// over.
///
/// # Errors
/// When there is no key, or one that cannot be used.
pub fn public_keys(pem: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(KeyError::Pem)?;
        keys.extend(match kind {
            SectionKind::PublicKey => Some(PublicKey::new(&der)?),
            SectionKind::Certificate => Some(of_certificate(&der)?),
            _ => SigningKey::of_section(kind, &der)?.map(|key| key.public().clone()),
        });
    }
    if keys.is_empty() { Err(KeyError::Missing("public")) } else { Ok(keys) }
}

fn of_certificate(der: &[u8]) -> Result<PublicKey, KeyError> {
    let parsed = x509_parser::parse_x509_certificate(der);
    let (_, certificate) = parsed.map_err(|error| KeyError::Unusable(error.to_string()))?;
    PublicKey::new(certificate.public_key().raw)
}
