//! A new user pays, a known user pays with another card, and only the bank is believed about a payment.

use payment3_harness::random;
use payment3_harness::shopper::{CARD_APPROVED, CARD_DECLINED, OTHER_CARD_APPROVED};

use crate::support::{TestApp, assert_closed, new_user_path};

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_new_user_pays_and_the_card_is_saved() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    let paid = app.authenticated(&owner, CARD_APPROVED).await;
    let answer = app.return_with(&paid.form).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.location, Some(app.landing(&paid.order, "success")));

    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(execution.states(), new_user_path());
    app.assert_paid(&paid).await;
    assert_eq!(app.saved_cards(&owner).await, Some(1));

    let mapping = app
        .inspector
        .mapping(&owner)
        .await
        .expect("table")
        .expect("mapping");
    assert_eq!(mapping["createdByCharge"], paid.charge_id(), "{mapping}");
    let status = app
        .inspector
        .check_status(&paid.order.order_id)
        .await
        .expect("table");
    let status = status.expect("check status");
    assert_eq!(status["chargeId"], paid.charge_id(), "{status}");
    assert_eq!(status["status"], "paid", "{status}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_known_user_pays_with_another_card_and_it_is_added() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    let first = app.authenticated(&owner, CARD_APPROVED).await;
    app.return_with(&first.form).await;
    app.execution(first.charge_id()).await;

    let second = app.authenticated(&owner, OTHER_CARD_APPROVED).await;
    app.return_with(&second.form).await;
    let execution = app.execution(second.charge_id()).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    let path = payment3_model::path(payment3_model::Machine::Payment, payment3_model::KNOWN_USER);
    assert_eq!(execution.states(), path);
    app.assert_paid(&second).await;
    assert_eq!(app.saved_cards(&owner).await, Some(2));
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_claimed_success_does_not_pay_an_order_that_the_bank_declined() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");
    let declined = app.authenticated(&owner, CARD_DECLINED).await;
    assert_eq!(declined.form.field("status").expect("status"), "false");
    let answer = app
        .return_with(&declined.form.clone().with("status", "true"))
        .await;
    assert_eq!(
        answer.location,
        Some(app.landing(&declined.order, "success"))
    );

    let execution = app.execution(declined.charge_id()).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert!(
        execution.states().contains(&"NotifyFailure"),
        "{execution:?}"
    );
    assert!(!execution.states().contains(&"PayOrder"), "{execution:?}");
    assert_eq!(app.payment_of(&declined.order).await["isPaid"], false);
    assert_eq!(
        app.event_kinds_for(&declined.order).await,
        ["payment.failed"]
    );
    let record = app.record(declined.charge_id()).await;
    assert_eq!(record["outcome"], "declined", "{record}");
    assert_closed(&record);
    // The bank saves no card of a declined charge.
    assert_eq!(app.saved_cards(&owner).await, None);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_claimed_failure_does_not_hide_a_payment_that_the_bank_authorised() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let answer = app
        .return_with(&paid.form.clone().with("status", "false"))
        .await;
    assert_eq!(answer.location, Some(app.landing(&paid.order, "failure")));

    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.states(), new_user_path());
    app.assert_paid(&paid).await;
}
