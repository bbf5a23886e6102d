//! The sandbox's own controls: `/sandbox/...`. They need no key.

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use url::Url;

use crate::app::App;
use crate::browser;
use crate::browser_return::ReturnFields;
use crate::callback;
use crate::cards::Card;
use crate::charge::Notification;
use crate::customer::Customer;
use crate::dialect::{Dialect, UnknownDialect};
use crate::error::{GatewayError, read_json};
use crate::faults::Fault;
use crate::ledger::Merchant;
use crate::notify;

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/sandbox/tokens",
            post(issue_token).options(preflight_token),
        )
        .route("/sandbox/tokens/{id}", get(token))
        .route("/sandbox/merchant", put(set_merchant))
        .route("/sandbox/charges", get(charges))
        .route("/sandbox/charges/{id}", get(charge))
        .route("/sandbox/charges/{id}/dialect", put(speak))
        .route("/sandbox/charges/{id}/settle", post(settle))
        .route("/sandbox/charges/{id}/void", post(void))
        .route("/sandbox/charges/{id}/refund", post(refund))
        .route("/sandbox/charges/{id}/notify", post(notify_again))
        .route("/sandbox/charges/{id}/return", get(return_fields))
        .route("/sandbox/charges/{id}/callback", post(call_back))
        .route("/sandbox/customers", get(customers))
        .route("/sandbox/customers/{id}", get(customer))
        .route("/sandbox/faults", post(plan_fault).delete(clear_faults))
        .route("/sandbox/requests", get(requests))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    card_number: String,
    /// The payment's dialect. The usual one if absent.
    dialect: Option<String>,
}

async fn issue_token(Shared(app): Shared<App>, body: Bytes) -> Response {
    let issued = read_json(&body).and_then(|request: TokenRequest| {
        let card = Card::by_number(&request.card_number)
            .map_err(|known| GatewayError::refused("unknown_card", known))?;
        let dialect = match request.dialect {
            None => Dialect::Usual,
            Some(name) => dialect_named(&name)?,
        };
        app.change(|state, now| Ok(state.ledger.issue_token(card, dialect, now)))
    });
    let response = match issued {
        Ok(token) => Json(serde_json::json!({ "token": token })).into_response(),
        Err(e) => e.into_response(),
    };
    browser::allow_shop_origin(&app, response)
}

/// A browser asks this before it lets the shop's page send a card.
async fn preflight_token(Shared(app): Shared<App>) -> Response {
    browser::allow_shop_origin(&app, StatusCode::NO_CONTENT.into_response())
}

/// What was done with a card token: its charges (at most one, by the bank's rule) and the customers that hold its card.
async fn token(Shared(app): Shared<App>, Path(id): Path<String>) -> Response {
    let state = app.lock();
    let charges: Vec<_> = state
        .ledger
        .charges_of_token(&id)
        .map(|charge| charge.record(&app.base))
        .collect();
    let customers: Vec<_> = state
        .ledger
        .customers_with_card_of(&id)
        .map(Customer::object)
        .collect();
    Json(serde_json::json!({ "charges": charges, "customers": customers })).into_response()
}

async fn set_merchant(
    Shared(app): Shared<App>,
    body: Bytes,
) -> Result<Json<Merchant>, GatewayError> {
    let merchant: Merchant = read_json(&body)?;
    check_url("callbackUrl", merchant.callback_url.as_deref())?;
    check_url("notifyUrl", merchant.notify_url.as_deref())?;
    check_url("shopUrl", merchant.shop_url.as_deref())?;
    app.change(|state, _| {
        state.ledger.merchant = merchant.clone();
        Ok(())
    })?;
    Ok(Json(merchant))
}

fn check_url(field: &str, url: Option<&str>) -> Result<(), GatewayError> {
    let Some(url) = url else { return Ok(()) };
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(()),
        _ => Err(GatewayError::invalid(format!(
            "`{field}` must be an http or https URL, or null"
        ))),
    }
}

