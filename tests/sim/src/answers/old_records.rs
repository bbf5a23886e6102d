//! Payments that the former system began: their records are in its layout, under the card token itself.

use anyhow::Result;
use payment3_bank::Manner;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::desk::{Desk, OWNER, Paying, merge, record_key};
use crate::items;
use crate::scenario::done;
use crate::time::SECOND;
use crate::world::World;

/// What stands under the key of the copy before there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A checkout here with the same token, which the bank refused.
    Refused,
    /// A checkout here with the same token, which made another charge.
    OtherCharge,
}

/// Records of the former system with more and with less in them: a shopper comes back, and the bank notifies.
pub(super) async fn answers(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for (more, before) in [
        (
            json!({"amount": "1,500.00", "ownerId": OWNER}),
            Before::Nothing,
        ),
        (json!({"amount": 1500, "userId": OWNER}), Before::Nothing),
        (json!({"callback": "yourapp://payments"}), Before::Nothing),
        (json!({"orderId": "482599999999"}), Before::Nothing),
        (json!({"orderId": "no order"}), Before::Nothing),
        (json!({"amount": "1499.99"}), Before::Nothing),
        (json!({"status": true}), Before::Nothing),
        (json!({"handledBy": "another"}), Before::Nothing),
        (json!({"handledBy": "simulated"}), Before::Nothing),
        (json!({}), Before::Refused),
        (json!({}), Before::OtherCharge),
    ] {
        lines.push(format!("with {more}, {before:?} before:"));
        let paying = desk.pay(Manner::Approved, 150_000).await?;
        former(&desk, &paying, &more, before).await?;
        for time in ["pending", "approved"] {
            if time == "approved" {
                desk.confirm(&paying).await?;
            }
            let answer = done(world.bank().notify(paying.charge()).await)?;
            desk.rest().await;
            lines.push(format!("  notified, {time}: {answer:?}"));
            let answer = desk.bare_return(paying.charge()).await;
            desk.rest().await;
            lines.push(format!("  returned, {time}: {answer}"));
            lines.push(format!("  rest: {}", desk.record(&paying.token)));
        }
        let parts = &world.0;
        let left = parts.item(&parts.names.records, &paying.token);
        lines.push(format!("  left: {}", left.unwrap_or_default()));
        lines.push(format!("  shown: {}", desk.status(&paying.order).await));
    }
    lines.extend(desk.executions());
    Ok(lines)
}

/// Somebody deletes the former system's record once it is copied.
pub(super) async fn deleted(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    former(&desk, &paying, &json!({}), Before::Nothing).await?;
    desk.fails(&paying.token, "inquire", "error", 1).await?;
    let fields = desk.confirm(&paying).await?;
    let mut lines = vec![format!("returned: {}", desk.post_return(&fields).await)];
    desk.delete_record(&paying.token)?;
    desk.rest().await;
    lines.push(format!("rest: {}", desk.record(&paying.token)));
    lines.extend(desk.executions());
    Ok(lines)
}

/// The payment's record becomes one that the former system has written, with `more` in it.
async fn former(desk: &Desk<'_>, paying: &Paying, more: &Value, before: Before) -> Result<()> {
    let world = desk.world;
    match before {
        Before::Nothing => desk.delete_record(&record_key(&paying.token)?)?,
        Before::Refused => desk.change_record(&paying.token, |record| {
            record["closedAs"] = "refused".into();
            record["closedAt"] = "2026-03-01T02:00:00.000Z".into();
            if let Some(fields) = record.as_object_mut() {
                fields.remove("chargeId");
            }
        })?,
        Before::OtherCharge => desk.change_record(&paying.token, |record| {
            record["chargeId"] = "chrg_test_other".into();
        })?,
    }
    let mut item = json!({
        "tokenId": paying.token, "chargeId": paying.charge(), "orderId": paying.order, "status": false,
    });
    merge(&mut item, more);
    let parts = &world.0;
    parts
        .tables
        .store(&parts.names.records, &items::attributes(&item))?;
    sleep(SECOND).await;
    Ok(())
}
