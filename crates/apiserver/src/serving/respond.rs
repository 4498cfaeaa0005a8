//! Responses of the usual kinds.

use api_types::{status::StatusError, yaml};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::{Body, Response};
use crate::request::Encoding;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// An error, as a `Status` in JSON.
#[must_use]
pub fn error(error: &StatusError) -> Response {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, Body::from(error.encode()));
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// JSON.
#[must_use]
pub fn json(code: StatusCode, body: Body) -> Response {
    with_type(code, JSON, body)
}

/// An object in JSON bytes, written in the encoding that was settled with the client.
#[must_use]
pub fn object(code: StatusCode, encoding: Encoding, bytes: Bytes) -> Response {
    match encoding {
        Encoding::Json => json(code, Body::Full(bytes)),
        Encoding::Yaml => yaml(code, &bytes),
    }
}

fn yaml(code: StatusCode, bytes: &[u8]) -> Response {
    let tree: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let text = tree.map_err(|e| e.to_string()).and_then(|tree| yaml::to_string(&tree).map_err(|e| e.to_string()));
    match text {
        Ok(text) => with_type(code, YAML, Body::from(text)),
        Err(cause) => error(&StatusError::internal(cause)),
    }
}

/// Plain text.
#[must_use]
pub fn text(code: StatusCode, body: impl Into<Body>) -> Response {
    with_type(code, TEXT, body.into())
}

/// A body of some media type, which no proxy may keep.
#[must_use]
pub fn with_type(code: StatusCode, media_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, NO_CACHE);
    response
}

/// The answer for paths that lead nowhere, as Go's HTTP server gives it; clients make their own message of it.
#[must_use]
pub fn page_not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}