async fn charges(Shared(app): Shared<App>) -> Response {
    let state = app.lock();
    let records: Vec<_> = state
        .ledger
        .charges()
        .iter()
        .map(|charge| charge.record(&app.base))
        .collect();
    Json(records).into_response()
}

async fn charge(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
) -> Result<Response, GatewayError> {
    let state = app.lock();
    Ok(Json(state.ledger.charge(&id)?.record(&app.base)).into_response())
}

#[derive(Deserialize)]
struct SpeakRequest {
    dialect: String,
}

/// Sets the charge's dialect from now on.
async fn speak(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, GatewayError> {
    let request: SpeakRequest = read_json(&body)?;
    let dialect = dialect_named(&request.dialect)?;
    app.change(|state, _| {
        let charge = state.ledger.charge_mut(&id)?;
        charge.set_dialect(dialect);
        Ok(Json(charge.record(&app.base)).into_response())
    })
}

fn dialect_named(name: &str) -> Result<Dialect, GatewayError> {
    name.parse().map_err(|unknown: UnknownDialect| {
        GatewayError::refused("unknown_dialect", unknown.to_string())
    })
}

async fn settle(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
) -> Result<Response, GatewayError> {
    let (response, deliveries) = app.change(|state, now| {
        let charge = state.ledger.charge_mut(&id)?;
        charge.settle(now)?;
        let response = Json(charge.object(&app.base)).into_response();
        Ok((response, notify::prepare(&app, state, &id, now)?))
    })?;
    notify::deliver_all(&app, deliveries);
    Ok(response)
}

/// Cancels the charge by hand, as the merchant's portal does. No notification is sent.
async fn void(Shared(app): Shared<App>, Path(id): Path<String>) -> Result<Response, GatewayError> {
    app.change(|state, now| {
        let charge = state.ledger.charge_mut(&id)?;
        charge.void(now)?;
        Ok(Json(charge.object(&app.base)).into_response())
    })
}

/// Gives back by hand what is left of the charge. No notification is sent.
async fn refund(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
) -> Result<Response, GatewayError> {
    app.change(|state, now| {
        let charge = state.ledger.charge_mut(&id)?;
        let refund_id = charge.refund(charge.left_to_refund(), now)?;
        let mut object = charge.object(&app.base);
        object.refund_id = Some(refund_id);
        Ok(Json(object).into_response())
    })
}

async fn notify_again(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
) -> Result<Json<Notification>, GatewayError> {
    let delivery = app.change(|state, now| notify::prepare_one(&app, state, &id, now))?;
    Ok(Json(notify::deliver(app, delivery).await?))
}

async fn return_fields(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
) -> Result<Json<ReturnFields>, GatewayError> {
    Ok(Json(ReturnFields::of(app.lock().ledger.charge(&id)?)))
}

async fn call_back(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Vec<callback::Answer>>, GatewayError> {
    let request: callback::Request = read_json(&body)?;
    Ok(Json(callback::send(&app, &id, request).await?))
}

async fn customers(Shared(app): Shared<App>) -> Response {
    let state = app.lock();
    let objects: Vec<_> = state
        .ledger
        .customers()
        .iter()
        .map(|customer| customer.object())
        .collect();
    Json(objects).into_response()
}

async fn customer(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
) -> Result<Response, GatewayError> {
    Ok(Json(app.lock().ledger.customer(&id)?.object()).into_response())
}

async fn plan_fault(Shared(app): Shared<App>, body: Bytes) -> Result<Response, GatewayError> {
    let fault: Fault = read_json(&body)?;
    let mut state = app.lock();
    state.faults.plan(fault)?;
    Ok(Json(&state.faults).into_response())
}

async fn clear_faults(Shared(app): Shared<App>) -> StatusCode {
    app.lock().faults.clear();
    StatusCode::NO_CONTENT
}

async fn requests(Shared(app): Shared<App>) -> Response {
    Json(&app.lock().requests).into_response()
}
