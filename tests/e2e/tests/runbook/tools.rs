//! The runbook's tools: what each does to a payment, and what it never does.

use std::time::Duration;

use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{self, CARD_APPROVED, CARD_DECLINED};
use payment3_harness::{random, workspace};
use serde_json::{Value, json};

use crate::document::{block, promised};
use crate::helpers::{Function, compact, dead_checkout, sent_again};
use crate::support::{TestApp, charge_on};

/// A time in the future, so that no run of the schedule takes the record up.
const NOT_DUE: i64 = 9_999_999_999;
/// How long a payment may take to come to its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_restart_repeats_nothing_and_does_nothing_to_what_is_closed() {
    promised(&[
        "Starting an execution twice is safe.",
        "Completed steps are skipped.",
        "A payment that is closed stays as it is.",
    ]);
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    // The order is paid, but the shop was not told.
    app.fails_to_be_told(&paid).await;
    let shell = app.shell_for(charge);
    let one = shell.run("Restart under a new name", "restart");
    let other = shell.script(
        &format!("sleep 1\n{}", block("Restart under a new name", "restart")),
        "once more",
    );
    app.restarted(&one).await;
    app.restarted(&other).await;
    assert!(app.until_closed(&app.key_of(charge).await, PATIENCE).await);
    let payment = app.payment_of(&paid.order).await;
    let log = payment["paymentLog"].as_array().map(Vec::len);
    assert_eq!(
        (&payment["isPaid"], log),
        (&json!(true), Some(1)),
        "{payment}"
    );
    let outcomes = app.inspector.outcomes(charge).await.expect("outcomes");
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let bank = app.inspector.bank_charge(charge).await.expect("the bank");
    assert_eq!(bank["transaction_state"], "Authorized", "{bank}");

    let closed = app.record(charge).await;
    let printed = shell.run("Restart under a new name", "restart");
    let execution = app.started(&printed).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(execution.states().last(), Some(&"AlreadyProcessed"));
    assert_eq!(app.record(charge).await, closed);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_decision_that_is_an_hour_old_pays_nothing() {
    promised(&[
        "Before the order is paid, prefer a restart: a decision of the bank that is over an hour old pays \
         nothing, and the next attempt asks the bank again.",
    ]);
    let app = TestApp::connect().await;
    // What a redrive of an execution does that failed at PayOrder: the same input, now.
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.starve("pay-order").await;
    let definition = app.with_short_waits().await;
    app.return_with(&paid.form).await;
    let failed = app.execution(charge).await;
    assert_eq!(failed.states().last(), Some(&"PayOrder"), "{failed:?}");
    app.feed("pay-order").await;
    let asked = jiff::Timestamp::now().as_second() - 3601;
    let shell = app.shell_for(charge);
    let printed = shell.script(
        &format!(
            "call lookup-record '{{\"chargeId\": \"{charge}\"}}'\n\
             call pay-order \"{{\\\"payment\\\": $(cat answer.json), \\\"askedAt\\\": {asked}}}\""
        ),
        "paying on an old word",
    );
    assert!(printed.contains("StaleDecision"), "{printed}");
    assert_eq!(app.payment_of(&paid.order).await["isPaid"], false);
    // The execution hands over to the next attempt.
    let text = std::fs::read_to_string(workspace::state_machine_file()).expect("the definition");
    let machine: Value = serde_json::from_str(&text).expect("JSON");
    for state in ["RecordOutcome", "PayOrder"] {
        let catchers = machine["States"][state]["Catch"]
            .as_array()
            .expect("catchers");
        let caught = catchers.iter().find(|catcher| {
            let errors = catcher["ErrorEquals"].as_array().expect("errors");
            errors.contains(&json!("StaleDecision"))
        });
        assert_eq!(caught.expect("caught")["Next"], "AwaitBank", "{state}");
    }
    app.make_due(charge).await;
    app.reconcile().await;
    let next = app.execution(&format!("{charge}-1")).await;
    assert!(next.states().contains(&"InquireCharge"), "{next:?}");
    app.assert_paid(&paid).await;
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn reversing_by_hand_gives_back_all_and_nothing_of_what_paid_its_order() {
    promised(&[
        "Gives all of a charge's money back, by a void or, once it is settled, by a refund, and writes it into the record.",
        "It refuses a charge that has paid its order.",
        "Afterwards restart: the shop is told, and the record is closed.",
    ]);
    let app = TestApp::connect().await;
    for (settled, reversal, state) in [
        (false, "voided", "Voided"),
        (true, "refunded", "Refund Sent"),
    ] {
        let (order, _, charge) = app.old_payment().await;
        app.remove_order(&order.order_id).await;
        let form = shopper::bare_return(&charge);
        app.post_callback(payment3_harness::http::FORM, form).await;
        app.execution(&charge).await;
        if settled {
            app.settle(&charge).await;
        }
        let shell = app.shell_for(&charge);
        let printed = compact(&shell.run("Reverse by hand", "reverse"));
        assert!(
            printed.contains(&format!("\"reversal\":\"{reversal}\"")),
            "{printed}"
        );
        let record = shell.run("Look at a payment", "payment");
        assert!(
            record.contains("reversed") && record.contains(reversal),
            "{record}"
        );
        let bank = app.inspector.bank_charge(&charge).await.expect("the bank");
        assert_eq!(bank["transaction_state"], state, "{bank}");
        app.restarted(&shell.run("Restart under a new name", "restart"))
            .await;
        assert_eq!(app.event_kinds_of(&charge).await, ["payment.reversed"]);
        let checked = shell.run("See whether it is repaired", "check");
        assert!(
            checked.starts_with("returned\treversed\t2")
                || checked.starts_with("paid\treversed\t2"),
            "{checked}"
        );
    }

    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.fails_to_be_told(&paid).await;
    let shell = app.shell_for(charge);
    let printed = shell.run("Reverse by hand", "reverse");
    assert!(printed.contains("OutcomeConflict"), "{printed}");
    let bank = app.inspector.bank_charge(charge).await.expect("the bank");
    assert_eq!(bank["transaction_state"], "Authorized", "{bank}");
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    app.assert_paid_and_told(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn other_cards_of_an_order_wait_for_a_dead_checkout_until_it_is_closed() {
    promised(&[
        "After a checkout that got no answer from the bank, other cards of the order wait for half an hour.",
        "There is none: close the checkout, and another card is taken at once.",
    ]);
    let app = TestApp::connect().await;
    let order = app.order().await;
    let (token, reference) = dead_checkout(&app, &order, NOT_DUE).await;
    let key = app.inspector.key_of_token(&token).expect("a token");
    let refused = shopper::checkout(&app.outputs, &order, CARD_APPROVED).await;
    let refused = format!("{:#}", refused.expect_err("it waits"));
    assert!(refused.contains("being checked"), "{refused}");

    let shell = app.shell().with("ORDER", &order.order_id);
    let seen = shell.run("Let an order take another card", "see");
    assert!(seen.contains(&key) && seen.contains(&reference), "{seen}");
    let shell = shell.with("KEY", &key).with("REFERENCE", &reference);
    shell.run("Let an order take another card", "close");
    assert_eq!(app.read_record(&key).await["closedAs"], "never-charged");
    let paid = app.authenticated_for(&order, CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    assert_eq!(app.execution(paid.charge_id()).await.status, "SUCCEEDED");
    app.assert_paid(&paid).await;

    // After half an hour it ends by itself.
    let order = app.order().await;
    let (token, _) = dead_checkout(&app, &order, NOT_DUE).await;
    let ago = jiff::Timestamp::now().as_second() - 30 * 60;
    let row = ("orderId", order.order_id.as_str());
    app.change_item(
        "check-status",
        row,
        "SET askedAt = :ago",
        &[(":ago", json!(ago))],
    )
    .await;
    let paid = app.authenticated_for(&order, CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    assert_eq!(app.execution(paid.charge_id()).await.status, "SUCCEEDED");
    // Later tests count what is open, so nothing of this one may stay.
    app.delete(
        &app.table("card-payment-record"),
        &app.inspector.key_of_token(&token).expect("a token"),
    )
    .await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn payments_that_met_a_wrong_secret_go_on_when_it_is_repaired() {
    promised(&[
        "Functions read a secret again within five minutes, and at once when the bank refuses a key or signs with one that \
         they do not know.",
        "Payments that failed because of it go on by themselves, after an hour at the latest.",
        "When it is back, wait: the payments go on by themselves.",
    ]);
    let app = TestApp::connect().await;
    let definition = app.with_short_waits().await;
    let (came_back, nobody) = (app.paying().await, app.paying().await);
    let charges = [came_back.charge_id(), nobody.charge_id()];
    let right = app.secret(&app.outputs.gateway_secret_arn).await;
    let wrong = json!({"url": app.outputs.bank_url, "b2c": "pkey_test_wrong:skey_test_wrong"});
    let rotate = format!(
        "echo '{wrong}' > gateway.json\n{}",
        block("The bank's keys", "rotate")
    );
    app.shell().script(&rotate, "putting a wrong value");
    for name in ["inquire-charge", "reconcile"] {
        // A process that starts now has never seen the right key.
        Function::of(&app, name)
            .await
            .set("STARTED", "after the wrong value")
            .await;
    }
    app.return_with(&came_back.form).await;
    let waits = app.execution(charges[0]).await;
    assert_eq!(waits.states().last(), Some(&"AwaitBank"), "{waits:?}");
    for charge in charges {
        app.make_due(charge).await;
    }
    let report = app.reconcile().await;
    assert!(report["failed"].as_i64() >= Some(2), "{report}");
    let seen = app.shell().run("reconcile-behind", "see");
    assert!(seen.contains("ReconcileFailed"), "{seen}");
    for charge in charges {
        let pause = app.looked_at_in(charge).await;
        assert!((0..=3600).contains(&pause), "{charge}: {pause}");
    }
    // Their trouble has lasted for ten hours.
    for charge in charges {
        let since = jiff::Timestamp::now().as_second() - 36_000;
        let key = app.key_of(charge).await;
        app.change_record(
            &key,
            "SET troubleSince = :since",
            &[(":since", json!(since))],
        )
        .await;
        app.make_due(charge).await;
    }
    app.reconcile().await;
    for charge in charges {
        let pause = app.looked_at_in(charge).await;
        assert!((1800..=3600).contains(&pause), "{charge}: {pause}");
    }

    app.put_secret(&app.outputs.gateway_secret_arn, &right)
        .await;
    // A process whose key is refused fetches it again: five times at once, and then every ten seconds.
    tokio::time::sleep(Duration::from_secs(11)).await;
    for charge in charges {
        app.make_due(charge).await;
    }
    let report = app.reconcile().await;
    assert_eq!(report["failed"], 0, "{report}");
    for paid in [&came_back, &nobody] {
        let key = app.key_of(paid.charge_id()).await;
        assert!(app.until_closed(&key, PATIENCE).await);
        app.assert_paid(paid).await;
    }
    for name in ["inquire-charge", "reconcile"] {
        let function = Function::of(&app, name).await;
        function.unset("STARTED").await;
    }
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn an_event_is_sent_again_as_what_became_of_the_payment() {
    let app = TestApp::connect().await;
    let gone = app.paying().await;
    app.remove_order(&gone.order.order_id).await;
    let declined = app.authenticated(&random::id("usr_"), CARD_DECLINED).await;
    let verification = Order::verification(&random::id("usr_"));
    let verified = app.authenticated_for(&verification, CARD_APPROVED).await;
    let unverified = app.authenticated_for(&verification, CARD_DECLINED).await;
    for (done, event) in [
        (&gone, "payment.reversed"),
        (&declined, "payment.failed"),
        (&unverified, "card.failed"),
        (&verified, "card.saved"),
    ] {
        let charge = done.charge_id();
        let shell = app.shell_for(charge);
        // Nothing is decided yet, so there is no event to send.
        assert_eq!(sent_again(&app, &shell, charge).await, [""; 0]);
        app.return_with(&done.form).await;
        assert_eq!(app.execution(charge).await.status, "SUCCEEDED");
        let shell = shell.with("CARD_EVENT", "card.saved");
        assert_eq!(sent_again(&app, &shell, charge).await, [event]);
    }
    // The record does not say whether a verified card was saved.
    let charge = verified.charge_id();
    let shell = app.shell_for(charge);
    assert_eq!(sent_again(&app, &shell, charge).await, [""; 0]);
    // A verification whose 1 baht went back must not be reported as an order's money that went back.
    let key = app.key_of(charge).await;
    let returned = [(":returned", json!("returned"))];
    app.change_record(&key, "SET outcome = :returned", &returned)
        .await;
    assert_eq!(sent_again(&app, &shell, charge).await, [""; 0]);
    let shell = shell.with("CARD_EVENT", "card.saved");
    assert_eq!(sent_again(&app, &shell, charge).await, ["card.saved"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_that_the_shopper_never_finished_has_no_event_to_send_again() {
    let app = TestApp::connect().await;
    let page = app.check_out(&app.order().await, CARD_APPROVED).await;
    let charge = charge_on(&page);
    app.make_older(&app.key_of(&charge).await, 8 * 24 * 60 * 60)
        .await;
    app.reconcile().await;
    assert_eq!(app.record(&charge).await["closedAs"], "abandoned");
    let printed = app.shell_for(&charge).run("Send an event again", "resend");
    assert!(
        printed.contains("the bank has decided nothing"),
        "{printed}"
    );
    assert_eq!(app.event_kinds_of(&charge).await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_notification_that_the_bank_signed_before_a_rotation_is_believed_after_it() {
    promised(&[
        "For a day the former value counts, too: a notification that the bank signed with the former key is \
         believed,",
    ]);
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let before = app.secret(&app.outputs.gateway_secret_arn).await;
    let new = json!({"url": app.outputs.bank_url, "b2c": "pkey_test_new:skey_test_new"});
    app.shell().script(
        &format!(
            "echo '{new}' > gateway.json\n{}",
            block("The bank's keys", "rotate")
        ),
        "rotating the bank's keys",
    );
    let put = app.secret(&app.outputs.gateway_secret_arn).await;
    assert!(put.contains("skey_test_new"), "the keys are not rotated");
    // A process that starts now has never seen the former key.
    let function = Function::of(&app, "callback").await;
    function.set("STARTED", "after the rotation").await;
    let answered = app.notify(charge).await;
    assert_eq!(answered["answer"], 200, "{answered}");
    // The sandbox bank does not rotate: it takes the former key alone.
    function.restore().await;
    app.put_secret(&app.outputs.gateway_secret_arn, &before)
        .await;
    app.execution(charge).await;
    app.make_due(charge).await;
    app.reconcile().await;
    assert!(app.until_closed(&app.key_of(charge).await, PATIENCE).await);
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_shop_that_knows_the_former_key_alone_gets_every_event_after_a_rotation() {
    promised(&["and every event is signed with both keys."]);
    let app = TestApp::connect().await;
    let before = app.secret(&app.outputs.shop_webhook_secret_arn).await;
    app.shell().run("The key of the shop's events", "rotate");
    assert_ne!(
        app.secret(&app.outputs.shop_webhook_secret_arn).await,
        before
    );
    let paid = app.paying().await;
    app.return_with(&paid.form).await;
    app.execution(paid.charge_id()).await;
    app.assert_paid(&paid).await;
    app.put_secret(&app.outputs.shop_webhook_secret_arn, &before)
        .await;
}
