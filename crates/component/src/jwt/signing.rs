//! Signing.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, KeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;
use serde_json::json;

use super::{KeyError, PublicKey};

/// A key that signs tokens.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// The first private key in a PEM file.
    ///
    /// # Errors
    /// When there is none, or one that cannot be used.
    pub fn parse(pem: &[u8]) -> Result<Self, KeyError> {
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(KeyError::Pem)?;
            if let Some(key) = Self::of_section(kind, &der)? {
                return Ok(key);
            }
        }
        Err(KeyError::Missing("private"))
    }

    /// The private key in a section of a PEM file; `None` when the section holds something else.
    pub(super) fn of_section(kind: SectionKind, der: &[u8]) -> Result<Option<Self>, KeyError> {
        let pair = match kind {
            SectionKind::RsaPrivateKey => rsa::KeyPair::from_der(der).ok().map(Pair::Rsa),
            SectionKind::EcPrivateKey => ecdsa(der),
            SectionKind::PrivateKey => rsa::KeyPair::from_pkcs8(der).ok().map(Pair::Rsa).or_else(|| ecdsa(der)),
            _ => return Ok(None),
        };
        let unusable = "a private key has to be RSA of 2048 bits or more, or ECDSA over P-256, P-384 or P-521";
        let pair = pair.ok_or_else(|| KeyError::Unusable(unusable.to_owned()))?;
        let public = PublicKey::new(&public(&pair)?)?;
        Ok(Some(Self { pair, public }))
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signed token that claims this.
    ///
    /// # Errors
    /// When the claims are no JSON, or the cryptography library fails.
    pub fn sign(&self, claims: &impl Serialize) -> anyhow::Result<String> {
        let header = json!({"alg": self.public.algorithm().name(), "kid": self.public.id()}).to_string();
        let payload = serde_json::to_vec(claims)?;
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
        }
    }
}

fn ecdsa(der: &[u8]) -> Option<Pair> {
    let curves = [&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED_SIGNING];
    curves.into_iter().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok()).map(Pair::Ecdsa)
}

fn public(pair: &Pair) -> Result<Vec<u8>, KeyError> {
    let der: Result<PublicKeyX509Der<'static>, _> = match pair {
        Pair::Rsa(pair) => pair.public_key().as_der(),
        Pair::Ecdsa(pair) => pair.public_key().as_der(),
    };
    Ok(der.map_err(|error| KeyError::Unusable(error.to_string()))?.as_ref().to_vec())
}
