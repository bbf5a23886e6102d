//! Races around giving the money back.

use std::sync::Arc;
use std::time::Duration;

use payment3_harness::executions::ExecutionReport;
use payment3_harness::http::client;
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::json;
use tokio::time::sleep;

use super::{Act, Ended, all_well, at_once, random_part_of, returns, starts_by_hand, succeeded};
use crate::support::{TestApp, subject};

/// Three executions give one charge back: it goes back once, and none waits for what is done.
pub(super) async fn by_hand(app: Arc<TestApp>, round: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    app.change_order(&paid.order.order_id, "isDrafting", &json!(true))
        .await;
    if round.is_multiple_of(2) {
        app.settle(charge).await;
    }
    let names = [1, 2].map(|number| format!("by-hand-{number}-{charge}"));
    let mut acts = vec![returns(&app, &paid)];
    acts.extend(names.iter().map(|name| starts_by_hand(&app, charge, name)));
    all_well(at_once(acts).await)?;
    app.comes_to_its_end(&paid).await?;
    not_put_off(&app.one_execution(charge).await?)?;
    let mut reversing = 1;
    for name in names {
        let execution = succeeded(app.execution(&name).await)?;
        not_put_off(&execution)?;
        reversing += usize::from(execution.states().contains(&"ReverseCharge"));
    }
    app.check_invariants(&subject(&[&paid])).await?;
    Ok(match reversing {
        1 => "one came to ReverseCharge",
        2 => "two came to ReverseCharge",
        _ => "three came to ReverseCharge",
    })
}

/// A reversal that is put off waits for half an hour: here there was never anything to wait for.
fn not_put_off(execution: &ExecutionReport) -> Result<(), String> {
    let errors = execution.path.iter().flat_map(|visit| &visit.errors);
    let put_off = errors.filter(|failure| failure.error == "NotReversibleYet");
    match put_off.count() {
        0 => Ok(()),
        times => Err(format!(
            "execution {} put the reversal off {times} times",
            execution.name
        )),
    }
}

/// Paid as it was, or not payable any more and given back.
pub(super) async fn drafted(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let drafts: Act<_> = {
        let (app, id) = (app.clone(), paid.order.order_id.clone());
        Box::pin(async move {
            sleep(random_part_of(Duration::from_millis(1200))).await;
            app.change_order(&id, "isDrafting", &json!(true)).await;
            None
        })
    };
    all_well(at_once(vec![returns(&app, &paid), drafts]).await)?;
    app.comes_to_its_end(&paid).await?;
    app.one_execution(paid.charge_id()).await?;
    app.check_invariants(&subject(&[&paid])).await?;
    let payment = app.payment_of(&paid.order).await;
    Ok(if payment["isPaid"] == true {
        "paid"
    } else {
        "reversed"
    })
}

/// Voided before, or refunded after; nothing waits for a state that has come already.
pub(super) async fn settled(app: Arc<TestApp>, _: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id().to_owned();
    app.change_order(&paid.order.order_id, "isDrafting", &json!(true))
        .await;
    let settles: Act<_> = {
        let url = format!("{}/sandbox/charges/{charge}/settle", app.outputs.bank_url);
        Box::pin(async move {
            sleep(random_part_of(Duration::from_millis(1500))).await;
            // The bank refuses it where the void was first.
            client().post(url).send().await.expect("the bank answers");
            None
        })
    };
    all_well(at_once(vec![returns(&app, &paid), settles]).await)?;
    app.comes_to_its_end(&paid).await?;
    not_put_off(&app.one_execution(&charge).await?)?;
    app.check_invariants(&subject(&[&paid])).await?;
    let at_bank = app.inspector.bank_charge(&charge).await.expect("charge");
    Ok(if at_bank["transaction_state"] == "Voided" {
        "voided"
    } else {
        "refunded"
    })
}
