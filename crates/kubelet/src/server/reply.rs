//! Errors of the API, in upstream's words: plain text with a status code.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// An error as the client sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self { code: StatusCode::NOT_FOUND, text: text.into() }
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, text: text.into() }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self { code: StatusCode::UNPROCESSABLE_ENTITY, text: text.into() }
    }

    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self { code: StatusCode::INTERNAL_SERVER_ERROR, text: text.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.code, self.text).into_response()
    }
}
