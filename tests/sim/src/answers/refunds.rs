//! How refunds end that the back office asks for.

use anyhow::{Context, Result};
use payment3_bank::Manner;
use payment3_model::Machine;
use serde_json::json;

use super::desk::Desk;
use crate::world::World;

/// What the back office asks for, and how it ends.
pub(super) async fn answers(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let (unpaid, order) = (desk.order(150_000, &json!({}))?, paying.order.clone());
    let elsewhere = json!({"payment": {"isPaid": true, "paymentId": "somebody's"}});
    let elsewhere = desk.order(150_000, &elsewhere)?;
    let fields = desk.confirm(&paying).await?;
    desk.post_return(&fields).await;
    desk.rest().await;
    world.bank().settle_all(false).await;
    let charge = paying.charge();
    for (number, input) in [
        json!([]),
        json!({}),
        json!({"refundId": "rf_1"}),
        json!({"refundId": "rf 1", "orderId": order}),
        json!({"refundId": "rf_1", "orderId": "ADDCARD"}),
        json!({"refundId": "rf_1", "orderId": "no order"}),
        json!({"refundId": "rf_1", "orderId": "482599999999"}),
        json!({"refundId": "rf_1", "orderId": unpaid}),
        json!({"refundId": "rf_1", "orderId": elsewhere}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "0"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1.005"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": true}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1500.01"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1", "reason": "two\nlines"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "1", "reason": 7}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "100.50", "reason": "  late  "}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "100.50"}),
        json!({"refundId": "rf_1", "orderId": order, "amount": "100.51"}),
        json!({"refundId": "rf_1", "orderId": order}),
        json!({"refundId": "rf_2", "orderId": order, "amount": 300, "reason": " "}),
        json!({"chargeId": charge, "amount": "1099.51"}),
        json!({"chargeId": charge, "amount": "1099.50", "recordKey": " "}),
        json!({"chargeId": "chrg_test_nobody"}),
        json!({"chargeId": charge, "refundId": null}),
        json!({"refundId": "rf_3", "orderId": order, "amount": null}),
        json!({"refundId": "rf_4", "orderId": order}),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("answers_{number}");
        world.start_refund(&name, &input);
        desk.rest().await;
        let ended = world.0.step_functions.describe(Machine::Refund, &name);
        let ended = ended.context("it was started")?;
        lines.push(format!(
            "{input}: {} {} {} {}",
            ended.state,
            ended.error.unwrap_or_default(),
            ended.cause.unwrap_or_default(),
            ended.output.unwrap_or_default()
        ));
    }
    lines.push(format!("shown: {}", desk.status(&order).await));
    Ok(lines)
}
