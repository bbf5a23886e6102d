//! The sandbox's own controls: `/sandbox/...`. They need no key.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::app::{App, State};
use crate::browser;
use crate::browser_return::ReturnFields;
use crate::callback;
use crate::cards::Card;
use crate::charge::{Channel, Charge, Notification, Refusing};
use crate::customer::Customer;
use crate::dialect::{Dialect, UnknownDialect};
use crate::error::{GatewayError, read_json};
use crate::faults::Fault;
use crate::gateway::read_amount;
use crate::keys::Rotation;
use crate::ledger::Merchant;
use crate::notify::{self, Delivery};
use crate::token::Token;
use crate::transaction_state::TransactionState;

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/sandbox/tokens",
            post(issue_token).options(preflight_token),
        )
        .route("/sandbox/tokens/{id}", get(token))
        .route("/sandbox/merchant", put(set_merchant))
        .route("/sandbox/key", put(rotate_key))
        .route("/sandbox/charges", get(charges))
        .route("/sandbox/charges/{id}", get(charge))
        .route("/sandbox/charges/{id}/dialect", put(speak))
        .route("/sandbox/charges/{id}/reversals", put(set_reversals))
        .route("/sandbox/charges/{id}/approve", post(approve))
        .route("/sandbox/charges/{id}/settle", post(settle))
        .route("/sandbox/charges/{id}/void", post(void))
        .route("/sandbox/charges/{id}/refund", post(refund))
        .route("/sandbox/charges/{id}/notify", post(notify_again))
        .route("/sandbox/charges/{id}/return", get(return_fields))
        .route("/sandbox/charges/{id}/callback", post(call_back))
        .route("/sandbox/settle", post(settle_all))
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
    /// The token's id. A random one if absent.
    token: Option<String>,
    /// How many milliseconds the issuer of a slow card takes. Five seconds if absent.
    issuer_delay_ms: Option<u64>,
}

async fn issue_token(Shared(app): Shared<App>, body: Bytes) -> Response {
    let issued = read_json(&body).and_then(|request: TokenRequest| {
        let card = Card::by_number(&request.card_number)
            .map_err(|known| GatewayError::refused("unknown_card", known))?;
        let dialect = match request.dialect {
            None => Dialect::Usual,
            Some(name) => dialect_named(&name)?,
        };
        let ids = &app.core.ids;
        let id = request.token.unwrap_or_else(|| Token::new_id(ids));
        Token::check_id(&id)?;
        let delay = request.issuer_delay_ms.map(Duration::from_millis);
        app.change(|state, now| {
            let token = Token::issue(&id, card, dialect, delay, ids, now);
            state.ledger.add_token(&id, token)
        })?;
        Ok(id)
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
        .charge_of_token(&id)
        .into_iter()
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

/// Replaces the secret key of the merchant account. From now on the former key signs nothing but the notifications of
/// charges in the dialect of a former key.
async fn rotate_key(Shared(app): Shared<App>, body: Bytes) -> Result<StatusCode, GatewayError> {
    let rotation: Rotation = read_json(&body)?;
    app.change(|state, _| {
        let rotated = state.keys(&app.core.config).rotate(rotation)?;
        state.ledger.rotated = Some(rotated);
        Ok(StatusCode::NO_CONTENT)
    })
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReversalsRequest {
    /// None accepts them again.
    refuse: Option<Refusing>,
}

/// Refuses every void and refund of the charge that the API asks for, or accepts them again. A person in the portal is
/// not refused.
async fn set_reversals(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, GatewayError> {
    let request: ReversalsRequest = read_json(&body)?;
    app.change(|state, _| {
        let charge = state.ledger.charge_mut(&id)?;
        charge.set_refusing(request.refuse);
        Ok(Json(charge.record(&app.base)).into_response())
    })
}

/// What a person wants besides a change of a charge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHand {
    /// How much to give back, in baht. All that is left if absent. For a refund only.
    amount: Option<Box<RawValue>>,
    /// Whether the merchant is notified. The bank's notifications may never come.
    #[serde(default = "yes")]
    notify: bool,
}

fn yes() -> bool {
    true
}

impl ByHand {
    /// Reads a body that may be empty.
    fn read(body: &[u8]) -> Result<Self, GatewayError> {
        read_json(if body.is_empty() { b"{}" } else { body })
    }

    /// As [`ByHand::read`], for a change of the whole charge.
    fn read_whole(body: &[u8]) -> Result<Self, GatewayError> {
        let wish = Self::read(body)?;
        if wish.amount.is_some() {
            return Err(GatewayError::invalid("only a refund has an `amount`"));
        }
        Ok(wish)
    }

    /// Changes the charge, and answers it. The merchant is notified as of every decision.
    fn change(
        &self,
        app: &App,
        id: &str,
        work: impl FnOnce(&mut Charge, Timestamp) -> Result<Option<String>, GatewayError>,
    ) -> Result<Response, GatewayError> {
        let (response, deliveries) = app.change(|state, now| {
            let charge = state.ledger.charge_mut(id)?;
            let refund_id = work(charge, now)?;
            let mut object = charge.object(&app.base);
            object.refund_id = refund_id;
            let response = Json(object).into_response();
            Ok((response, self.deliveries(app, state, id, now)?))
        })?;
        notify::deliver_all(app, deliveries);
        Ok(response)
    }

    fn deliveries(
        &self,
        app: &App,
        state: &mut State,
        id: &str,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, GatewayError> {
        if !self.notify {
            return Ok(Vec::new());
        }
        notify::prepare(app, state, id, now)
    }
}

/// Approves a declined charge after all, as an issuer now and then does.
async fn approve(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, GatewayError> {
    ByHand::read_whole(&body)?.change(&app, &id, |charge, now| {
        charge.approve_after_all(now)?;
        Ok(None)
    })
}

/// Settles the charge, as the nightly batch does with all of them.
async fn settle(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, GatewayError> {
    ByHand::read_whole(&body)?.change(&app, &id, |charge, now| {
        charge.settle(now)?;
        Ok(None)
    })
}

/// Settles every authorised charge, as the nightly batch does. Answers their ids.
async fn settle_all(Shared(app): Shared<App>, body: Bytes) -> Result<Response, GatewayError> {
    let wish = ByHand::read_whole(&body)?;
    let (settled, deliveries) = app.change(|state, now| {
        let ids = state.ledger.in_state(TransactionState::Authorized);
        let mut deliveries = Vec::new();
        for id in &ids {
            state.ledger.charge_mut(id)?.settle(now)?;
            deliveries.extend(wish.deliveries(&app, state, id, now)?);
        }
        Ok((ids, deliveries))
    })?;
    notify::deliver_all(&app, deliveries);
    Ok(Json(serde_json::json!({ "settled": settled })).into_response())
}

/// Cancels the charge by hand, as the merchant's portal does.
async fn void(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, GatewayError> {
    ByHand::read_whole(&body)?.change(&app, &id, |charge, now| {
        charge.void(Channel::Portal, now)?;
        Ok(None)
    })
}

/// Gives back by hand what is left of the charge or a part of it, as the merchant's portal does.
async fn refund(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, GatewayError> {
    let wish = ByHand::read(&body)?;
    let part = wish.amount.as_deref().map(read_amount).transpose()?;
    wish.change(&app, &id, |charge, now| {
        let amount = part.unwrap_or_else(|| charge.left());
        let refund = charge.refund(amount, Channel::Portal, None, &app.core.ids, now);
        refund.map(Some)
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
