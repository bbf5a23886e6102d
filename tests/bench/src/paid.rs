//! How a payment must end that was paid, in whichever system: as the tables, the bank and the shop tell it.

use anyhow::{Context, Result, ensure};
use payment3_harness::inspect::Inspector;
use payment3_harness::items::baht;
use payment3_harness::shop_api::Order;
use serde_json::{Value, json};

/// Checks everything that must hold for a paid order.
///
/// # Errors
/// What does not hold.
pub async fn ensure_paid(
    inspector: &Inspector,
    order: &Order,
    charge_id: &str,
    cards: usize,
) -> Result<()> {
    ensure_authorized(inspector, charge_id).await?;
    ensure_order_is_paid(inspector, order, charge_id).await?;
    ensure_apps_are_told(inspector, order, charge_id).await?;
    ensure_shop_is_told_once(inspector, charge_id).await?;
    ensure_cards_are_saved(inspector, order, cards).await
}

async fn ensure_authorized(inspector: &Inspector, charge_id: &str) -> Result<()> {
    let charge = inspector.bank_charge(charge_id).await?;
    let state = &charge["transaction_state"];
    ensure!(state == "Authorized", "the bank says {state}");
    Ok(())
}

async fn ensure_order_is_paid(inspector: &Inspector, order: &Order, charge_id: &str) -> Result<()> {
    let item = inspector.order(&order.order_id).await?;
    let payment = &item.context("no order")?["data"]["payment"];
    let expect = |field: &str, wanted: Value| {
        let is = &payment[field];
        ensure!(*is == wanted, "the order's payment has {field} = {is}");
        Ok(())
    };
    expect("isPaid", json!(true))?;
    expect("paymentId", json!(charge_id))?;
    expect("status", json!("paid"))?;
    for field in ["grandTotal", "totalPaid"] {
        let is = &payment[field];
        let same = baht(is).as_deref() == Some(order.grand_total.as_str());
        ensure!(same, "the order's payment has {field} = {is}");
    }
    let log = payment["paymentLog"].as_array().map_or(0, Vec::len);
    ensure!(log == 1, "the order's payment log has {log} entries");
    Ok(())
}

async fn ensure_apps_are_told(inspector: &Inspector, order: &Order, charge_id: &str) -> Result<()> {
    let status = inspector.check_status(&order.order_id).await?;
    let status = status.context("no status for apps")?;
    ensure!(
        status["status"] == "paid" && status["chargeId"] == charge_id,
        "apps are told {}",
        status["status"]
    );
    Ok(())
}

async fn ensure_shop_is_told_once(inspector: &Inspector, charge_id: &str) -> Result<()> {
    let events = inspector.shop_events_of_charge(charge_id).await?;
    ensure!(
        matches!(&events[..], [event] if event.verified && event.kind() == "payment.succeeded"),
        "the shop got {} events, and not one of success",
        events.len()
    );
    Ok(())
}

async fn ensure_cards_are_saved(inspector: &Inspector, order: &Order, cards: usize) -> Result<()> {
    let mapping = inspector.mapping(&order.owner_id).await?;
    let mapping = mapping.context("no mapping")?;
    let customer = mapping["kbank_id"].as_str().context("an empty mapping")?;
    let customer = inspector.bank_customer(customer).await?;
    let held = customer["cards"].as_array().map_or(0, Vec::len);
    ensure!(held == cards, "the customer has {held} cards, not {cards}");
    Ok(())
}
