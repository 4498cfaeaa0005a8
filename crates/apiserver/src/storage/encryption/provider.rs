//! How values are encrypted: what is written begins with the way and the key's name, as upstream has it, so that it is
//! found again whatever is configured first.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    cipher::{
        AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
        UnboundCipherKey,
    },
    error::Unspecified,
    iv::FixedLength,
};
use bytes::Bytes;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};

use super::kms::Kms;
use crate::storage::Key;

/// What every encrypted value begins with.
const ENCRYPTED: &[u8] = b"k8s:enc:";
const BLOCK: usize = 16;
const SECRETBOX_NONCE: usize = 24;

/// Why a value cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    /// No key that is configured has encrypted it.
    #[error("no matching prefix found")]
    NoKey,
    /// Without encryption it is not read.
    #[error("identity transformer tried to read encrypted data")]
    Encrypted,
    /// It is damaged, or was moved here from another key, or the key is another one of the same name.
    #[error("the value cannot be decrypted with the key of its name")]
    Wrong,
    /// The cryptography library failed.
    #[error("encrypting failed")]
    Failed,
    /// What is stored is not what a key management service leaves.
    #[error("{0}")]
    Malformed(String),
    /// The key management service does not do its part; it may later.
    #[error("{0}")]
    Kms(String),
}

impl From<Unspecified> for CipherError {
    fn from(_: Unspecified) -> Self {
        Self::Wrong
    }
}

/// A key with the way in which it is used.
pub enum Cipher {
    /// AES-CBC with PKCS #7 padding. It does not notice a change.
    AesCbc(Vec<u8>),
    /// AES-GCM, which also proves under which key of the store the value was written.
    AesGcm(Box<LessSafeKey>),
    /// XSalsa20 and Poly1305.
    Secretbox(Box<XSalsa20Poly1305>),
    /// With seeds that a key management service keeps.
    Kms(Arc<Kms>),
    /// None.
    Identity,
}

impl Cipher {
    /// AES-CBC.
    ///
    /// # Errors
    /// When the key is not of 16, 24 or 32 bytes.
    pub fn aes_cbc(key: &[u8]) -> Result<Self, String> {
        cbc_key(key).map_err(|_| unfit(key.len(), "[16 24 32]"))?;
        Ok(Self::AesCbc(key.to_vec()))
    }

