//! What every call of the gateway API has: a key, perhaps a planned fault, an effect, and a record.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::app::{App, State};
use crate::error::{GatewayError, read_json};
use crate::faults::{FaultKind, Operation};
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::notify::{self, Delivery};
use crate::requests::Request;

/// The body of a request, or why it cannot be read.
pub(crate) type Payload = Result<Bytes, BytesRejection>;

/// The page that a load balancer in front of the bank answers in an outage.
const PAGE: &str = "<!doctype html><html lang=\"en\"><title>Maintenance</title><p>We will be back soon.</p></html>";

/// What a request did.
pub(crate) struct Effect {
    /// The answer. It is made under the lock, so that it shows the state at that moment.
    answer: Response,
    notify: Notify,
}

/// Which notification a request leads to, and of which charge.
enum Notify {
    Nothing,
    /// That of a decision: as the merchant account, the card and planned faults want it.
    Decision(String),
    /// One in any case.
    Always(String),
    /// One in any case. The request is answered only after the merchant has answered it.
    First(String),
}

impl Effect {
    fn of(answer: Response) -> Self {
        Self {
            answer,
            notify: Notify::Nothing,
        }
    }

    /// An effect that is answered with `object`.
    pub(crate) fn answer(object: &impl Serialize) -> Self {
        Self::of(Json(object).into_response())
    }

    /// An effect that is answered with this text. It is JSON, perhaps after a blank line.
    pub(crate) fn text(text: String) -> Self {
        Self::of(([(CONTENT_TYPE, "application/json")], text).into_response())
    }

    /// No effect. The answer is the page of an outage.
    pub(crate) fn page() -> Self {
        Self::of(([(CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response())
    }

    /// A refusal. Only counters have changed.
    pub(crate) fn refusal(error: GatewayError) -> Self {
        Self::of(error.into_response())
    }

    /// The same; it also decided this charge, if there is one.
    pub(crate) fn with_notification(self, charge: Option<String>) -> Self {
        Self {
            notify: charge.map_or(Notify::Nothing, Notify::Decision),
            ..self
        }
    }

    /// The same, with a notification of this charge beside the answer, whatever the merchant account says.
    pub(crate) fn with_notification_always(self, charge: String) -> Self {
        Self {
            notify: Notify::Always(charge),
            ..self
        }
    }

    /// The same, with a notification of this charge before the answer, whatever the merchant account says.
    pub(crate) fn with_notification_first(self, charge: String) -> Self {
        Self {
            notify: Notify::First(charge),
            ..self
        }
    }
}

/// How a request ends.
enum Ending {
    Answer(Response),
    Hang(Duration),
}

/// What is left to do once the lock is released.
struct Decision {
    ending: Ending,
    deliveries: Vec<Delivery>,
    /// Whether the deliveries come before the ending.
    notify_first: bool,
}

impl Decision {
    fn without_effect(ending: Ending) -> Self {
        Self {
            ending,
            deliveries: Vec::new(),
            notify_first: false,
        }
    }

    fn refusal(error: GatewayError) -> Self {
        Self::without_effect(Ending::Answer(error.into_response()))
    }
}

/// When a request is decided.
enum Turn<E> {
    Now(Decision),
    /// After this delay, by this effect.
    Late(Duration, E),
}

/// Serves one request: checks the key, applies a planned fault, takes the effect and records it. All of this is under
/// one lock, apart from the effect of a late request: it comes by itself after the delay.
pub(crate) async fn perform<E>(app: App, operation: Operation, call: Call, effect: E) -> Response
where
    E: FnOnce(&Call, &mut Ledger, Timestamp) -> Result<Effect, GatewayError> + Send + 'static,
{
    let (delay, effect) = match decide(&app, operation, &call, effect) {
        Turn::Now(decision) => return end(&app, decision).await,
        Turn::Late(delay, effect) => (delay, effect),
    };
    // A task of its own: the server drops a request whose caller is gone.
    let late = tokio::spawn({
        let app = app.clone();
        async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = app.stopped() => return app.hang(Duration::ZERO).await,
            }
            let decision = {
                let mut state = app.lock();
                let decision = take_effect(&app, &mut state, &call, effect);
                log(
                    &mut state,
                    operation,
                    &call,
                    &decision,
                    Some(FaultKind::Late),
                );
                decision
            };
            end(&app, decision).await
        }
    });
    match late.await {
        Ok(response) => response,
        Err(_) => app.hang(Duration::ZERO).await,
    }
}

/// Does what is left to do once the lock is released.
async fn end(app: &App, decision: Decision) -> Response {
    for delivery in decision.deliveries {
        let delivered = tokio::spawn(notify::deliver(app.clone(), delivery));
        if decision.notify_first {
            // Its result is in the charge's record.
            let _ = delivered.await;
        }
    }
    match decision.ending {
        Ending::Answer(response) => response,
        Ending::Hang(delay) => app.hang(delay).await,
    }
}

fn decide<E>(app: &App, operation: Operation, call: &Call, effect: E) -> Turn<E>
where
    E: FnOnce(&Call, &mut Ledger, Timestamp) -> Result<Effect, GatewayError>,
{
    let mut state = app.lock();
    let mut fault = None;
    let decision = match call.authorise(state.keys(&app.core.config)) {
        Err(e) => Decision::refusal(e),
        Ok(()) => {
            let token = call.token_of_its_charge(&state.ledger);
            fault = state.faults.take(operation, token.as_deref());
            match &fault {
                None => take_effect(app, &mut state, call, effect),
                Some(fault) => match fault.kind {
                    FaultKind::Late => return Turn::Late(fault.delay, effect),
                    FaultKind::Error => Decision::refusal(planned_error()),
                    FaultKind::Busy => Decision::refusal(planned_refusal()),
                    FaultKind::LostAnswer => Decision {
                        ending: Ending::Hang(fault.delay),
                        ..take_effect(app, &mut state, call, effect)
                    },
                    _ => Decision::without_effect(Ending::Hang(fault.delay)),
                },
            }
        }
    };
    let fault = fault.map(|fault| fault.kind);
    log(&mut state, operation, call, &decision, fault);
    Turn::Now(decision)
}

fn log(
    state: &mut State,
    operation: Operation,
    call: &Call,
    decision: &Decision,
    fault: Option<FaultKind>,
) {
    state.requests.push(Request {
        operation,
        path: call.path.clone(),
        status: match &decision.ending {
            Ending::Answer(response) => Some(response.status().as_u16()),
            Ending::Hang(_) => None,
        },
        fault,
    });
}

fn take_effect(
    app: &App,
    state: &mut State,
    call: &Call,
    effect: impl FnOnce(&Call, &mut Ledger, Timestamp) -> Result<Effect, GatewayError>,
) -> Decision {
    let done = app.change_locked(state, |state, now| {
        let done = effect(call, &mut state.ledger, now)?;
        let has_address = state.ledger.merchant.notify_url.is_some();
        let (deliveries, notify_first) = match done.notify {
            Notify::Nothing => (Vec::new(), false),
            Notify::Decision(charge) => (notify::prepare(app, state, &charge, now)?, false),
            Notify::First(_) | Notify::Always(_) if !has_address => (Vec::new(), false),
            Notify::First(charge) => (vec![notify::prepare_one(app, state, &charge, now)?], true),
            Notify::Always(charge) => (vec![notify::prepare_one(app, state, &charge, now)?], false),
        };
        Ok(Decision {
            ending: Ending::Answer(done.answer),
            deliveries,
            notify_first,
        })
    });
    done.unwrap_or_else(Decision::refusal)
}

fn planned_error() -> GatewayError {
    GatewayError::with(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the sandbox was asked to fail this request",
    )
}

fn planned_refusal() -> GatewayError {
    GatewayError::with(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "the sandbox was asked to turn this request away",
    )
}

/// The parts of a request that every operation needs.
pub(crate) struct Call {
    path: String,
    headers: HeaderMap,
    /// The card token of a new charge.
    token: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let OriginalUri(uri) = OriginalUri::from_request_parts(parts, state).await?;
        Ok(Self {
            path: uri.path().to_owned(),
            headers: parts.headers.clone(),
            token: None,
        })
    }
}

