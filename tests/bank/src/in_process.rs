//! A bank that is called within a process.

use std::io;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::Value;
use tower::ServiceExt;

use crate::app::App;
use crate::router::router;

/// A bank without a socket: the same routes are called directly. What it does later, it does in tasks of the runtime
/// that it was made in.
#[derive(Clone)]
pub struct InProcess {
    app: App,
    router: Router,
}

impl InProcess {
    pub(crate) fn new(app: App) -> Self {
        Self {
            router: router(app.clone()),
            app,
        }
    }

    /// Serves one request.
    ///
    /// # Errors
    /// A planned fault closes the connection without an answer.
    pub async fn call(&self, request: Request<Vec<u8>>) -> io::Result<Response<Vec<u8>>> {
        let answer = self.router.clone().oneshot(request.map(Body::from)).await;
        let (head, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
        let body = body.collect().await.map_err(io::Error::other)?;
        Ok(Response::from_parts(head, body.to_bytes().into()))
    }

    /// A charge and all that happened to it, as `GET /sandbox/charges/{id}` answers it.
    pub fn charge(&self, id: &str) -> Option<Value> {
        let state = self.app.lock();
        let charge = state.ledger.charge(id).ok()?;
        Some(value(&charge.record(&self.app.base)))
    }

    /// The id of the charge with this id or this `reference_order`, as an inquiry finds it.
    pub fn charge_id(&self, id_or_reference: &str) -> Option<String> {
        let state = self.app.lock();
        let charge = state.ledger.named(id_or_reference)?;
        Some(charge.id.clone())
    }

    /// The id of the charge that was made with a card token.
    pub fn charge_id_of_token(&self, token: &str) -> Option<String> {
        let state = self.app.lock();
        let charge = state.ledger.charge_of_token(token)?;
        Some(charge.id.clone())
    }

    /// All charges, the oldest first.
    pub fn charges(&self) -> Vec<Value> {
        let state = self.app.lock();
        let charges = state.ledger.charges();
        charges
            .iter()
            .map(|charge| value(&charge.record(&self.app.base)))
            .collect()
    }

    /// The charge that was made with a card token.
    pub fn charge_of_token(&self, token: &str) -> Option<Value> {
        let state = self.app.lock();
        let charge = state.ledger.charge_of_token(token)?;
        Some(value(&charge.record(&self.app.base)))
    }

    /// The customers that hold the card behind a token, the oldest first.
    pub fn customers_of_token(&self, token: &str) -> Vec<Value> {
        let state = self.app.lock();
        let customers = state.ledger.customers_with_card_of(token);
        customers
            .map(|customer| value(&customer.object()))
            .collect()
    }

    /// All customers, the oldest first.
    pub fn customers(&self) -> Vec<Value> {
        let state = self.app.lock();
        let customers = state.ledger.customers();
        customers
            .iter()
            .map(|customer| value(&customer.object()))
            .collect()
    }
}

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("what the bank answers is JSON")
}
