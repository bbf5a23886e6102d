//! What reconciliation finds, from the first minute to the last day of a payment that does not go on by itself.

use std::time::Duration;

use anyhow::Result;
use payment3_bank::{Dialect, Manner};
use serde_json::json;
use tokio::time::sleep;

use super::desk::{Desk, Paying, record_key};
use crate::scenario::done;
use crate::time::{DAY, HOUR, MINUTE, SECOND};
use crate::world::World;

/// The shopper never comes back from the bank's page.
pub(super) async fn undecided(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let left = desk.pay(Manner::Approved, 150_000).await?;
    reconciled(&desk, &left.token).await
}

/// The bank's answer to the charge never came, and there is none. A browser comes back all the same, with a charge that
/// nobody knows, and with one that the bank made for somebody else.
pub(super) async fn perhaps_charged_and_back(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let other = desk.pay(Manner::Declined, 150_000).await?;
    desk.confirm(&other).await?;
    desk.delete_record(&record_key(&other.token)?)?;
    for charge in ["chrg_test_nobody", other.charge()] {
        let Paying { token, form, .. } = desk.prepare(Dialect::Usual).await?;
        desk.fails(&token, "create_charge", "timeout", 1).await?;
        desk.check_out(&form).await;
        let answer = desk.return_with_token(charge, &token).await;
        lines.push(format!("returned with {charge}: {answer}"));
        lines.push(format!("  rest: {}", desk.stored(&token)));
        lines.extend(reconciled(&desk, &token).await?);
    }
    Ok(lines)
}

/// The bank has signed that it holds the money, and says for a month that it has not decided.
pub(super) async fn signed_and_undecided(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let now = world.time().now().as_second();
    desk.change_record(&paying.token, |record| {
        record["paidNotifiedAt"] = now.into();
    })?;
    reconciled(&desk, &paying.token).await
}

/// The bank's answer to the charge never came, and there is none.
pub(super) async fn perhaps_charged(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for dialect in [Dialect::Usual, Dialect::NoInquiryByReference] {
        let Paying { token, form, .. } = desk.prepare(dialect).await?;
        desk.fails(&token, "create_charge", "timeout", 1).await?;
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
    let Paying { token, form, .. } = desk.prepare(Dialect::Usual).await?;
    desk.fails(&token, "create_charge", "timeout", 1).await?;
    let mut lines = vec![format!("checkout: {}", desk.check_out(&form).await)];
    let key = "skey_test_answers_0002";
    done(world.bank().rotate_key(key, false).await)?;
    world.put_bank_key(key);
    lines.extend(reconciled(&desk, &token).await?);
    Ok(lines)
}

/// The bank's answer to the charge never came, and there is one: a browser names it, the bank, or nobody; and a key of
/// the other mode finds it.
pub(super) async fn charged_after_all(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for named_by in [
        "a browser",
        "the bank",
        "nobody",
        "nobody, and it is over another amount",
        "nobody, and a key of the other mode",
    ] {
        lines.push(format!("named by {named_by}:"));
        let named = !named_by.starts_with("nobody");
        let dialect = match named {
            true => Dialect::NoInquiryByReference,
            false => Dialect::Usual,
        };
        let Paying { token, form, .. } = desk.prepare(dialect).await?;
        desk.fails(&token, "create_charge", "lost_answer", 1)
            .await?;
        desk.fails(&token, "inquire", "error", 9).await?;
        lines.push(format!("  checkout: {}", desk.check_out(&form).await));
        let charge = desk.confirm_unseen(&token).await?;
        match named_by {
            "a browser" => {
                let answer = desk.return_with_token(&charge, &token).await;
                lines.push(format!("  returned: {answer}"));
            }
            "the bank" => {
                let answer = done(world.bank().notify(&charge).await)?;
                lines.push(format!("  notified: {answer:?}"));
            }
            "nobody" => {}
            "nobody, and it is over another amount" => desk.change_record(&token, |record| {
                record["amountSatang"] = 149_999.into();
            })?,
            _ => {
                let key = "skey_prod_answers_0002";
                done(world.bank().rotate_key(key, true).await)?;
                world.put_bank_key(key);
                sleep(10 * MINUTE).await;
            }
        }
        desk.rest().await;
        lines.push(format!("  rest: {}", desk.stored(&token)));
        lines.extend(reconciled(&desk, &token).await?);
    }
    lines.extend(desk.executions());
    Ok(lines)
}

/// Others count attempts, or close the record, while an execution waits for the bank's decision.
pub(super) async fn counted_meanwhile(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for closes in [false, true] {
        let paying = desk.pay(Manner::Approved, 150_000).await?;
        desk.bare_return(paying.charge()).await;
        sleep(2 * SECOND).await;
        desk.change_record(&paying.token, |record| {
            if closes {
                record["closedAs"] = "abandoned".into();
                record["closedAt"] = "2026-03-01T02:00:00.000Z".into();
                if let Some(fields) = record.as_object_mut() {
                    fields.remove("openShard");
                }
            } else {
                record["attempt"] = 2.into();
            }
        })?;
        desk.rest().await;
        lines.push(format!("rest: {}", desk.record(&paying.token)));
    }
    lines.extend(desk.executions());
    Ok(lines)
}

/// The bank says of a charge what nobody knows.
pub(super) async fn unknown_state(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    desk.confirm(&paying).await?;
    done(
        world
            .bank()
            .speak(paying.charge(), Dialect::UnknownState)
            .await,
    )?;
    reconciled(&desk, &paying.token).await
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

/// The bank does not know the charge, by the key that made it, and by the key of another account.
pub(super) async fn unknown_charge(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for key in [None, Some("skey_test_answers_0002")] {
        let paying = desk.pay(Manner::Approved, 150_000).await?;
        desk.change_record(&paying.token, |record| {
            record["chargeId"] = "chrg_test_nobody".into();
        })?;
        if let Some(key) = key {
            done(world.bank().rotate_key(key, false).await)?;
            world.put_bank_key(key);
            sleep(10 * MINUTE).await;
        }
        lines.push(format!("by another key: {}", key.is_some()));
        lines.extend(reconciled(&desk, &paying.token).await?);
    }
    lines.extend(desk.executions());
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
        let report = desk.reconcile().await?;
        desk.rest().await;
        lines.push(format!(
            "  after {} minutes: {report}; {}",
            waited.as_secs() / 60,
            desk.record(token)
        ));
    }
    Ok(lines)
}