impl Call {
    /// The same call, for a new charge with the card token in this body.
    pub(crate) fn charging(mut self, body: &Payload) -> Self {
        #[derive(Deserialize)]
        struct WithToken {
            token: String,
        }
        let read = |body: &Bytes| serde_json::from_slice(body).ok();
        let token = body.as_ref().ok().and_then(read);
        self.token = token.map(|WithToken { token }| token);
        self
    }

    /// The card token of the charge that this call makes or is about.
    fn token_of_its_charge(&self, ledger: &Ledger) -> Option<String> {
        let charge = || {
            let id_or_reference = self
                .path
                .strip_prefix("/card/v2/charge/")?
                .split('/')
                .next()?;
            Some(ledger.named(id_or_reference)?.token.clone())
        };
        self.token.clone().or_else(charge)
    }

    fn authorise(&self, keys: Keys<'_>) -> Result<(), GatewayError> {
        let message = match self.headers.get("x-api-key").map(|key| key.as_bytes()) {
            Some(key) if keys.accepts(key) => return Ok(()),
            Some(key) if key.starts_with(b"pkey_") => {
                "`x-api-key` holds a public key, which is for the browser; server calls need the secret key"
            }
            Some(_) => "`x-api-key` is not the secret key of this merchant account",
            None => "the header `x-api-key` is missing",
        };
        Err(GatewayError::with(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            message,
        ))
    }

    /// Reads the body of a request that may have none.
    pub(crate) fn json_if_any<T: DeserializeOwned>(
        &self,
        body: &Payload,
    ) -> Result<Option<T>, GatewayError> {
        if bytes(body)?.is_empty() {
            return Ok(None);
        }
        self.json(body).map(Some)
    }

    /// Reads the body.
    pub(crate) fn json<T: DeserializeOwned>(&self, body: &Payload) -> Result<T, GatewayError> {
        let body = bytes(body)?;
        let media_type = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let essence = media_type
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/json") {
            return Err(GatewayError::invalid(
                "the body must come as `Content-Type: application/json`",
            ));
        }
        read_json(body)
    }
}

fn bytes(body: &Payload) -> Result<&Bytes, GatewayError> {
    body.as_ref()
        .map_err(|e| GatewayError::invalid(format!("the body cannot be read: {e}")))
}
