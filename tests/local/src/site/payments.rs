//! One payment from all sides: the record, the order, the bank's charge, what the shop was told. And the schedule by hand.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::Parts;
use super::answer::Wrong;
use crate::redact;

/// How old a payment is made for reconciliation to look at it: more than the five minutes that it waits.
const OLD_ENOUGH: Duration = Duration::from_secs(6 * 60);

/// `GET /api/payments/{chargeId}`.
pub(super) async fn read(
    State(parts): State<Parts>,
    Path(charge_id): Path<String>,
) -> Result<Json<Value>, Wrong> {
    let look = &parts.look;
    let record = look
        .record_by_charge(&charge_id)
        .await?
        .ok_or_else(|| Wrong::not_found(format!("no payment has the charge {charge_id}")))?;
    let order = match record["orderId"].as_str() {
        Some(id) => look.order(id).await?.map(without_address),
        None => None,
    };
    let payment = json!({
        "record": record,
        "order": order,
        "charge": look.bank_charge(&charge_id).await.ok(),
        "events": look.shop_events_of_charge(&charge_id).await?,
        "executions": parts.watch.names_of(&charge_id).await?,
    });
    Ok(Json(redact::value(payment)))
}

/// An order without its customer's e-mail address, which no page needs.
fn without_address(mut order: Value) -> Value {
    if let Some(data) = order["data"].as_object_mut() {
        data.remove("email");
    }
    order
}

/// `POST /api/payments/{chargeId}/reconcile`: what the schedule does for a payment that nobody called back for, now.
pub(super) async fn reconcile(
    State(parts): State<Parts>,
    Path(charge_id): Path<String>,
) -> Result<Json<Value>, Wrong> {
    let record = parts
        .look
        .record_by_charge(&charge_id)
        .await?
        .ok_or_else(|| Wrong::not_found(format!("no payment has the charge {charge_id}")))?;
    let key = record["tokenId"].as_str().unwrap_or_default();
    let seconds = OLD_ENOUGH.as_secs().try_into().unwrap_or(i64::MAX);
    parts.operator.make_older(key, seconds).await?;
    match parts.operator.reconcile().await? {
        Ok(report) => Ok(Json(json!({"report": report}))),
        Err(error) => Err(Wrong::from(anyhow::anyhow!(
            "reconciliation failed: {}",
            error["errorMessage"]
                .as_str()
                .unwrap_or("without a message")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_shown_without_its_customers_address() {
        let order = without_address(
            json!({"orderId": "1", "data": {"email": "a@example.com", "ownerId": "usr_1"}}),
        );
        assert_eq!(order, json!({"orderId": "1", "data": {"ownerId": "usr_1"}}));
    }
}
