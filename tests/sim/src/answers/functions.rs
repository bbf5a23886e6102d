//! What functions answer to inputs that no execution gives them at that time: too late, twice, or about another payment.

use anyhow::{Context, Result};
use payment3_activities::domain::ids::CardToken;
use payment3_bank::{Dialect, Manner};
use serde_json::{Value, json};

use super::desk::{Desk, OWNER, merge};
use crate::bank::Step;
use crate::scenario::{answered, done};
use crate::world::World;

/// A paid order's inputs with a change, each given to its function once more.
pub(super) async fn paid(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let paying = desk.pay(Manner::Approved, 150_000).await?;
    let fields = desk.confirm(&paying).await?;
    desk.post_return(&fields).await;
    desk.rest().await;
    let now = world.time().now().as_second();
    let (minute, days) = (now - 60, now - 2 * 86_400);
    for (state, change) in [
        ("ParseCallback", json!({"input": {"status": true}})),
        ("ParseCallback", json!({"input": {"status": false}})),
        ("ParseCallback", json!({"input": {"status": 7}})),
        ("ParseCallback", json!({"input": {"source": "nobody"}})),
        ("ParseCallback", json!({"input": {"chargeId": " "}})),
        ("ParseCallback", json!({"input": {"recordKey": " "}})),
        ("LookupRecord", json!({"chargeId": "chrg_test_nobody"})),
        ("LookupRecord", json!({"recordKey": "nobody's"})),
        (
            "InquireCharge",
            json!({"payment": {"amountSatang": 149_999}}),
        ),
        (
            "InquireCharge",
            json!({"payment": {"orderId": "482599999999"}}),
        ),
        (
            "InquireCharge",
            json!({"payment": {"referenceOrder": "another"}}),
        ),
        (
            "InquireCharge",
            json!({"payment": {"chargeId": "chrg_test_nobody"}}),
        ),
        (
            "InquireCharge",
            json!({"payment": {"chargeId": "chrg_test_nobody", "unknownSince": minute}}),
        ),
        (
            "InquireCharge",
            json!({"payment": {"chargeId": "chrg_test_nobody", "unknownSince": days, "openSince": days}}),
        ),
        ("RecordOutcome", json!({"askedAt": now - 3600})),
        ("RecordOutcome", json!({"askedAt": now - 3601})),
        (
            "RecordOutcome",
            json!({"outcome": "declined", "transactionState": "Declined"}),
        ),
        (
            "RecordOutcome",
            json!({"outcome": "returned", "transactionState": "Voided"}),
        ),
        (
            "RecordOutcome",
            json!({"outcome": "returned", "transactionState": "Refund Sent"}),
        ),
        (
            "RecordOutcome",
            json!({"payment": {"chargeId": "chrg_test_other"}}),
        ),
        ("PayOrder", json!({"askedAt": now - 3600})),
        ("PayOrder", json!({"askedAt": now - 3601})),
        (
            "PayOrder",
            json!({"payment": {"chargeId": "chrg_test_other"}}),
        ),
        ("PayOrder", json!({"payment": {"orderId": "482599999999"}})),
        ("NotifySuccess", json!({"event": "nothing"})),
        (
            "NotifySuccess",
            json!({"payment": {"chargeId": "chrg_test_other"}}),
        ),
        (
            "EnsureKBankUser",
            json!({"payment": {"ownerId": "usr_other"}}),
        ),
    ] {
        lines.push(format!(
            "{state} with {change}: {}",
            called(world, state, &change).await?
        ));
    }
    lines.push(format!("rest: {}", desk.record(&paying.token)));
    Ok(lines)
}

/// The bank approves after all what it declined, and nobody has opened the record again.
pub(super) async fn declined(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    let declined = desk.pay(Manner::Declined, 150_000).await?;
    let fields = desk.confirm(&declined).await?;
    desk.post_return(&fields).await;
    desk.rest().await;
    let approved = json!({"outcome": "paid", "transactionState": "Authorized"});
    for time in ["first", "second", "third"] {
        let answer = called(world, "RecordOutcome", &approved).await?;
        lines.push(format!("RecordOutcome, {time}: {answer}"));
        lines.push(format!("  rest: {}", desk.record(&declined.token)));
    }
    Ok(lines)
}