    /// AES-GCM.
    ///
    /// # Errors
    /// When the key is not of 16, 24 or 32 bytes.
    pub fn aes_gcm(key: &[u8]) -> Result<Self, String> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            other => return Err(unfit(other, "[16 24 32]")),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| unfit(key.len(), "[16 24 32]"))?;
        Ok(Self::AesGcm(Box::new(LessSafeKey::new(key))))
    }

    /// Secretbox.
    ///
    /// # Errors
    /// When the key is not of 32 bytes.
    pub fn secretbox(key: &[u8]) -> Result<Self, String> {
        let cipher = XSalsa20Poly1305::new_from_slice(key).map_err(|_| unfit(key.len(), "[32]"))?;
        Ok(Self::Secretbox(Box::new(cipher)))
    }

    /// What stands before what this has encrypted with the key of this name.
    pub fn prefix(&self, name: &str) -> Vec<u8> {
        let way = match self {
            Self::AesCbc(_) => "aescbc",
            Self::AesGcm(_) => "aesgcm",
            Self::Secretbox(_) => "secretbox",
            Self::Kms(kms) => return format!("k8s:enc:kms:v2:{}:", kms.name()).into_bytes(),
            Self::Identity => return Vec::new(),
        };
        format!("k8s:enc:{way}:v1:{name}:").into_bytes()
    }

    async fn encrypt(&self, at: &Key, value: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut out = Vec::with_capacity(value.len() + 3 * BLOCK);
        match self {
            Self::Identity => out.extend_from_slice(value),
            Self::Kms(kms) => return kms.seal(at, value).await,
            Self::AesCbc(key) => {
                let mut text = value.to_vec();
                let key = PaddedBlockEncryptingKey::cbc_pkcs7(cbc_key(key)?)?;
                let context = key.encrypt(&mut text).map_err(|_| CipherError::Failed)?;
                let iv: &[u8] = (&context).try_into().map_err(|_| CipherError::Failed)?;
                out.extend_from_slice(iv);
                out.append(&mut text);
            }
            Self::AesGcm(key) => {
                let nonce: [u8; NONCE_LEN] = rand::random();
                let mut text = value.to_vec();
                let (unique, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(at.as_str()));
                key.seal_in_place_append_tag(unique, aad, &mut text).map_err(|_| CipherError::Failed)?;
                out.extend_from_slice(&nonce);
                out.append(&mut text);
            }
            Self::Secretbox(cipher) => {
                let nonce: [u8; SECRETBOX_NONCE] = rand::random();
                let text = cipher.encrypt(&nonce.into(), value).map_err(|_| CipherError::Failed)?;
                out.extend_from_slice(&nonce);
                out.extend(text);
            }
        }
        Ok(out)
    }

    /// The value, and whether its key is an old one.
    async fn decrypt(&self, at: &Key, sealed: &[u8]) -> Result<(Vec<u8>, bool), CipherError> {
        match self {
            Self::Kms(kms) => kms.open(at, sealed).await,
            local => Ok((local.decrypt_here(at, sealed)?, false)),
        }
    }

    fn decrypt_here(&self, at: &Key, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        match self {
            Self::Kms(_) => Err(CipherError::Failed),
            Self::Identity if sealed.starts_with(ENCRYPTED) => Err(CipherError::Encrypted),
            Self::Identity => Ok(sealed.to_vec()),
            Self::AesCbc(key) => {
                let (iv, text) = sealed.split_first_chunk::<BLOCK>().ok_or(CipherError::Wrong)?;
                let (mut text, iv) = (text.to_vec(), FixedLength::from(*iv));
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(cbc_key(key)?)?;
                Ok(key.decrypt(&mut text, DecryptionContext::Iv128(iv))?.to_vec())
            }
            Self::AesGcm(key) => {
                let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(CipherError::Wrong)?;
                let (nonce, mut text) = (Nonce::assume_unique_for_key(*nonce), text.to_vec());
                Ok(key.open_in_place(nonce, Aad::from(at.as_str()), &mut text)?.to_vec())
            }
            Self::Secretbox(cipher) => {
                let (nonce, text) = sealed.split_first_chunk::<SECRETBOX_NONCE>().ok_or(CipherError::Wrong)?;
                cipher.decrypt(&(*nonce).into(), text).map_err(|_| CipherError::Wrong)
            }
        }
    }
}

fn cbc_key(key: &[u8]) -> Result<UnboundCipherKey, Unspecified> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return Err(Unspecified),
    };
    UnboundCipherKey::new(algorithm, key)
}

fn unfit(length: usize, expected: &str) -> String {
    format!("secret is not of the expected length, got {length}, expected one of {expected}")
}

/// The ciphers of some resources: the first writes, all read.
pub struct Ciphers(Vec<(Vec<u8>, Cipher)>);

/// A value as it was before it was encrypted.
pub struct Opened {
    /// The value.
    pub value: Bytes,
    /// It would be written in another way now.
    pub stale: bool,
}

impl Ciphers {
    /// Keys by name, in their order.
    pub fn new(named: Vec<(String, Cipher)>) -> Self {
        Self(named.into_iter().map(|(name, cipher)| (cipher.prefix(&name), cipher)).collect())
    }

