//! `/callback` and `POST /notify`: somebody says that a charge was decided. All that either may do is start the saga
//! for a charge that we know; the saga asks the bank. The browser's return is unsigned; the bank's notification is signed,
//! which spares the bank an answer to strangers and nothing more.

use serde_json::json;

use crate::bank::Gateway;
use crate::domain::callback_base::CallbackBases;
use crate::domain::charge::Outcome;
use crate::domain::claim::{Claim, ClaimedStatus};
use crate::domain::ids::{CardToken, ChargeId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::notification::Notification;
use crate::executions::{ExecutionInput, Executions, NotStarted, Source, Started};
use crate::http_api::{ApiError, Method, Request, Response, body, json_response, see_other};
use crate::log;
use crate::tables::TableError;
use crate::tables::checkouts::Checkouts;
use crate::tables::hints::{self, Hinted};
use crate::tables::orders::Orders;
use crate::tables::records::{Hint, Record};
use crate::tables::sources::{Found, Sources};

/// What the callback touches.
pub struct Parts {
    /// The payments' records, wherever they were made.
    pub sources: Sources,
    /// This branch's own checkouts, for charges that are not stored yet.
    pub checkouts: Checkouts,
    /// For the amount that an old record lacks.
    pub orders: Orders,
    /// The bank's key, with which it signs notifications.
    pub gateway: Gateway,
    /// The saga.
    pub executions: Executions,
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
    /// Reads it from the route that API Gateway took. The address only counts on the route for everything else, which is
    /// there because an HTTP API has no routes for addresses with a slash at the end. `None` for any other address.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let method = &request.request_context.http.method;
        match request.route_key.as_deref()? {
            "POST /callback" | "GET /callback" => Some(Self::Return),
            "POST /notify" => Some(Self::Notification),
            "$default" => {
                let path = request.raw_path.as_deref()?.trim_end_matches('/');
                match (method, path) {
                    (&Method::GET | &Method::POST, "/callback") => Some(Self::Return),
                    (&Method::POST, "/notify") => Some(Self::Notification),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Answers a return, a notification, or a request that no other route takes.
pub async fn answer(parts: &Parts, request: &Request) -> Response {
    let route = Route::of(request);
    let answer = match route {
        Some(Route::Return) => returned(parts, request).await,
        Some(Route::Notification) => notified(parts, request).await,
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

/// The browser's return: starts the saga and sends the browser to the shop's thank-you page. The `status` there is success
/// where that was claimed or the order is paid; apps believe their own check of the order. A saga that cannot be started
/// now is left to reconciliation, and the browser goes on.
async fn returned(parts: &Parts, request: &Request) -> Result<Response, ApiError> {
    if is_prefetch(request) {
        return Err(ApiError::new(
            425,
            "TOO_EARLY",
            "the address is opened in advance, and nothing was started: open it again",
        ));
    }
    let query = request.raw_query_string.as_deref().unwrap_or_default();
    let claim = Claim::read(query, &body(request)?)?;
    log::charge(&claim.charge_id);
    let found = match parts.sources.find(&claim.charge_id).await {
        Ok(None) => match &claim.token {
            Some(token) => find_by_token(&parts.sources, &claim.charge_id, token).await,
            None => Ok(None),
        },
        found => found,
    };
    let found = found
        .map_err(unavailable)?
        .ok_or_else(|| unknown("objectId"))?;
    log::order(found.order_id());
    let message = Message {
        source: Source::Callback,
        charge_id: &claim.charge_id,
        status: claim.status,
        says_paid: false,
        request_id: request.request_context.request_id.as_deref(),
    };
    if let Err(error) = start(parts, &message, &found).await {
        tracing::error!(%error, "the execution could not be started");
    }
    let callback = match &found {
        Found::Own(record) => record.callback.as_deref(),
        Found::Foreign(foreign) => foreign.callback.as_deref(),
    };
    let status = if found.is_paid() {
        ClaimedStatus::Success
    } else {
        claim.status
    };
    let amount = amount(parts, &found).await;
    let location = parts
        .bases
        .thank_you(callback, found.order_id(), status, amount);
    Ok(see_other(&location))
}

/// Whether a browser only looks ahead: nobody has come back then. It drops the refusal, and asks again when somebody does.
fn is_prefetch(request: &Request) -> bool {
    request
        .headers
        .get("sec-purpose")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|purpose| purpose.trim_start().starts_with("prefetch"))
}

/// The bank's notification: answered 200 once the saga is started, so that the bank sends it again otherwise.
async fn notified(parts: &Parts, request: &Request) -> Result<Response, ApiError> {
    let notification = Notification::parse(&body(request)?)?;
    let signed = parts.gateway.signed(&notification).await.map_err(|error| {
        tracing::error!(%error, "a notification could not be verified");
        cannot_now()
    })?;
    if !signed {
        return Err(ApiError {
            details: json!({"field": "checksum"}),
            ..ApiError::new(
                401,
                "INVALID_CHECKSUM",
                "`checksum` is not the bank's: the notification is not believed",
            )
        });
    }
    let charge_id = &notification.charge_id;
    log::charge(charge_id);
    let found = match parts.sources.find(charge_id).await.map_err(unavailable)? {
        // An index may be behind, and what is signed must not be dropped for that.
        Some(Found::Own(indexed)) => {
            let record = parts.sources.own().get(&indexed.key).await;
            record
                .map_err(unavailable)?
                .map(|record| Found::Own(Box::new(record)))
        }
        found => found,
    };
    let found = match found {
        Some(found) => Some(found),
        None => match hinted(parts, &notification).await? {
            Hinted::Stored(record) => Some(Found::Own(record)),
            Hinted::Kept => return Err(not_stored_yet()),
            Hinted::Unknown => None,
        },
    };
    let Some(found) = found else {
        if notification.says_paid() {
            tracing::error!(
                error = "OrphanCharge",
                "the bank has authorised a charge that no record knows"
            );
        }
        return Err(unknown("id"));
    };
    log::order(found.order_id());
    let message = Message {
        source: Source::Notify,
        charge_id,
        status: notification.status,
        says_paid: notification.says_paid(),
        request_id: request.request_context.request_id.as_deref(),
    };
    let started = match &found {
        Found::Own(record)
            if notification.says_paid() && record.outcome == Some(Outcome::Declined) =>
        {
            start_again(parts, &message, record).await
        }
        // Noted first: whoever decides the payment, this very execution too, must not close it as declined any more.
        Found::Own(record) if notification.says_paid() && record.outcome.is_none() => {
            match wake_up(parts, &message, record).await {
                Ok(()) => start(parts, &message, &found).await,
                not_noted => not_noted,
            }
        }
        found => start(parts, &message, found).await,
    };
    started.map_err(|error| {
        tracing::error!(%error, "the execution could not be started");
        cannot_now()
    })?;
    Ok(json_response(
        200,
        &json!({"responseCode": "200", "responseMSG": "OK"}),
    ))
}

/// Where the charge of a notification may belong that no record has stored.
async fn hinted(parts: &Parts, notification: &Notification) -> Result<Hinted, ApiError> {
    let (checkouts, order) = (&parts.checkouts, notification.order_id.as_ref());
    let hinted = hints::of_notification(checkouts, &notification.charge_id, order);
    hinted.await.map_err(unavailable)
}

/// Finds the record where the index lags behind checkout. Found by its token it counts only if its charge is this one,
/// or not stored yet.
async fn find_by_token(
    sources: &Sources,
    charge_id: &ChargeId,
    token: &CardToken,
) -> Result<Option<Found>, TableError> {
    let own = sources.own().get(&token.record_key()).await?;
    Ok(own
        .filter(|record| match &record.charge_id {
            Some(id) => id == charge_id,
            // Closed without one: the bank refused that checkout, and no charge will come of it.
            None => !record.is_closed(),
        })
        .map(|record| Found::Own(Box::new(record))))
}

/// What came in, as the execution is told.
struct Message<'a> {
    source: Source,
    charge_id: &'a ChargeId,
    status: ClaimedStatus,
    /// Whether the bank has signed that the charge is authorised.
    says_paid: bool,
    request_id: Option<&'a str>,
}

impl Message<'_> {
    fn input<'a>(&'a self, record_key: Option<&'a RecordKey>) -> ExecutionInput<'a> {
        ExecutionInput {
            source: self.source,
            charge_id: self.charge_id,
            status: Some(self.status),
            record_key,
            request_id: self.request_id,
        }
    }
}

/// Opens the record of a decline again, for a late authorisation that the bank has signed, and starts the next attempt.
/// A record that changed otherwise since it was read is not opened: the bank sends its notification again.
async fn start_again(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
) -> Result<(), NotStarted> {
    let own = parts.sources.own();
    let Some(attempt) = own.reopen_declined(record).await? else {
        // Another delivery of the notification may have opened it a moment ago: then this one is any second one.
        return match own.get(&record.key).await? {
            Some(record) if record.outcome != Some(Outcome::Declined) => {
                start(parts, message, &Found::Own(Box::new(record))).await
            }
            _ => Err(NotStarted::record_changed()),
        };
    };
    tracing::warn!(attempt, "late authorisation of a declined charge");
    let input = message.input(Some(&record.key));
    parts.executions.start(&input, attempt).await.map(|_| ())
}

/// Starts the saga, unless the payment is done.
async fn start(parts: &Parts, message: &Message<'_>, found: &Found) -> Result<(), NotStarted> {
    let (record_key, attempt) = match found {
        // One that was given up is asked for once more: its next attempt has never run, and only one execution can have the name.
        Found::Own(record) if record.is_closed() && !record.is_abandoned() => return Ok(()),
        // Checkout died before it stored the charge, and a return's word for which charge it was is not enough:
        // reconciliation asks the bank for it.
        Found::Own(record) if record.charge_id.is_none() => {
            let own = parts.sources.own();
            let noted = own.note_hint(&record.key, message.charge_id, Hint::Returned);
            if let Err(error) = noted.await {
                tracing::error!(%error, "the return could not be noted");
            }
            return Ok(());
        }
        Found::Own(record) => (Some(&record.key), record.attempt),
        Found::Foreign(foreign) if foreign.is_done() => return Ok(()),
        Found::Foreign(_) => (None, 0),
    };
    let input = message.input(record_key);
    match (parts.executions.start(&input, attempt).await?, found) {
        (Started::Now, _) => tracing::info!(attempt, "execution started"),
        // It may be about to give up waiting for the bank: have the payment looked at again soon.
        (Started::Already, Found::Own(record)) if record.outcome.is_none() => {
            wake_up(parts, message, record).await?;
        }
        (Started::Already, _) => {}
    }
    Ok(())
}

/// Has reconciliation look at the payment soon. What the bank has signed as authorised must be in the record by then: it
/// says so again where it could not be noted, or where a decline was recorded a moment before.
async fn wake_up(parts: &Parts, message: &Message<'_>, record: &Record) -> Result<(), NotStarted> {
    let own = parts.sources.own();
    let woken = own.wake_up(&record.key, message.says_paid).await?;
    if woken || !message.says_paid {
        return Ok(());
    }
    match own.get(&record.key).await? {
        Some(record) if record.outcome == Some(Outcome::Declined) => {
            Err(NotStarted::record_changed())
        }
        _ => Ok(()),
    }
}

/// What the thank-you page shows as the amount. An old record may lack it; its order has it. Only shown: where it cannot be
/// told, the page shows nothing paid, and the browser goes on.
async fn amount(parts: &Parts, found: &Found) -> Satang {
    let foreign = match found {
        Found::Own(record) => return record.amount,
        Found::Foreign(foreign) => foreign,
    };
    if let Some(amount) = foreign.amount {
        return amount;
    }
    match parts.orders.get(&foreign.order_id).await {
        Ok(Some(stored)) => stored.order.grand_total,
        Ok(None) => Satang::ZERO,
        Err(error) => {
            tracing::error!(%error, "the amount of an old payment could not be read");
            Satang::ZERO
        }
    }
}

fn unknown(field: &str) -> ApiError {
    ApiError {
        details: json!({"field": field}),
        ..ApiError::new(
            404,
            "NOT_FOUND",
            format!(
                "no payment has this charge: `{field}` must be the id of a charge made at checkout"
            ),
        )
    }
}

/// The bank notified before checkout had stored the charge, or its checkout died: what is kept is looked at soon, and by the
/// time the bank sends its notification again the charge is known.
fn not_stored_yet() -> ApiError {
    tracing::info!("the charge may be a checkout's that has none stored: kept there");
    ApiError::new(
        503,
        "UNAVAILABLE",
        "the payment is not stored yet: send the notification again in a moment",
    )
}

/// Nothing is lost: the record is open, and reconciliation comes back to it. One that cannot be read is told to the shop.
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