/// The bank has signed that it approves what it declined a moment before, and somebody comes with the decline: after the
/// approval is recorded, and before, while inquiries are away.
pub(super) async fn signed_since(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for away in [false, true] {
        let declined = desk.pay(Manner::Declined, 150_000).await?;
        desk.confirm(&declined).await?;
        let charge = declined.charge();
        done(world.bank().approve(charge).await)?;
        // So that it is not paid at once.
        desk.change(&declined.order, &json!({"payment": {"grandTotal": "much"}}))?;
        if away {
            desk.fails(&declined.token, "inquire", "error", 1000)
                .await?;
        }
        let now = world.time().now().as_second();
        done(world.bank().notify(charge).await)?;
        desk.rest().await;
        lines.push(format!("rest: {}", desk.record(&declined.token)));
        for asked_at in [now - 30, now, now + 60, now + 61, now + 70] {
            let input = json!({
                "payment": payment(&declined.token, charge, &declined.order, OWNER)?,
                "outcome": "declined", "transactionState": "Declined", "askedAt": asked_at,
            });
            let answer = answered(world, "record-outcome", input).await;
            lines.push(format!("declined {} s after it: {answer}", asked_at - now));
        }
        lines.push(format!("rest: {}", desk.record(&declined.token)));
    }
    Ok(lines)
}

/// A payment as states pass it on.
fn payment(token: &str, charge: &str, order: &str, owner: &str) -> Result<Value> {
    let key = CardToken::new(token).context("a token")?.record_key();
    Ok(json!({
        "recordKey": key, "chargeId": charge, "orderId": order, "ownerId": owner, "amountSatang": 150_000,
        "currency": "THB", "referenceOrder": null, "purpose": "order", "origin": "own", "saveCard": true,
        "attempt": 0, "lookAgainAt": 0,
    }))
}

/// Orders with an address that the bank takes, with one that it does not take, and without; and a card that it does not
/// take.
pub(super) async fn customers(world: &World) -> Result<Vec<String>> {
    let mut desk = Desk::new(world);
    let mut lines = Vec::new();
    for (number, address) in [
        json!("somebody@example.com"),
        json!("nonsense"),
        Value::Null,
    ]
    .into_iter()
    .enumerate()
    {
        for manner in [Manner::Approved, Manner::Declined] {
            let owner = format!("usr_answers_{manner:?}_{number}");
            let change = json!({"ownerId": owner, "billingInfo": {"customerEmail": address}});
            let order = desk.order(150_000, &change)?;
            let token = desk.token(manner, Dialect::Usual).await?;
            let mut form = desk.form(&token, &order, "1500.00");
            form[1].1.clone_from(&owner);
            let answer = desk.check_out(&form).await;
            let (_, page) = answer.split_once(" to ").unwrap_or_default();
            let charge = page.rsplit('/').next().unwrap_or_default();
            let input = json!({"payment": payment(&token, charge, &order, &owner)?});
            world.bank().three_ds(page, Step::Open).await;
            world.bank().three_ds(page, Step::Confirm).await;
            let answer = answered(world, "ensure-kbank-user", input).await;
            lines.push(format!("{address}, {manner:?}: {answer}"));
            for request in world.bank().requests_of(charge) {
                let asked = (request.operation, request.status);
                lines.push(format!("  bank: {asked:?} {}", request.body));
            }
        }
    }
    Ok(lines)
}

/// What a state's function answers to what the state gave it first, with a change.
async fn called(world: &World, state: &str, change: &Value) -> Result<String> {
    let all = world.0.given.all();
    let given = all.into_iter().find(|given| given.state == state);
    let mut given = given.with_context(|| format!("{state} was never entered"))?;
    merge(&mut given.input, change);
    Ok(answered(world, &given.function, given.input).await)
}
