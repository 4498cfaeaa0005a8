//! The keys with which values are encrypted: made here, and known to nobody who cannot ask the service.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};

use super::protocol::HKDF_SEED;
use crate::storage::{Key, encryption::CipherError};

/// The least size of a seed, the size of what a key is derived with, and that of the key.
const SIZE: usize = 32;

/// What values' keys come from.
pub enum Dek {
    /// From this seed and something random, which is stored before the value, each value's key is derived.
    Seed(Box<hmac::Key>),
    /// This is the key.
    Key(Box<LessSafeKey>),
}

impl Dek {
    /// A new seed, and its bytes for the service.
    pub fn generate() -> (Self, [u8; SIZE]) {
        let seed: [u8; SIZE] = rand::random();
        (Self::Seed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &seed))), seed)
    }

    /// What a service has decrypted.
    ///
    /// # Errors
    /// When it cannot be a seed or a key.
    pub fn parse(kind: i32, bytes: &[u8]) -> Result<Self, String> {
        if kind == HKDF_SEED {
            return match bytes.len() {
                ..SIZE => Err(format!("invalid seed length {} used for key generation", bytes.len())),
                _ => Ok(Self::Seed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))),
            };
        }
        let invalid = || format!("crypto/aes: invalid key size {}", bytes.len());
        let algorithm = match bytes.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            SIZE => &AES_256_GCM,
            _ => return Err(invalid()),
        };
        let key = UnboundKey::new(algorithm, bytes).map_err(|_| invalid())?;
        Ok(Self::Key(Box::new(LessSafeKey::new(key))))
    }

    /// Encrypts a value. Only seeds do: with one key for all values, random nonces would repeat one day.
    ///
    /// # Errors
    /// When this is no seed.
    pub fn seal(&self, at: &Key, value: &[u8]) -> Result<Vec<u8>, CipherError> {
        let Self::Seed(seed) = self else { return Err(CipherError::Failed) };
        let (info, nonce): ([u8; SIZE], [u8; NONCE_LEN]) = (rand::random(), rand::random());
        let mut text = value.to_vec();
        let (unique, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(at.as_str()));
        derive(seed, &info)?.seal_in_place_append_tag(unique, aad, &mut text).map_err(|_| CipherError::Failed)?;
        Ok([info.as_slice(), &nonce, &text].concat())
    }

    /// Decrypts a value.
    ///
    /// # Errors
    /// When it is damaged, or lies elsewhere than where it was written.
    pub fn open(&self, at: &Key, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        match self {
            Self::Key(key) => open_with(key, at, sealed),
            Self::Seed(seed) => {
                let (info, sealed) = sealed.split_first_chunk::<SIZE>().ok_or(CipherError::Wrong)?;
                open_with(&derive(seed, info)?, at, sealed)
            }
        }
    }
}

fn open_with(key: &LessSafeKey, at: &Key, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(CipherError::Wrong)?;
    let (nonce, mut text) = (Nonce::assume_unique_for_key(*nonce), text.to_vec());
    Ok(key.open_in_place(nonce, Aad::from(at.as_str()), &mut text)?.to_vec())
}

/// HKDF's second half (RFC 5869, 2.3) with SHA-256, for as many bytes as the hash has: its first block is all of it.
fn derive(seed: &hmac::Key, info: &[u8; SIZE]) -> Result<LessSafeKey, CipherError> {
    let mut block = hmac::Context::with_key(seed);
    block.update(info);
    block.update(&[1]);
    let key = UnboundKey::new(&AES_256_GCM, block.sign().as_ref()).map_err(|_| CipherError::Failed)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sealed_with_keys_of_their_own() {
        let (dek, seed) = Dek::generate();
        let at = Key::from("/registry/secrets/ns/a");
        let [one, two] = [dek.seal(&at, b"value").unwrap(), dek.seal(&at, b"value").unwrap()];
        assert_ne!(one[..SIZE], two[..SIZE]);
        assert_eq!(one.len(), SIZE + NONCE_LEN + 5 + 16, "as upstream lays it out");
        let again = Dek::parse(HKDF_SEED, &seed).unwrap();
        assert_eq!(again.open(&at, &one).unwrap(), b"value");
        assert!(again.open(&Key::from("/registry/secrets/ns/b"), &one).is_err(), "a value cannot be moved");
        for length in 0..one.len() {
            assert!(again.open(&at, &one[..length]).is_err());
        }
        assert!(Dek::parse(HKDF_SEED, &seed[1..]).is_err() && Dek::parse(0, &seed[1..]).is_err());
    }

    /// What older servers wrote with one key.
    #[test]
    fn plain_keys_are_read() {
        let at = Key::from("/registry/secrets/ns/a");
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; SIZE]).unwrap());
        let mut text = b"old".to_vec();
        let (nonce, aad) = (Nonce::assume_unique_for_key([1; NONCE_LEN]), Aad::from(at.as_str()));
        key.seal_in_place_append_tag(nonce, aad, &mut text).unwrap();
        let dek = Dek::parse(0, &[7; SIZE]).unwrap();
        assert_eq!(dek.open(&at, &[&[1; NONCE_LEN], text.as_slice()].concat()).unwrap(), b"old");
        assert!(dek.seal(&at, b"new").is_err());
    }

    /// RFC 5869's first test, its first block.
    #[test]
    fn keys_are_derived_as_the_standard_says() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let mut block = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &seed));
        block.update(&hex("f0f1f2f3f4f5f6f7f8f9"));
        block.update(&[1]);
        let expected = hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        assert_eq!(block.sign().as_ref(), expected);
    }
}
