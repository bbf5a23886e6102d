//! What reconciliation finds, from the first minute to the last day of a payment that does not go on by itself.

use std::time::Duration;

use anyhow::{Result, anyhow};
use payment3_bank::{Dialect, Manner};
use serde_json::json;
use tokio::time::sleep;

use super::desk::Desk;
use crate::scenario::done;
use crate::time::{DAY, HOUR, MINUTE};
use crate::world::World;

/// The shopper never comes back from the bank's page.
pub(super) async fn undecided(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let left = desk.pay(Manner::Approved, 150_000).await?;
    reconciled(&desk, &left.token).await
}

/// The bank's answer to the charge never came, and there is none.
pub(super) async fn perhaps_charged(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for dialect in [Dialect::Usual, Dialect::NoInquiryByReference] {
        let order = desk.order(150_000, &json!({}))?;
        let token = desk.token(Manner::Approved, dialect).await?;
        let fault = json!({"operation": "create_charge", "kind": "timeout", "token": token});
        done(world.bank().plan_fault(&fault).await)?;
        let form = desk.form(&token, &order, "1500.00");
        lines.push(format!(
            "{}: {}",
            dialect.name(),
            desk.check_out(&form).await
        ));
        lines.extend(reconciled(&desk, &token).await?);
    }
    Ok(lines)
}

/// As before, and the bank's key is another one since: it knows nothing of what the former one has charged.
pub(super) async fn charged_by_a_former_key(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let order = desk.order(150_000, &json!({}))?;
    let token = desk.token(Manner::Approved, Dialect::Usual).await?;
    let fault = json!({"operation": "create_charge", "kind": "timeout", "token": token});
    done(world.bank().plan_fault(&fault).await)?;
    let form = desk.form(&token, &order, "1500.00");
    let mut lines = vec![format!("checkout: {}", desk.check_out(&form).await)];
    let key = "skey_test_answers_0002";
    done(world.bank().rotate_key(key, false).await)?;
    world.put_bank_key(key);
    lines.extend(reconciled(&desk, &token).await?);
    Ok(lines)
}

/// The shop breaks the order while the shopper is at the bank, and mends it after a day.
pub(super) async fn unreadable(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    desk.change(&paying.order, &json!({"payment": {"grandTotal": "much"}}))?;
    let fields = desk.confirm(&paying).await?;
    desk.post_return(&fields).await;
    desk.rest().await;
    let mut lines = vec![format!("rest: {}", desk.record(&paying.token))];
    lines.extend(desk.executions());
    sleep(DAY).await;
    desk.change(&paying.order, &json!({"payment": {"grandTotal": 1500}}))?;
    world.redrive_all();
    desk.rest().await;
    lines.push(format!(
        "mended and redriven: {}",
        desk.record(&paying.token)
    ));
    lines.extend(desk.executions());
    lines.extend(reconciled(&desk, &paying.token).await?);
    lines.extend(desk.executions());
    Ok(lines)
}

/// The bank has another key than the deployment, which gets it after a day.
pub(super) async fn another_key(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    desk.confirm(&paying).await?;
    let key = "skey_test_answers_0002";
    done(world.bank().rotate_key(key, false).await)?;
    let mut lines = reconciled(&desk, &paying.token).await?;
    let other = desk.pay(Manner::ApprovedAtOnce, 150_000).await?;
    lines.push(format!("checkout with the former key: {}", other.answer));
    world.put_bank_key(key);
    sleep(10 * MINUTE).await;
    let other = desk.pay(Manner::ApprovedAtOnce, 150_000).await?;
    lines.push(format!("checkout with the key: {}", other.answer));
    desk.rest().await;
    lines.extend(reconciled(&desk, &paying.token).await?);
    Ok(lines)
}

/// What reconciliation finds again and again, until a month has passed.
async fn reconciled(desk: &Desk<'_>, token: &str) -> Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    let mut waited = Duration::ZERO;
    for pause in [
        MINUTE,
        MINUTE,
        10 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        DAY,
        DAY,
        7 * DAY,
        21 * DAY,
        DAY,
    ] {
        sleep(pause).await;
        waited += pause;
        let functions = &desk.world.0.functions;
        let report = functions.call("reconcile", "answers", json!({})).await;
        let mut report = report.map_err(|failed| anyhow!("{failed:?}"))?;
        // What is zero is not said.
        if let Some(counts) = report.as_object_mut() {
            counts.retain(|_, count| count.as_u64() != Some(0));
        }
        desk.rest().await;
        lines.push(format!(
            "  after {} minutes: {report}; {}",
            waited.as_secs() / 60,
            desk.record(token)
        ));
    }
    Ok(lines)
}
