//! Precomputed answers: bytes with their content type and ETag, and the conditional GET over them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// JSON as it is sent.
pub const JSON: &str = "application/json";

/// One precomputed answer.
#[derive(Clone, Debug)]
pub struct Document {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Quoted `ETag`: a hash of the uncompressed content.
    pub etag: HeaderValue,
    /// `Content-Encoding`, when the body is stored compressed.
    pub encoding: Option<&'static str>,
    /// What is sent.
    pub body: Bytes,
}

impl Document {
    /// A document that is stored as it is.
    #[must_use]
    pub fn plain(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { content_type, etag: etag(&body), encoding: None, body: body.into() }
    }

    /// The answer to a GET with these headers: the document, or 304 when the client has it.
    #[must_use]
    pub fn reply(&self, headers: &HeaderMap) -> Reply {
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/").as_bytes() == self.etag.as_bytes());
        Reply { status: if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK }, document: self.clone() }
    }
}

/// A quoted hash of `content`.
#[must_use]
pub fn etag(content: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", hash(content))).expect("hexadecimal digits are legal in a header")
}

/// SHA-256 in upper case hexadecimal, as upstream writes its discovery hashes.
#[must_use]
pub fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// What to send back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// 200 or 304.
    pub status: StatusCode,
    /// Its body goes out with 200 only.
    pub document: Document,
}
