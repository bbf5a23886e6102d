//! Errors of `/api`: `{"error": …}` with a sentence that the page shows.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use payment3_harness::redact;
use serde_json::json;

/// An error, as a status and a sentence.
#[derive(Debug)]
pub(super) struct Wrong {
    status: StatusCode,
    message: String,
}

impl Wrong {
    /// There is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: message.into(),
        }
    }

    /// The request asks for something that is not possible.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
        }
    }
}

impl From<anyhow::Error> for Wrong {
    fn from(error: anyhow::Error) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            message: format!("{error:#}"),
        }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let body = json!({"error": redact::text(&self.message)});
        (self.status, Json(body)).into_response()
    }
}
