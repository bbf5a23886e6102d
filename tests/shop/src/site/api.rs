//! `/api`: the data of the pages, as JSON.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use payment3_bank::{CARDS, Dialect, PUBLIC_KEY, SandboxCard};
use payment3_harness::shopper::MERCHANT_ID;
use serde::Serialize;

use super::answer::Wrong;
use super::directory::{ListedOrder, User};
use super::{Parts, account, checkstatus, executions, payments};

/// The routes.
pub(super) fn routes() -> Router<Parts> {
    Router::new()
        .route("/api/environment", get(environment))
        .route("/api/orders", get(orders))
        .route("/api/orders/{orderId}/account", get(account::read))
        .route("/api/orders/{orderId}/refunds", post(account::refund))
        .route(
            "/api/orders/{orderId}/refunds/{refundId}/again",
            post(account::again),
        )
        .route("/api/users", get(users))
        .route("/api/executions", get(executions::list))
        .route("/api/executions/{name}", get(executions::read))
        .route("/api/executions/{name}/graph", get(executions::graph))
        .route("/api/payments/{chargeId}", get(payments::read))
        .route(
            "/api/payments/{chargeId}/reconcile",
            post(payments::reconcile),
        )
        .route("/api/payment3/checkstatus/{orderId}", get(checkstatus::ask))
}

/// What a checkout page needs to know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    api_url: String,
    bank_url: String,
    branch: String,
    merchant_id: &'static str,
    public_key: &'static str,
    cards: &'static [SandboxCard],
    dialects: Vec<OfferedDialect>,
}

/// A dialect that the bank can use for a payment.
#[derive(Serialize)]
struct OfferedDialect {
    name: &'static str,
    meaning: &'static str,
}

async fn environment(State(parts): State<Parts>) -> Json<Environment> {
    let outputs = &parts.outputs;
    Json(Environment {
        api_url: outputs.api_url.clone(),
        bank_url: outputs.bank_url.clone(),
        branch: outputs.branch.clone(),
        merchant_id: MERCHANT_ID,
        public_key: PUBLIC_KEY,
        cards: &CARDS,
        dialects: Dialect::ALL
            .iter()
            .map(|dialect| OfferedDialect {
                name: dialect.name(),
                meaning: dialect.meaning(),
            })
            .collect(),
    })
}

async fn orders(State(parts): State<Parts>) -> Result<Json<Vec<ListedOrder>>, Wrong> {
    Ok(Json(parts.directory.orders().await?))
}

async fn users(State(parts): State<Parts>) -> Result<Json<Vec<User>>, Wrong> {
    Ok(Json(parts.directory.users(&parts.inspector).await?))
}