    /// The key management services among them.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Kms>> {
        self.0.iter().filter_map(|(_, cipher)| match cipher {
            Cipher::Kms(kms) => Some(kms),
            _ => None,
        })
    }

    /// A value as it is stored.
    ///
    /// # Errors
    /// When the cryptography library fails, or a key management service does.
    pub async fn seal(&self, at: &Key, value: &[u8]) -> Result<Bytes, CipherError> {
        let (prefix, cipher) = self.0.first().ok_or(CipherError::Failed)?;
        let sealed = cipher.encrypt(at, value).await?;
        Ok([prefix.as_slice(), &sealed].concat().into())
    }

    /// A value that was stored.
    ///
    /// # Errors
    /// When no cipher can read it.
    pub async fn open(&self, at: &Key, stored: &Bytes) -> Result<Opened, CipherError> {
        let matching = self.0.iter().enumerate().filter(|(_, (prefix, _))| stored.starts_with(prefix));
        let mut error = CipherError::NoKey;
        for (position, (prefix, cipher)) in matching {
            match cipher.decrypt(at, &stored[prefix.len()..]).await {
                Ok((value, old)) => return Ok(Opened { value: value.into(), stale: old || position > 0 }),
                Err(CipherError::Encrypted) => {}
                Err(wrong) => error = wrong,
            }
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ciphers(which: &[(&str, &str)]) -> Ciphers {
        let cipher = |way: &str, name: &str| {
            let key: Vec<u8> = name.bytes().cycle().take(32).collect();
            match way {
                "aescbc" => Cipher::aes_cbc(&key).unwrap(),
                "aesgcm" => Cipher::aes_gcm(&key[..24]).unwrap(),
                "secretbox" => Cipher::secretbox(&key).unwrap(),
                _ => Cipher::Identity,
            }
        };
        Ciphers::new(which.iter().map(|(way, name)| ((*name).to_owned(), cipher(way, name))).collect())
    }

    #[tokio::test]
    async fn what_is_sealed_is_opened() {
        let at = Key::from("/registry/secrets/ns/a");
        for way in ["aescbc", "aesgcm", "secretbox", "identity"] {
            for value in [&b""[..], b"0123456789abcdef", b"{\"kind\":\"Secret\"}"] {
                let own = ciphers(&[(way, "one"), ("identity", "")]);
                let sealed = own.seal(&at, value).await.unwrap();
                let expected = format!("k8s:enc:{way}:v1:one:");
                assert_eq!(sealed.starts_with(expected.as_bytes()), way != "identity");
                let opened = own.open(&at, &sealed).await.unwrap();
                assert_eq!((opened.value.as_ref(), opened.stale), (value, false), "{way}");
                if way != "identity" {
                    let rotated = ciphers(&[("secretbox", "new"), (way, "one")]);
                    assert!(rotated.open(&at, &sealed).await.unwrap().stale);
                    let without = ciphers(&[("secretbox", "new"), ("identity", "")]);
                    assert!(matches!(without.open(&at, &sealed).await, Err(CipherError::NoKey)));
                }
            }
        }
        let plain =
            ciphers(&[("aescbc", "one"), ("identity", "")]).open(&at, &Bytes::from_static(b"{}")).await.unwrap();
        assert!(plain.stale, "what was there before is still read");
    }

    #[tokio::test]
    async fn damage_is_noticed() {
        let at = Key::from("/registry/secrets/ns/a");
        for way in ["aesgcm", "secretbox", "aescbc"] {
            let own = ciphers(&[(way, "one")]);
            let sealed = own.seal(&at, b"value").await.unwrap();
            for length in 0..sealed.len() {
                assert!(own.open(&at, &sealed.slice(..length)).await.is_err(), "{way} cut to {length}");
            }
            let mut changed = sealed.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            // CBC has no way to know, except by the padding.
            let opened = own.open(&at, &changed.into()).await;
            assert!(opened.is_err() || way == "aescbc", "{way}");
        }
        let own = ciphers(&[("aesgcm", "one")]);
        let sealed = own.seal(&at, b"value").await.unwrap();
        assert!(own.open(&Key::from("/registry/secrets/ns/b"), &sealed).await.is_err(), "a value cannot be moved");
    }

    #[test]
    fn keys_have_their_lengths() {
        for length in [0, 15, 17, 33] {
            let key = vec![1; length];
            assert!(
                Cipher::aes_cbc(&key).is_err() && Cipher::aes_gcm(&key).is_err() && Cipher::secretbox(&key).is_err()
            );
        }
        let error = Cipher::aes_cbc(&[1; 15]).err().unwrap();
        assert_eq!(error, "secret is not of the expected length, got 15, expected one of [16 24 32]");
    }
}
