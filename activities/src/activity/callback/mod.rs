//! `/callback` and `POST /notify`: somebody reports that a charge was decided. Either may only start the saga, and only
//! for a charge that we know. The saga asks the bank.
//!
//! The browser's return is not signed, and anybody can post it. So returns start few executions of a charge: the first
//! attempt, whose name can be used once only, and two more in any ten minutes. A further return asks the bank at once,
//! at most every ten seconds, and starts an execution only if the bank has decided.
//!
//! The bank's notification is signed. Before it is answered 200, an authorisation is in the record, and the record is
//! open and due: whatever fails afterwards, reconciliation goes on.

mod browser_return;
mod notification;
mod start;

use crate::bank::Bank;
use crate::domain::callback_base::CallbackBases;
use crate::executions::Executions;
use crate::http_api::{ApiError, Request, Response};
use crate::tables::TableError;
use crate::tables::checkouts::Checkouts;
use crate::tables::orders::Orders;
use crate::tables::sources::Sources;

/// How often a record is read and written again that others keep changing.
const TRIES: u32 = 4;

/// What the callback touches.
pub struct Parts {
    /// The payments' records, wherever they were made.
    pub sources: Sources,
    /// This branch's own checkouts, for charges that are not stored yet.
    pub checkouts: Checkouts,
    /// For what an old record lacks.
    pub orders: Orders,
    /// The bank, whose key also signs notifications.
    pub bank: Bank,
    /// The saga of payments.
    pub executions: Executions,
    /// The saga of refunds, for what was given back by hand.
    pub refunds: Executions,
    /// Where browsers may be sent.
    pub bases: CallbackBases,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The shopper's browser comes back.
    Return,
    /// The bank notifies.
    Notification,
}

impl Route {
    /// Reads it from the key of the route that API Gateway took. An HTTP API has no route for an address with a slash
    /// at its end. Such a request comes by the default route, and is served as the route without the slash. `None` for
    /// any other.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let without_slash = || {
            let method = &request.request_context.http.method;
            let path = request.raw_path.as_deref()?.trim_end_matches('/');
            Some(format!("{method} {path}"))
        };
        let key = match request.route_key.as_deref()? {
            "$default" => without_slash()?,
            key => key.to_owned(),
        };
        match key.as_str() {
            "POST /callback" | "GET /callback" => Some(Self::Return),
            "POST /notify" => Some(Self::Notification),
            _ => None,
        }
    }
}

/// Answers a return, a notification, or a request that no other route takes.
pub async fn answer(parts: &Parts, request: &Request) -> Response {
    let route = Route::of(request);
    let answer = match route {
        Some(Route::Return) => browser_return::answer(parts, request).await,
        Some(Route::Notification) => notification::answer(parts, request).await,
        None => return nothing_here(request).answer(request, parts.bases.default_base()),
    };
    answer.unwrap_or_else(|error| {
        tracing::warn!(
            event = "refusal",
            route = ?route,
            code = error.code,
            details = %error.details,
            "refused"
        );
        error
            .being_checked()
            .answer(request, parts.bases.default_base())
    })
}

/// The answer to every other address. Whoever posted a checkout form with a slash too many has started nothing.
fn nothing_here(request: &Request) -> ApiError {
    let error = ApiError::new(404, "NOT_FOUND", "nothing has this address here");
    let path = request.raw_path.as_deref().unwrap_or_default();
    match path.trim_end_matches('/') {
        "/cardpayment" | "/cardtoken" => error,
        _ => error.being_checked(),
    }
}

fn unknown(field: &str) -> ApiError {
    ApiError::new(
        404,
        "NOT_FOUND",
        format!(
            "no payment has this charge: `{field}` must be the id of a charge made at checkout"
        ),
    )
    .about(field)
}

/// Nothing is lost where the record is in our table: it is open, and reconciliation comes back to it. To a foreign one
/// that is not copied only another return or notification comes back. One that cannot be read is told to the shop.
fn unavailable(error: TableError) -> ApiError {
    if !error.log_is_definite() {
        return cannot_now();
    }
    ApiError::new(
        503,
        "UNAVAILABLE",
        "what is stored of the payment cannot be read, and the shop has been told: ask the shop about the order",
    )
}

fn cannot_now() -> ApiError {
    ApiError::new(
        503,
        "UNAVAILABLE",
        "the payment cannot be looked up now: try again in a moment",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_api::Method;

    fn route(key: &str, method: Method, path: &str) -> Option<Route> {
        let mut request = Request::default();
        request.route_key = Some(key.into());
        request.raw_path = Some(path.into());
        request.request_context.http.method = method;
        Route::of(&request)
    }

    #[test]
    fn the_route_decides_and_not_how_an_address_ends() {
        for (key, method, path, expected) in [
            (
                "POST /callback",
                Method::POST,
                "/callback",
                Some(Route::Return),
            ),
            (
                "GET /callback",
                Method::GET,
                "/callback",
                Some(Route::Return),
            ),
            (
                "POST /callback",
                Method::POST,
                "/notify",
                Some(Route::Return),
            ),
            (
                "POST /notify",
                Method::POST,
                "/notify",
                Some(Route::Notification),
            ),
            ("$default", Method::POST, "/callback/", Some(Route::Return)),
            ("$default", Method::GET, "/callback//", Some(Route::Return)),
            (
                "$default",
                Method::POST,
                "/notify/",
                Some(Route::Notification),
            ),
            ("$default", Method::GET, "/notify/", None),
            ("$default", Method::DELETE, "/callback/", None),
            ("$default", Method::POST, "/callback/notify", None),
            ("$default", Method::POST, "/notify/callback", None),
            ("$default", Method::POST, "//callback", None),
            ("$default", Method::POST, "/", None),
            ("POST /cardpayment", Method::POST, "/callback", None),
        ] {
            assert_eq!(route(key, method, path), expected, "{key} {path}");
        }
    }
}
