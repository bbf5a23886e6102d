//! One payment: its record, its order, the bank's charge, and the events that the shop received. And reconciliation by
//! hand.

use axum::Json;
use axum::extract::{Path, State};
use payment3_harness::redact;
use serde_json::{Value, json};

use super::Parts;
use super::answer::Wrong;

/// `GET /api/payments/{chargeId}`.
pub(super) async fn read(
    State(parts): State<Parts>,
    Path(charge_id): Path<String>,
) -> Result<Json<Value>, Wrong> {
    let inspector = &parts.inspector;
    let record = inspector
        .record_by_charge(&charge_id)
        .await?
        .ok_or_else(|| Wrong::not_found(format!("no payment has the charge {charge_id}")))?;
    let order = match record["orderId"].as_str() {
        Some(id) => inspector.order(id).await?.map(without_person),
        None => None,
    };
    let payment = json!({
        "record": record,
        "order": order,
        "charge": inspector.bank_charge(&charge_id).await.ok(),
        "events": inspector.shop_events_of_charge(&charge_id).await?,
        "executions": parts.watch.of_charge(&charge_id).await?,
    });
    Ok(Json(redact::value(payment)))
}

/// What a page shows of an order: its owner and its payment, and no personal data.
pub(super) fn without_person(order: Value) -> Value {
    let data = &order["data"];
    let shown = ["ownerId", "basketId", "isDrafting", "orderDate", "payment"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), data.get(name)?.clone())))
        .collect();
    json!({"orderId": order["orderId"], "data": Value::Object(shown)})
}

/// `POST /api/payments/{chargeId}/reconcile`: reconciles a payment now, as the schedule does for one that got no
/// callback.
pub(super) async fn reconcile(
    State(parts): State<Parts>,
    Path(charge_id): Path<String>,
) -> Result<Json<Value>, Wrong> {
    let report = parts.operator.come_back_to(&charge_id).await?;
    Ok(Json(json!({"report": report})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_shown_without_personal_data() {
        let order = without_person(json!({"orderId": "1", "data": {
            "billingInfo": {"customerEmail": "a@example.com"},
            "shipping": {"shippingFirstName": "A", "shippingPhone": "0", "shippingAddress": "B"},
            "ownerId": "usr_1",
            "payment": {"isPaid": false},
        }}));
        assert_eq!(
            order,
            json!({"orderId": "1", "data": {"ownerId": "usr_1", "payment": {"isPaid": false}}})
        );
    }
}
