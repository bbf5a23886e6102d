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
use crate::{notify, page};

/// The routes.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/3ds/{id}", get(show).post(act))
}

/// The charge with a 3-D Secure page under this id.
fn challenged<'a>(ledger: &'a Ledger, id: &str) -> Result<&'a Charge, GatewayError> {
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
    match challenged(&state.ledger, &id) {
        Ok(charge) if charge.waits_for_shopper() => page::challenge(charge, None),
        Ok(charge) => page::decided(&Return::of(&state.ledger, charge)),
        Err(e) => page::refused(&e),
    }
}

/// What the form asks for.
enum Wish<'a> {
    Act(ShopperAction<'a>),
    Leave,
}

/// What to answer.
enum Reply {
    Return(Return),
    WrongOtp(Response, GatewayError),
    Left(Response),
    /// The way back is lost: a browser gets this page instead, a program the return, which it may drop.
    Lost(Response, Return),
}

/// How long a slow issuer takes.
const SLOW_ISSUER: Duration = Duration::from_secs(5);

/// Lets every slow issuer decide that was asked before the bank was stopped.
pub(crate) fn resume(app: &App) {
    let waiting: Vec<_> = app
        .lock()
        .ledger
        .charges()
        .into_iter()
        .filter(|charge| charge.waits_for_issuer())
        .map(|charge| charge.id.clone())
        .collect();
    for id in waiting {
        tokio::spawn(decide_late(app.clone(), id));
    }
}

/// What becomes of a charge whose issuer is slow. Stopped before, the bank does it when it runs again.
async fn decide_late(app: App, id: String) {
    tokio::select! {
        () = tokio::time::sleep(SLOW_ISSUER) => {}
        () = app.stopped() => return,
    }
    let done = app.change(|state, now| {
        state.ledger.charge_mut(&id)?.decide_late(now);
        notify::prepare(&app, state, &id, now)
    });
    // A state that cannot be saved leaves the charge waiting, as the file has it.
    notify::deliver_all(&app, done.unwrap_or_default());
}

async fn act(
    Shared(app): Shared<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let as_json = wants_json(&headers);
    let (mut action, mut otp) = (String::new(), String::new());
    for (name, value) in url::form_urlencoded::parse(&body) {
        match name.as_ref() {
            "action" => action = value.into_owned(),
            "otp" => otp = value.into_owned(),
            _ => {}
        }
    }
    let wish = match action.as_str() {
        "approve" => Wish::Act(ShopperAction::Confirm { otp: otp.trim() }),
        "fail" => Wish::Act(ShopperAction::Fail),
        "leave" => Wish::Leave,
        _ => {
            let e = GatewayError::invalid("the form's `action` must be approve, fail or leave");
            return refuse(e, as_json);
        }
    };

    let done = app.change(|state, now| {
        challenged(&state.ledger, &id)?;
        let Wish::Act(action) = wish else {
            return Ok((Reply::Left(page::left()), Vec::new()));
        };
        let charge = state.ledger.charge_mut(&id)?;
        let deliveries = match charge.authenticate(action, now) {
            ThreeDsResult::WrongOtp { left } => {
                let e = wrong_otp(left);
                let again = page::challenge(charge, Some(&e.message));
                return Ok((
                    Reply::WrongOtp((e.status, again).into_response(), e),
                    Vec::new(),
                ));
            }
            ThreeDsResult::Decided => notify::prepare(&app, state, &id, now)?,
            ThreeDsResult::Asked => {
                tokio::spawn(decide_late(app.clone(), id.clone()));
                Vec::new()
            }
            ThreeDsResult::AlreadyDecided => Vec::new(),
        };
        let charge = state.ledger.charge(&id)?;
        let back = Return::of(&state.ledger, charge);
        let reply = if charge.loses_the_callback() {
            Reply::Lost(
                page::lost(charge, state.ledger.merchant.shop_url.as_deref()),
                back,
            )
        } else {
            Reply::Return(back)
        };
        Ok((reply, deliveries))
    });
    let reply = match done {
        Ok((reply, deliveries)) => {
            notify::deliver_all(&app, deliveries);
            reply
        }
        Err(e) => return refuse(e, as_json),
    };
    match reply {
        Reply::Return(back) | Reply::Lost(_, back) if as_json => Json(back).into_response(),
        Reply::Return(back) => page::returning(&back),
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

fn refuse(e: GatewayError, as_json: bool) -> Response {
    if as_json {
        e.into_response()
    } else {
        page::refused(&e)
    }
}

/// Whether the client is a program that reads JSON, and not a browser, which prefers HTML.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accepted.contains("application/json") && !accepted.contains("text/html")
}
