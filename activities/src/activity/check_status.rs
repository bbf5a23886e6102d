//! `GET /checkstatus/{orderId}`: what an app may show for an order now. Apps poll it; it is what they believe.

use serde_json::json;

use crate::domain::ids::OrderId;
use crate::http_api::{ApiError, Request, Response, json_response};
use crate::log;
use crate::tables::check_status::CheckStatus;

/// Answers with the order's status: `pending`, `paid`, `refunded`, `declined` or `reversed`, with amount, what
/// went back of it, and time. `shop` is where
/// a refusal's page leads back to.
pub async fn answer(table: &CheckStatus, shop: &str, request: &Request) -> Response {
    status(table, request)
        .await
        .unwrap_or_else(|error| error.being_checked().answer(request, shop))
}

async fn status(table: &CheckStatus, request: &Request) -> Result<Response, ApiError> {
    let unknown = || {
        ApiError::new(404, "NOT_FOUND", "no payment was started for this order").about("orderId")
    };
    let order = request
        .path_parameters
        .get("orderId")
        .and_then(|id| OrderId::new(id).ok())
        .ok_or_else(unknown)?;
    log::order(&order);
    let status = table.get(&order).await.map_err(|error| {
        tracing::error!(reason = %error, "the check status could not be read");
        ApiError::new(
            503,
            "UNAVAILABLE",
            "the status cannot be read now: try again in a moment",
        )
    })?;
    let status = status.ok_or_else(unknown)?;
    let mut answer = json!({
        "orderId": order,
        "status": status.status,
        "amount": status.amount.to_string(),
        "refunded": status.refunded.to_string(),
        "updatedAt": status.updated_at,
    });
    if status.refunded_elsewhere {
        answer["refundedElsewhere"] = true.into();
    }
    Ok(json_response(200, &answer))
}
