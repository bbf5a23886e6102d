//! An order's account: what was paid, and what went back of it. And the back office, which gives money back.
//!
//! The page asks, and the site starts the refund with the back office's credentials: a browser gets none.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use payment3_harness::overview::Kind;
use payment3_harness::redact;
use payment3_harness::refunds::{Account, NewRefund, Standing, Started};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Parts;
use super::answer::Wrong;
use super::payments::without_person;

/// How long an answer waits for the refund. A refund that takes longer goes on by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// `GET /api/orders/{orderId}/account`.
pub(super) async fn read(
    State(parts): State<Parts>,
    Path(order_id): Path<String>,
) -> Result<Json<Value>, Wrong> {
    let account = Account::of(&parts.inspector, &order_id).await?;
    let account =
        account.ok_or_else(|| Wrong::not_found(format!("there is no order {order_id}")))?;
    let executions = match &account.charge_id {
        Some(charge) => parts.watch.of_charge(charge).await?,
        None => Vec::new(),
    };
    let refunds: Vec<_> = executions
        .into_iter()
        .filter(|line| line.kind != Kind::Payment)
        .collect();
    Ok(Json(redact::value(json!({
        "order": without_person(account.order.clone()),
        "account": account,
        "executions": refunds,
    }))))
}

/// A refund as the page's form asks for it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Form {
    /// Made when the form was loaded: a form that is sent twice is one refund.
    refund_id: String,
    /// As it was typed. Absent for all that is left.
    amount: Option<String>,
    reason: Option<String>,
}

/// What became of a refund so far.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// The execution's name.
    execution: String,
    #[serde(flatten)]
    standing: Standing,
}

/// `POST /api/orders/{orderId}/refunds`: gives back all or a part of what was paid.
pub(super) async fn refund(
    State(parts): State<Parts>,
    Path(order_id): Path<String>,
    Json(form): Json<Form>,
) -> Result<Json<Answer>, Wrong> {
    let new = NewRefund::new(&form.refund_id, &order_id);
    let refund = NewRefund {
        amount: form.amount,
        reason: form.reason.filter(|reason| !reason.trim().is_empty()),
        ..new.map_err(|error| Wrong::refused(error.to_string()))?
    };
    if parts.back_office.start(&refund).await? == Started::Otherwise {
        return Err(Wrong::refused(format!(
            "the refund {} was asked for before, with other values: nothing was done now",
            refund.refund_id
        )));
    }
    follow(&parts, refund.refund_id).await
}

/// `POST /api/orders/{orderId}/refunds/{refundId}/again`: starts a refund again, which goes on from where it stands. So
/// it need not wait for the hour in which it asks the bank again.
pub(super) async fn again(
    State(parts): State<Parts>,
    Path((order_id, refund_id)): Path<(String, String)>,
) -> Result<Json<Answer>, Wrong> {
    let again = parts.back_office.start_again(&refund_id, &order_id).await?;
    let again = again.ok_or_else(|| {
        Wrong::not_found(format!("the order {order_id} has no refund {refund_id}"))
    })?;
    follow(&parts, again).await
}

async fn follow(parts: &Parts, execution: String) -> Result<Json<Answer>, Wrong> {
    let report = parts.back_office.follow(&execution, PATIENCE).await?;
    Ok(Json(Answer {
        execution,
        standing: Standing::of(&report),
    }))
}
