//! Sets of public keys as issuers publish them (RFC 7517).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use x509_parser::{prelude::FromDer, public_key, x509::SubjectPublicKeyInfo};

use super::{KeyError, PublicKey, keys::Family};

/// Keys in a set at most.
const MOST: usize = 100;

#[derive(Serialize, Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Jwk {
    #[serde(skip_serializing_if = "String::is_empty")]
    r#use: String,
    kty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    crv: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    alg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    x: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    y: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    n: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    e: String,
}

/// The set of these keys, as JSON.
///
/// # Errors
/// When a key is not sound.
pub fn key_set(keys: &[PublicKey]) -> Result<Vec<u8>, KeyError> {
    let keys = keys.iter().map(to_jwk).collect::<Result<_, _>>()?;
    serde_json::to_vec(&KeySet { keys }).map_err(|error| KeyError::Unusable(error.to_string()))
}

/// The keys of a set that verify signatures; those of other kinds are passed over.
///
/// # Errors
/// When it is no set, or a set of very many.
pub fn parse_key_set(json: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    let set: KeySet = serde_json::from_slice(json).map_err(|error| KeyError::Unusable(error.to_string()))?;
    if set.keys.len() > MOST {
        return Err(KeyError::Unusable(format!("more than {MOST} keys in a set")));
    }
    Ok(set.keys.iter().filter(|key| matches!(key.r#use.as_str(), "" | "sig")).filter_map(of_jwk).collect())
}

fn to_jwk(key: &PublicKey) -> Result<Jwk, KeyError> {
    let unusable = |error: String| KeyError::Unusable(error);
    let (_, info) = SubjectPublicKeyInfo::from_der(&key.der).map_err(|error| unusable(error.to_string()))?;
    let common = Jwk {
        r#use: "sig".to_owned(),
        kid: key.id().to_owned(),
        alg: key.algorithm().name().to_owned(),
        ..Jwk::default()
    };
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(without_zeros(bytes));
    match info.parsed().map_err(|error| unusable(error.to_string()))? {
        public_key::PublicKey::RSA(rsa) => {
            Ok(Jwk { kty: "RSA".to_owned(), n: number(rsa.modulus), e: number(rsa.exponent), ..common })
        }
        public_key::PublicKey::EC(point) => {
            let (x, y) = halves(point.data()).ok_or_else(|| unusable("a point that is compressed".to_owned()))?;
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            Ok(Jwk { kty: "EC".to_owned(), crv: curve(key.family).name.to_owned(), x, y, ..common })
        }
        _ => Err(unusable("neither RSA nor ECDSA".to_owned())),
    }
}

/// A curve: its name, the length of a coordinate, and its place in DER.
struct Curve {
    name: &'static str,
    length: usize,
    oid: &'static [u8],
}

fn curve(family: Family) -> Curve {
    match family {
        Family::P384 => Curve { name: "P-384", length: 48, oid: &[0x2b, 0x81, 0x04, 0x00, 0x22] },
        Family::P521 => Curve { name: "P-521", length: 66, oid: &[0x2b, 0x81, 0x04, 0x00, 0x23] },
        Family::P256 | Family::Rsa => {
            Curve { name: "P-256", length: 32, oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] }
        }
    }
}

/// The coordinates of an uncompressed point.
fn halves(point: &[u8]) -> Option<(&[u8], &[u8])> {
    let (4, both) = point.split_first().map(|(form, both)| (*form, both))? else { return None };
    both.len().is_multiple_of(2).then(|| both.split_at(both.len() / 2))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn of_jwk(key: &Jwk) -> Option<PublicKey> {
    let der = match key.kty.as_str() {
        "RSA" => rsa_info(&number(&key.n)?, &number(&key.e)?),
        "EC" => {
            let curve = [Family::P256, Family::P384, Family::P521].map(curve);
            let curve = curve.into_iter().find(|curve| curve.name == key.crv)?;
            ec_info(&curve, &number(&key.x)?, &number(&key.y)?)?
        }
        _ => return None,
    };
    let public = PublicKey::new(&der).ok()?;
    Some(if key.kid.is_empty() { public } else { public.called(key.kid.clone()) })
}

fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(without_zeros(&bytes).to_vec()).filter(|number| !number.is_empty())
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OBJECT: u8 = 0x06;
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

fn rsa_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        // What begins with a set bit would be negative.
        let padding: &[u8] = if number.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
        der(INTEGER, &[padding, number])
    };
    let key = der(SEQUENCE, &[&integer(modulus), &integer(exponent)]);
    let algorithm = der(SEQUENCE, &[&der(OBJECT, &[RSA]), &[0x05, 0x00]]);
    der(SEQUENCE, &[&algorithm, &der(BITS, &[&[0], &key])])
}

fn ec_info(curve: &Curve, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    let padding = |number: &[u8]| curve.length.checked_sub(number.len()).map(|missing| vec![0; missing]);
    let (before_x, before_y) = (padding(x)?, padding(y)?);
    let algorithm = der(SEQUENCE, &[&der(OBJECT, &[EC]), &der(OBJECT, &[curve.oid])]);
    Some(der(SEQUENCE, &[&algorithm, &der(BITS, &[&[0, 4], &before_x, x, &before_y, y])]))
}

/// A value in DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = without_zeros(&length);
    let mut value = vec![tag];
    match *length {
        [] => value.push(0),
        [short] if short < 0x80 => value.push(short),
        _ => {
            value.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            value.extend_from_slice(length);
        }
    }
    value.extend(content);
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwt::{SigningKey, public_keys};

    /// Of RFC 7515, appendix A.2.
    const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

    #[test]
    fn keys_go_both_ways() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512]
        {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let key = SigningKey::parse(pair.serialize_pem().as_bytes()).unwrap();
            let set = key_set(std::slice::from_ref(key.public())).unwrap();
            assert_eq!(parse_key_set(&set).unwrap(), [key.public().clone()], "{}", String::from_utf8_lossy(&set));
        }
        let rsa = json!({"keys": [
            {"kty": "oct", "k": "AAAA"},
            {"kty": "RSA", "use": "enc", "n": MODULUS, "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "RSA", "n": MODULUS, "e": "AQAB", "kid": "mine"},
        ]});
        let keys = parse_key_set(rsa.to_string().as_bytes()).unwrap();
        assert_eq!(keys.iter().map(PublicKey::id).collect::<Vec<_>>(), ["mine"]);
        let written: serde_json::Value = serde_json::from_slice(&key_set(&keys).unwrap()).unwrap();
        let expected = json!({"use": "sig", "kty": "RSA", "kid": "mine", "alg": "RS256", "n": MODULUS, "e": "AQAB"});
        assert_eq!(written["keys"][0], expected);
        assert!(parse_key_set(b"{}").is_err());
    }

    #[test]
    fn the_id_is_the_hash_of_the_key() {
        // openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64
        let pem = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGu+U2uFb/M5F0vLX9VfsZ18fxhUE
LWXTVo4s1KUANV4lhzb2zT+z8JiRGI5VpGCGXe6z4LfEVwxWI1wSlX2iTA==
-----END PUBLIC KEY-----
";
        assert_eq!(public_keys(pem.as_bytes()).unwrap()[0].id(), "BtPxR9m-sH3KMWyT_SxbKFNakoGeZRhiJzgx3w8QW0g");
    }
}
