//! JSON Web Tokens: signed by one's key, verified by public keys. Only signatures by RSA and ECDSA keys exist here: there
//! is no `none`, and no secret that signer and verifier share, so that a token cannot choose how it is believed.

mod algorithm;
mod claims;
mod jwk;
mod keys;
mod signing;
mod token;

pub use algorithm::Algorithm;
pub use claims::{Claims, Seconds, Untimely};
pub use jwk::{key_set, parse_key_set};
pub use keys::{KeyError, PublicKey, public_keys};
pub use signing::SigningKey;
pub use token::{BadSignature, Token};
