//! A token as it is presented.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Algorithm, PublicKey};

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 64 << 10;

/// A token in its compact form, taken apart. Nothing in it is to be believed before [`Token::verify`].
#[derive(Debug)]
pub struct Token<'a> {
    algorithm: Algorithm,
    key_id: String,
    /// What is signed: header and payload as they were sent.
    signed: &'a [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What is read of a header. A token that needs to be understood in some other way says so in `crit`.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
    b64: Option<bool>,
}

#[derive(Deserialize)]
struct Issued {
    iss: Option<String>,
}

/// Nobody whose key is known signed the token.
#[derive(Debug, thiserror::Error)]
pub enum BadSignature {
    /// Nobody has the key that it names.
    #[error("invalid signature, no keys found")]
    NoKey,
    /// The signature is wrong.
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Wrong,
}

impl<'a> Token<'a> {
    /// Takes a token apart; `None` for what is none, or is signed in a way that is not among `algorithms`.
    #[must_use]
    pub fn parse(text: &'a str, algorithms: &[Algorithm]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.'))?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.crit.is_some() || header.b64 == Some(false) {
            return None;
        }
        let algorithm = Algorithm::named(&header.alg).filter(|named| algorithms.contains(named))?;
        Some(Self {
            algorithm,
            key_id: header.kid.unwrap_or_default(),
            signed: signed.as_bytes(),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Who issued it, as it says.
    #[must_use]
    pub fn issuer(&self) -> Option<String> {
        serde_json::from_slice::<Issued>(&self.payload).ok()?.iss
    }

    /// The key by which it is signed, as it says; empty when it does not.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What it claims, when one of the keys verifies it: those with the id that it names, all when it names none.
    ///
    /// # Errors
    /// When no key does, or the claims are something else.
    pub fn verify<T: DeserializeOwned>(&self, keys: &[PublicKey]) -> anyhow::Result<T> {
        let mut named = keys.iter().filter(|key| self.key_id.is_empty() || key.id() == self.key_id).peekable();
        if named.peek().is_none() {
            return Err(BadSignature::NoKey.into());
        }
        if !named.any(|key| key.verifies(self.algorithm, self.signed, &self.signature)) {
            return Err(BadSignature::Wrong.into());
        }
        Ok(serde_json::from_slice(&self.payload)?)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;
    use serde_json::{Value, json};

    use super::*;
    use crate::jwt::{SigningKey, public_keys};

    fn key() -> (SigningKey, Vec<PublicKey>) {
        let pair = KeyPair::generate().unwrap();
        let public = public_keys(pair.public_key_pem().as_bytes()).unwrap();
        (SigningKey::parse(pair.serialize_pem().as_bytes()).unwrap(), public)
    }

    fn encode(part: &Value) -> String {
        URL_SAFE_NO_PAD.encode(part.to_string())
    }

    #[test]
    fn what_is_signed_is_verified() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512]
        {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let key = SigningKey::parse(pair.serialize_pem().as_bytes()).unwrap();
            let public = public_keys(pair.public_key_pem().as_bytes()).unwrap();
            assert_eq!(&public[0], key.public(), "both halves have one id");
            let text = key.sign(&json!({"iss": "me", "sub": "x"})).unwrap();
            let token = Token::parse(&text, Algorithm::OF_SERVICE_ACCOUNTS).unwrap();
            assert_eq!((token.issuer().as_deref(), token.key_id()), (Some("me"), key.public().id()));
            assert_eq!(token.verify::<Value>(&public).unwrap()["sub"], "x");
        }
    }

    #[test]
    fn forged_tokens_are_not() {
        let (key, public) = key();
        let (_, others) = self::key();
        let text = key.sign(&json!({"sub": "x"})).unwrap();
        let parse = |text| Token::parse(text, Algorithm::OF_SERVICE_ACCOUNTS);
        let error = |token: Token<'_>, keys: &[PublicKey]| token.verify::<Value>(keys).unwrap_err().to_string();
        assert_eq!(error(parse(&text).unwrap(), &others), "invalid signature, no keys found");
        let other = others[0].clone().called(public[0].id().to_owned());
        assert_eq!(error(parse(&text).unwrap(), &[other]), "go-jose/go-jose: error in cryptographic primitive");
        let parts: Vec<&str> = text.split('.').collect();
        let changed = [parts[0], &encode(&json!({"sub": "y"})), parts[2]].join(".");
        assert!(error(parse(&changed).unwrap(), &public).contains("cryptographic primitive"));
        // A signature in another form than RFC 7518 has it, and one that a longer key would have.
        let mut long = text.clone();
        long.push_str("AAAA");
        assert!(parse(&long).is_none_or(|token| token.verify::<Value>(&public).is_err()));
    }

    #[test]
    fn a_token_does_not_choose_how_it_is_believed() {
        let (key, _) = key();
        let text = key.sign(&json!({"sub": "x"})).unwrap();
        let (_, rest) = text.split_once('.').unwrap();
        let with = |header: Value| format!("{}.{rest}", encode(&header));
        let refused = [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "es256"}),
            json!({"alg": "PS256"}),
            json!({"alg": "ES256", "crit": ["exp"]}),
            json!({"alg": "ES256", "b64": false}),
            json!({"kid": "x"}),
            json!([]),
        ];
        for header in refused {
            assert!(Token::parse(&with(header.clone()), Algorithm::OF_SERVICE_ACCOUNTS).is_none(), "{header}");
        }
        assert!(Token::parse(&with(json!({"alg": "ES256"})), Algorithm::OF_SERVICE_ACCOUNTS).is_some());
        let long = format!("{}.{}", "A".repeat(LONGEST), rest);
        for text in ["", ".", "..", "a.b", "a.b.c.d", "{}", "====.a.b", long.as_str()] {
            assert!(Token::parse(text, Algorithm::OF_SERVICE_ACCOUNTS).is_none(), "{text:.20}");
        }
    }

    #[test]
    fn a_key_is_used_in_its_own_way_only() {
        let (key, public) = key();
        let message = key.sign(&json!({})).unwrap();
        let token = Token::parse(&message, Algorithm::OF_SERVICE_ACCOUNTS).unwrap();
        for algorithm in [Algorithm::Rs256, Algorithm::Ps512, Algorithm::Es384] {
            assert!(!public[0].verifies(algorithm, token.signed, &token.signature));
        }
    }
}
