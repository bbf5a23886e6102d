//! 3-D Secure: the page that the shopper is sent to, and the way back to the shop.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::app::App;
use crate::browser_return::Return;
use crate::charge::{Charge, ShopperAction, ThreeDsResult};
use crate::error::GatewayError;
use crate::ledger::Ledger;
use crate::{notify, three_ds_pages};

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/3ds/{id}", get(show).post(act))
}

/// The charge with a 3-D Secure page under this id.
fn charge_with_three_ds<'a>(ledger: &'a Ledger, id: &str) -> Result<&'a Charge, GatewayError> {
    let charge = ledger.charge(id)?;
    if charge.has_three_ds() {
        return Ok(charge);
    }
    Err(GatewayError::not_found(
        "no_three_ds",
        "the card of this charge has no 3-D Secure",
    ))
}

async fn show(Shared(app): Shared<App>, Path(id): Path<String>) -> Response {
    let state = app.lock();
    match charge_with_three_ds(&state.ledger, &id) {
        Ok(charge) if charge.waits_for_shopper() => three_ds_pages::challenge(charge, None),
        Ok(charge) => three_ds_pages::decided(&Return::of(&state.ledger, charge)),
        Err(e) => three_ds_pages::refused(&e),
    }
}

/// What the form asks for.
enum FormAction {
    /// Sends the one-time password.
    Confirm { otp: String },
    /// Lets the authentication fail.
    Fail,
    /// Leaves the page without an answer.
    Leave,
}

impl FormAction {
    fn read(body: &[u8]) -> Result<Self, GatewayError> {
        let (mut action, mut otp) = (String::new(), String::new());
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "action" => action = value.into_owned(),
                "otp" => otp = value.into_owned(),
                _ => {}
            }
        }
        match action.as_str() {
            "approve" => Ok(Self::Confirm { otp }),
            "fail" => Ok(Self::Fail),
            "leave" => Ok(Self::Leave),
            _ => Err(GatewayError::invalid(
                "the form's `action` must be approve, fail or leave",
            )),
        }
    }

    /// What the shopper does; none for leaving.
    fn of_shopper(&self) -> Option<ShopperAction<'_>> {
        match self {
            Self::Confirm { otp } => Some(ShopperAction::Confirm { otp: otp.trim() }),
            Self::Fail => Some(ShopperAction::Fail),
            Self::Leave => None,
        }
    }
}

/// What to answer: a page to a browser, JSON to a program.
enum Reply {
    Return(Return),
    WrongOtp(Response, GatewayError),
    Left(Response),
    /// The way back is lost. A browser gets this page. A program gets the return, and may drop it.
    Lost(Response, Return),
}

/// Continues with the slow issuers that were asked before the bank was stopped.
pub(crate) fn resume(app: &App) {
    let waiting: Vec<_> = app
        .lock()
        .ledger
        .charges()
        .into_iter()
        .filter(|charge| charge.waits_for_issuer())
        .map(|charge| (charge.id.clone(), charge.issuer_delay()))
        .collect();
    for (id, delay) in waiting {
        tokio::spawn(decide_late(app.clone(), id, delay));
    }
}

/// Lets a slow issuer decide. If the bank is stopped before, it does so when it runs again.
async fn decide_late(app: App, id: String, delay: Duration) {
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = app.stopped() => return,
    }
    let done = app.change(|state, now| {
        state.ledger.charge_mut(&id)?.decide_late(now);
        notify::prepare(&app, state, &id, now)
    });
    // If the state cannot be saved, the charge waits, as it does in the file.
    notify::deliver_all(&app, done.unwrap_or_default());
}

async fn act(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let as_json = wants_json(&headers);
    let action = FormAction::read(&body);
    match action.and_then(|action| take_action(&app, &id, &action)) {
        Ok(reply) => shown(reply, as_json),
        Err(e) if as_json => e.into_response(),
        Err(e) => three_ds_pages::refused(&e),
    }
}

/// Changes the charge as the form asks, and sends the notification of a decision.
fn take_action(app: &App, id: &str, action: &FormAction) -> Result<Reply, GatewayError> {
    let (reply, deliveries) = app.change(|state, now| {
        charge_with_three_ds(&state.ledger, id)?;
        let Some(action) = action.of_shopper() else {
            return Ok((Reply::Left(three_ds_pages::left()), Vec::new()));
        };
        let charge = state.ledger.charge_mut(id)?;
        let deliveries = match charge.authenticate(action, now) {
            ThreeDsResult::WrongOtp { left } => {
                let e = wrong_otp(left);
                let again = three_ds_pages::challenge(charge, Some(&e.message));
                let page = (e.status, again).into_response();
                return Ok((Reply::WrongOtp(page, e), Vec::new()));
            }
            ThreeDsResult::Decided => notify::prepare(app, state, id, now)?,
            ThreeDsResult::Asked => {
                let delay = charge.issuer_delay();
                tokio::spawn(decide_late(app.clone(), id.to_owned(), delay));
                Vec::new()
            }
            ThreeDsResult::AlreadyDecided => Vec::new(),
        };
        Ok((way_back(&state.ledger, id)?, deliveries))
    })?;
    notify::deliver_all(app, deliveries);
    Ok(reply)
}

fn way_back(ledger: &Ledger, id: &str) -> Result<Reply, GatewayError> {
    let charge = ledger.charge(id)?;
    let back = Return::of(ledger, charge);
    if !charge.loses_the_callback() {
        return Ok(Reply::Return(back));
    }
    let page = three_ds_pages::lost(charge, ledger.merchant.shop_url.as_deref());
    Ok(Reply::Lost(page, back))
}

fn shown(reply: Reply, as_json: bool) -> Response {
    match reply {
        Reply::Return(back) | Reply::Lost(_, back) if as_json => Json(back).into_response(),
        Reply::Return(back) => three_ds_pages::returning(&back),
        Reply::WrongOtp(_, e) if as_json => e.into_response(),
        Reply::WrongOtp(page, _) => page,
        Reply::Left(_) if as_json => Json(serde_json::json!({"left": true})).into_response(),
        Reply::Left(page) | Reply::Lost(page, _) => page,
    }
}

fn wrong_otp(left: u8) -> GatewayError {
    let tries = if left == 1 { "1 try is" } else { "2 tries are" };
    GatewayError::with(
        StatusCode::UNPROCESSABLE_ENTITY,
        "wrong_otp",
        format!("The password is wrong. {tries} left."),
    )
}

/// Whether the client is a program that reads JSON, and not a browser, which prefers HTML.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accepted.contains("application/json") && !accepted.contains("text/html")
}
