//! Responses of the usual kinds.

use api_types::{status::StatusError, yaml};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::{Body, Response};
use crate::{
    protobuf,
    request::{Encoding, accept::Producible},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
/// An object in protocol buffers.
pub const PROTOBUF: HeaderValue = HeaderValue::from_static(protobuf::MEDIA_TYPE);
/// A watch in protocol buffers. One in JSON has no type of its own.
const PROTOBUF_WATCH: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// Marks the answer that is an error, and holds its `Status` in JSON.
#[derive(Clone, Debug)]
struct ErrorStatus(Bytes);

/// An error, as a `Status` in JSON.
#[must_use]
pub fn error(error: &StatusError) -> Response {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let status = Bytes::from(error.encode());
    let mut response = json(code, Body::Full(status.clone()));
    response.extensions_mut().insert(ErrorStatus(status));
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The same answer; when it is an error, its `Status` in another encoding than JSON.
#[must_use]
pub fn error_in(encoding: Encoding, mut response: Response) -> Response {
    if let Some(ErrorStatus(status)) = response.extensions_mut().remove() {
        let written = object(response.status(), encoding, status);
        let (head, body) = written.into_parts();
        *response.body_mut() = body;
        response.headers_mut().extend(head.headers);
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
        Encoding::Protobuf => match protobuf::Encoder::default().object(&bytes) {
            Ok(written) => with_type(code, PROTOBUF, Body::Full(Bytes::copy_from_slice(written))),
            Err(protobuf::ProtobufError::UnknownKind { .. }) => {
                error(&StatusError::not_acceptable(&Producible::Text.media_types()))
            }
            Err(cause) => error(&StatusError::internal(cause)),
        },
    }
}

/// A stream of an object's bytes, which have been encoded already.
#[must_use]
pub fn stream(encoding: Encoding, body: Body) -> Response {
    let media_type = match encoding {
        Encoding::Json => JSON,
        Encoding::Yaml => YAML,
        Encoding::Protobuf => PROTOBUF,
    };
    with_type(StatusCode::OK, media_type, body)
}

/// A watch, in frames of this encoding.
#[must_use]
pub fn watch(encoding: Encoding, body: Body) -> Response {
    let media_type = if encoding == Encoding::Protobuf { PROTOBUF_WATCH } else { JSON };
    with_type(StatusCode::OK, media_type, body)
}

fn yaml(code: StatusCode, bytes: &[u8]) -> Response {
    let tree: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let text = tree.map_err(|e| e.to_string()).and_then(|tree| yaml::to_string(&tree).map_err(|e| e.to_string()));
    match text {
        Ok(text) => with_type(code, YAML, Body::from(text)),
        Err(cause) => error(&StatusError::internal(cause)),
    }
}

/// Plain text, which no browser takes for something else.
#[must_use]
pub fn text(code: StatusCode, body: impl Into<Body>) -> Response {
    nothing_to_guess(with_type(code, TEXT, body.into()))
}

/// The same answer, of which nobody guesses what it is: upstream says so with what it answers in plain text, and with
/// refusals.
#[must_use]
pub fn nothing_to_guess(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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
