//! The gateway's error objects.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request that was refused, answered as `{"object":"error","code","message"}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GatewayError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    object: &'static str,
    code: &'static str,
    message: &'a str,
}

impl GatewayError {
    /// A refusal (HTTP 400) under a code of its own.
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::with(StatusCode::BAD_REQUEST, code, message)
    }

    /// The request itself is malformed (HTTP 400, `invalid_request`).
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::refused("invalid_request", message)
    }

    /// What the path names does not exist (HTTP 404).
    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::with(StatusCode::NOT_FOUND, code, message)
    }

    /// Any other status.
    pub(crate) fn with(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// No charge has this id.
    pub(crate) fn no_charge() -> Self {
        Self::not_found("charge_not_found", "there is no such charge")
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let object = ErrorObject {
            object: "error",
            code: self.code,
            message: &self.message,
        };
        (self.status, Json(object)).into_response()
    }
}

/// Reads a JSON body.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, GatewayError> {
    serde_json::from_slice(body)
        .map_err(|e| GatewayError::invalid(format!("the body is not the expected JSON: {e}")))
}
