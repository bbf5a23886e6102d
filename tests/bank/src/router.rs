//! All routes on one router, and what holds for each of them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;

use crate::app::App;
use crate::error::GatewayError;
use crate::{back_office, browser, gateway, sandbox, three_ds};

/// The largest request body; a charge is a few hundred bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// All routes.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .merge(gateway::routes())
        .merge(three_ds::routes())
        .merge(sandbox::routes())
        .merge(back_office::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(
            app.clone(),
            browser::only_own_pages,
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}

async fn no_route() -> GatewayError {
    GatewayError::not_found("not_found", "the bank serves nothing at this path")
}

async fn no_method() -> GatewayError {
    GatewayError::with(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the bank serves this path with another method",
    )
}
