//! Races around waiting for the bank: reconciliation, wake-ups, and giving up.

use std::sync::Arc;
use std::time::Duration;

use payment3_harness::history::Visit;
use payment3_harness::http::FORM;
use payment3_harness::random;
use payment3_harness::shopper::{self, CARD_APPROVED};
use tokio::time::{Instant, sleep};

use super::{
    Act, Ended, PATIENCE, all_well, at_once, notifies, random_part_of, reconciles, returns,
    succeeded,
};
use crate::support::{AtTheBank, Authenticated, TestApp, subject};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
/// How often the bank sends a notification again that was not taken.
const DELIVERIES: usize = 5;

/// The payment is due when its shopper returns: one execution starts, by reconciliation or by the return.
pub(super) async fn during_reconciliation(app: Arc<TestApp>, round: usize) -> Ended {
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let key = app.inspector.key_of_token(paid.token()).expect("a token");
    app.make_older(&key, 6 * MINUTE).await;
    // Reconciliation reads all shards first. One return comes at its start, another one a little later.
    let later = returns(&app, &paid);
    let mut acts = vec![
        reconciles(&app),
        Box::pin(async move {
            sleep(random_part_of(Duration::from_millis(400))).await;
            later.await
        }),
    ];
    if round.is_multiple_of(2) {
        acts.push(reconciles(&app));
        acts.push(notifies(&app, paid.charge_id()));
    }
    all_well(at_once(acts).await)?;
    app.closed(&key).await?;
    let execution = app.one_execution(paid.charge_id()).await?;
    app.check_invariants(&subject(&[&paid])).await?;
    Ok(match app.source_of(&execution.name).await.as_str() {
        "reconcile" => "reconciliation started it",
        "notify" => "the notification started it",
        _ => "the return started it",
    })
}

/// The shopper passes 3-D Secure after a week, just when the payment is given up: it is paid all the same.
pub(super) async fn given_up(app: Arc<TestApp>, round: usize) -> Ended {
    let AtTheBank {
        order,
        page,
        charge,
        key,
    } = app.at_the_bank().await;
    app.make_older(&key, 8 * DAY).await;
    let decides: Act<_> = {
        let (app, page) = (app.clone(), page.clone());
        Box::pin(async move {
            sleep(random_part_of(Duration::from_millis(500))).await;
            let form = shopper::authenticate(&page).await.expect("the bank's page");
            let paid = Authenticated { order, form };
            // In every third round the shopper closes the browser; in every third round the notification is lost.
            let mut calls = Vec::new();
            if round % 3 != 1 {
                calls.push(returns(&app, &paid));
            }
            if round % 3 != 2 {
                calls.push(delivers(&app, paid.charge_id()));
            }
            (Some(paid), at_once(calls).await)
        })
    };
    let gives_up: Act<_> = {
        let run = reconciles(&app);
        Box::pin(async move { (None, vec![run.await]) })
    };
    let (paid, outcomes): (Vec<_>, Vec<_>) =
        at_once(vec![gives_up, decides]).await.into_iter().unzip();
    all_well(outcomes.concat())?;
    let paid = paid.into_iter().flatten().next().expect("decided");

    let mut paying = false;
    for execution in app.attempts(&charge).await {
        paying |= execution.has_succeeded() && execution.states().contains(&"CloseRecord");
        // An attempt that another one overtook must not close the record.
        let overtaken = execution.failure.as_ref().is_some_and(|failure| {
            failure.error.ends_with("ConditionalCheckFailedException")
                && execution.states().last() == Some(&"CloseRecord")
        });
        if !execution.has_succeeded() && !overtaken {
            return Err(format!("execution {} {}", execution.name, execution.status));
        }
    }
    if !paying {
        return Err("no execution paid, although the bank has authorised the charge".to_owned());
    }
    app.closed(&key).await?;
    let record = app.read_record(&key).await;
    if record["resolution"] != "orderPaid" || record["closedAs"] != "paid" {
        return Err(format!(
            "the record is closed as {} with {}",
            record["closedAs"], record["resolution"]
        ));
    }
    let given_up = app.saved_cards(&paid.order.owner_id).await.is_none();
    // A payment that was given up has forgotten its token, so its card cannot be saved. Everything else must hold.
    let mut customer = subject(&[&paid]);
    if given_up {
        customer.tokens.clear();
        let status = app.inspector.check_status(&paid.order.order_id).await;
        let shown = status.expect("table").expect("a row")["status"].clone();
        if shown != "paid" {
            return Err(format!("apps are told {shown}"));
        }
        if app.payment_of(&paid.order).await["paymentId"] != charge.as_str() {
            return Err("the order is not paid by its charge".to_owned());
        }
        if app
            .event_kinds_of(&charge)
            .await
            .iter()
            .any(|kind| kind != "payment.succeeded")
        {
            return Err("the shop was told something else".to_owned());
        }
    }
    app.check_invariants(&customer).await?;
    Ok(if given_up {
        "given up first"
    } else {
        "decided first"
    })
}

/// The bank sends its notification until it is accepted.
fn delivers(app: &Arc<TestApp>, charge: &str) -> Act<Option<String>> {
    let (app, charge) = (app.clone(), charge.to_owned());
    Box::pin(async move {
        for _ in 0..DELIVERIES {
            if app.notify(&charge).await["answer"] == 200 {
                return None;
            }
            sleep(Duration::from_millis(300)).await;
        }
        Some(format!("a notification was not taken {DELIVERIES} times"))
    })
}

/// An early return has started an execution, which asks the bank for fifteen seconds. The genuine return comes at about
/// the moment when it gives up. The payment must be paid at once, or be due at once.
pub(super) async fn giving_up_waiting(app: Arc<TestApp>, _: usize) -> Ended {
    let AtTheBank {
        order,
        page,
        charge,
        key,
    } = app.at_the_bank().await;
    // What the return makes due, the other rounds' reconciliation would take up. They wait for each other only
    // afterwards: to wait here would miss the moment.
    let watching = app.before_reconciliation().await;
    let early = shopper::bare_return(&charge);
    app.post_callback(FORM, early).await;
    until_asked(&app, &charge).await;
    sleep(random_part_of(Duration::from_millis(1500))).await;
    let form = shopper::authenticate(&page).await.expect("the bank's page");
    let paid = Authenticated { order, form };
    all_well(at_once(vec![returns(&app, &paid)]).await)?;

    let attempts = app.attempts(&charge).await;
    let record = app.read_record(&key).await;
    let how = if record.get("closedAt").is_some() {
        if attempts.len() > 1 {
            "the return's own attempt paid"
        } else {
            "the waiting attempt paid"
        }
    } else {
        let due = record["lookAgainAt"].as_i64().ok_or("open and never due")?;
        let late = due - jiff::Timestamp::now().as_second();
        if late > 0 {
            return Err(format!("the return was lost: due in {late} s"));
        }
        drop(watching);
        app.undisturbed().await.reconcile().await;
        "the return woke it up"
    };
    app.closed(&key).await?;
    for execution in app.attempts(&charge).await {
        succeeded(execution)?;
    }
    app.check_invariants(&subject(&[&paid])).await?;
    Ok(how)
}

/// Waits until an execution has asked the bank four times: the fifth is its last.
async fn until_asked(app: &TestApp, charge: &str) {
    let asked = |visit: &Visit| visit.state == "InquireCharge" && visit.errors.len() >= 4;
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        let execution = app.find_execution(charge).await;
        if execution.is_some_and(|execution| execution.path.iter().any(asked)) {
            // The wait before the fifth is eight seconds.
            sleep(Duration::from_millis(7200)).await;
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

impl TestApp {
    /// Who started an execution.
    async fn source_of(&self, name: &str) -> String {
        let described = self
            .aws
            .sfn
            .describe_execution()
            .execution_arn(self.outputs.execution_arn(name))
            .send()
            .await
            .expect("described");
        let input: serde_json::Value =
            serde_json::from_str(described.input().unwrap_or_default()).expect("JSON");
        input["source"].as_str().unwrap_or_default().to_owned()
    }
}
