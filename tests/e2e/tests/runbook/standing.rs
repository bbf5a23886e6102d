//! Payments that stand: how they are seen, which go on by themselves, and how a person ends the others.

use payment3_bank::Dialect;
use payment3_harness::http::FORM;
use payment3_harness::random;
use payment3_harness::shopper::{self, CARD_APPROVED};
use serde_json::{Value, json};

use crate::conditions::Alarm;
use crate::document::promised;
use crate::helpers::{Function, assert_failed, compact, dead_checkout, sent_again};
use crate::support::{Authenticated, TestApp, assert_closed, charge_on};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

fn ago(seconds: i64) -> Value {
    json!(jiff::Timestamp::now().as_second() - seconds)
}

impl TestApp {
    /// Whether an alarm's condition is met by what one more run of reconciliation finds.
    async fn rings(&self, kebab: &str) -> bool {
        let alarm = Alarm::watch(&self.outputs, kebab).await;
        self.reconcile().await;
        alarm.value_in_the_logs().await >= 1.0
    }

    /// A payment that stands at PayOrder, because somebody has made the order unreadable; and what was there before.
    async fn unreadable(&self) -> (Authenticated, Value) {
        let paid = self.paying().await;
        let payment = self.payment_of(&paid.order).await;
        let odd = json!({"grandTotal": "much", "isPaid": false});
        self.change_order(&paid.order.order_id, "payment", &odd)
            .await;
        self.return_with(&paid.form).await;
        let failed = self.execution(paid.charge_id()).await;
        assert_failed(&failed, "ItemUnreadable");
        (paid, payment)
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn an_outage_needs_nobody() {
    promised(&[
        "When the bank, AWS or the shop is back, every payment goes on by itself, after an hour at the latest.",
        "No money is lost while something stands: a payment whose execution failed stays open, and so does one whose \
         callback got lost.",
        "An execution is named after its charge, with `-1` and so on from the second attempt on.",
        "Nothing is lost: it stays open.",
        "No pause is longer than an hour.",
        "A payment with trouble is due again after as long as the trouble has lasted, an hour at most.",
        "Then wait: the payment goes on by itself.",
        "Every other one goes on by itself.",
    ]);
    let app = TestApp::connect().await;
    let definition = app.with_short_waits().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    let shell = app.shell_for(charge);
    app.starve("lookup-record").await;
    app.return_with(&paid.form).await;
    let failed = app.execution(charge).await;
    assert_eq!(failed.status, "FAILED", "{failed:?}");
    assert!(app.looked_at_in(charge).await <= 300);

    // It is retried, and no person is called for an hour.
    app.make_due(charge).await;
    assert!(!app.rings("payment-stands-technical").await);
    let failed = app.execution(&format!("{charge}-1")).await;
    assert_eq!(failed.status, "FAILED", "{failed:?}");
    let since = app.record(charge).await["troubleSince"].clone();
    assert!(since.is_i64(), "{since}");
    assert!(app.looked_at_in(charge).await <= 300);
    app.change_record(
        &key,
        "SET troubleSince = :since",
        &[(":since", ago(10 * HOUR))],
    )
    .await;
    app.make_due(charge).await;
    assert!(app.rings("payment-stands-technical").await);
    let failed = app.execution(&format!("{charge}-2")).await;
    assert_eq!(failed.status, "FAILED", "{failed:?}");
    let pause = app.looked_at_in(charge).await;
    assert!((HOUR / 2..=HOUR).contains(&pause), "{pause}");
    let seen = shell.run("payment-stands", "see");
    for part in [charge, "technical", &format!("{charge}-2 FAILED")] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }

    app.feed("lookup-record").await;
    app.make_due(charge).await;
    app.reconcile().await;
    let next = app.execution(&format!("{charge}-3")).await;
    assert_eq!(next.status, "SUCCEEDED", "{next:?}");
    app.assert_paid(&paid).await;
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn what_failed_in_an_outage_is_hastened_by_a_restart() {
    promised(&["A restart makes it go on at once."]);
    let app = TestApp::connect().await;
    let definition = app.with_short_waits().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.starve("lookup-record").await;
    app.return_with(&paid.form).await;
    let failed = app.execution(charge).await;
    assert_eq!(failed.status, "FAILED", "{failed:?}");
    app.feed("lookup-record").await;
    let shell = app.shell_for(charge);
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("paid\torderPaid\t2"), "{checked}");
    app.assert_paid(&paid).await;
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn what_only_a_person_can_decide_rings_until_it_is_closed() {
    promised(&[
        "`definite`: only a person can decide; it rings at once, and again after pauses of a day at most, until the \
         payment is closed.",
        "Lists every open payment whose newest execution failed, timed out or was aborted, and every one with \
         trouble.",
        "A shopper who walked away from 3-D Secure is not among them.",
        "After that, the log lines of payment-stands name those that wait for a person, as `definite`.",
        "Ends a payment that nothing else ends, and moves no money.",
        "A closed payment is not looked at any more, and no alarm rings for it.",
    ]);
    let app = TestApp::connect().await;
    let left = charge_on(&app.check_out(&app.order().await, CARD_APPROVED).await);
    let (paid, _) = app.unreadable().await;
    let charge = paid.charge_id();
    for _ in 0..2 {
        app.make_due(charge).await;
        app.make_due(&left).await;
        assert!(app.rings("payment-stands-definite").await);
        let pause = app.looked_at_in(charge).await;
        assert!((0..=DAY).contains(&pause), "{pause}");
    }
    assert_eq!(app.executions_of(charge).await, [charge]);

    let shell = app.shell_for(charge);
    let seen = shell.run("payment-stands", "see");
    for part in [charge, "definite", "ItemUnreadable"] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    let standing = shell.run("See what stands", "see");
    let line = format!("{charge} FAILED {} paid None None\n", paid.order.order_id);
    assert!(standing.contains(&line), "{line} is not in {standing}");
    assert!(!standing.contains(&left), "{standing}");

    // Somebody gives the money back in the portal, and says so.
    app.in_the_portal(charge, "void", json!({"reason": "nobody knows the total"}))
        .await;
    let shell = shell.with("MONEY", "returned");
    shell.run("Close by hand", "close");
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("returned\tNone\t2"), "{checked}");
    assert!(checked.trim().ends_with("by-hand"), "{checked}");
    assert_closed(&app.record(charge).await);
    assert_eq!(app.shown(&paid.order).await, "reversed");
    assert!(!shell.run("See what stands", "see").contains(charge));
    assert!(!app.rings("payment-stands-definite").await);
    assert_eq!(sent_again(&app, &shell, charge).await, ["payment.reversed"]);
    let bank = app.inspector.bank_charge(charge).await.expect("the bank");
    assert_eq!(bank["transaction_state"], "Voided", "{bank}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_that_stands_is_repaired_and_started_again() {
    let app = TestApp::connect().await;
    let (paid, payment) = app.unreadable().await;
    let charge = paid.charge_id();
    let order = &paid.order.order_id;
    let shell = app.shell_for(charge).with("NAME", charge);
    let seen = shell.run("Look at an execution", "execution");
    assert!(
        seen.contains("ItemUnreadable") && seen.contains("PayOrder"),
        "{seen}"
    );
    let record = shell.run("Look at a payment", "payment");
    assert!(
        record.contains(order) && !record.contains("tokn_"),
        "{record}"
    );

    app.change_order(order, "payment", &payment).await;
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("paid\torderPaid\t2"), "{checked}");
    app.assert_paid(&paid).await;
    // What it did stands in the log of every function that took part.
    let log = shell.run("Look at a payment", "payment-log");
    for word in [
        "the order is paid",
        "the outcome is recorded",
        "\"state\":\"PayOrder\"",
        order,
    ] {
        assert!(log.contains(word), "{word} is not in {log}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn one_that_somebody_aborted_stands_until_it_is_started_again() {
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.fails_to_be_told(&paid).await;
    app.make_due(charge).await;
    assert!(app.rings("payment-stands-definite").await);
    let shell = app.shell_for(charge);
    let seen = shell.run("payment-stands", "see");
    assert!(seen.contains("\"because\":\"Aborted\""), "{seen}");
    assert!(seen.contains(&format!("{charge} ABORTED")), "{seen}");
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    app.assert_paid_and_told(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_shop_that_was_away_for_days_is_told_by_itself() {
    promised(&["Then the shop is told by itself, after an hour at the latest."]);
    let app = TestApp::connect().await;
    let definition = app.with_short_waits().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.shop_answers(503, 1000).await;
    app.return_with(&paid.form).await;
    assert_failed(&app.execution(charge).await, "NotificationFailed");
    let key = app.key_of(charge).await;
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(73);
    app.change_record(
        &key,
        "SET decidedAt = :since, troubleSince = :seconds",
        &[
            (":since", json!(since.to_string())),
            (":seconds", ago(73 * HOUR)),
        ],
    )
    .await;
    app.make_due(charge).await;
    assert!(app.rings("payment-stands-shop").await);
    let seen = app.shell_for(charge).run("payment-stands", "see");
    assert!(seen.contains("\"kind\":\"shop\""), "{seen}");
    assert_failed(
        &app.execution(&format!("{charge}-1")).await,
        "NotificationFailed",
    );
    assert!(app.looked_at_in(charge).await <= HOUR);

    app.shop_answers(204, 0).await;
    app.make_due(charge).await;
    app.reconcile().await;
    assert_eq!(
        app.execution(&format!("{charge}-2")).await.status,
        "SUCCEEDED"
    );
    app.assert_paid_and_told(&paid).await;
    let events = app.inspector.shop_events_of_charge(charge).await;
    let events = events.expect("the shop");
    let told = events.last().expect("an event");
    assert_eq!((told.kind(), told.answered), ("payment.succeeded", 204));
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_card_that_cannot_be_saved_calls_nobody() {
    promised(&[
        "A card that could not be saved rings no alarm; its payment closes with `card: \"failed\"`.",
    ]);
    let app = TestApp::connect().await;
    let definition = app.with_short_waits().await;
    let quiet = Alarm::watch(&app.outputs, "payment-stands-technical").await;
    let paid = app.paying().await;
    app.starve("ensure-kbank-user").await;
    app.return_with(&paid.form).await;
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(execution.output.expect("output")["card"], "failed");
    app.feed("ensure-kbank-user").await;
    assert_closed(&app.record(paid.charge_id()).await);
    app.reconcile().await;
    assert!(quiet.value_in_the_logs().await < 1.0);
    app.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn what_is_closed_by_hand_does_not_contradict_the_record() {
    promised(&[
        "A charge that has paid its order is never closed as `declined` or `returned`.",
        "One that has paid nothing is never closed as `paid`.",
    ]);
    let app = TestApp::connect().await;
    let (unpaid, _) = app.unreadable().await;
    let paid = app.paying().await;
    app.fails_to_be_told(&paid).await;
    for (payment, words) in [
        (&paid, &["declined", "returned"][..]),
        (&unpaid, &["declined", "paid"]),
    ] {
        let charge = payment.charge_id();
        let open = app.record(charge).await;
        let shown = app.shown(&payment.order).await;
        for money in words {
            let shell = app.shell_for(charge);
            let printed = shell.script(
                &format!("close_as {money} || echo refused"),
                "closing what the record contradicts",
            );
            assert!(printed.ends_with("refused\n"), "{printed}");
            assert_eq!(app.record(charge).await, open);
            assert_eq!(app.shown(&payment.order).await, shown);
        }
    }
    let shell = app.shell_for(paid.charge_id()).with("MONEY", "paid");
    shell.run("Close by hand", "close");
    assert_closed(&app.record(paid.charge_id()).await);
    assert_eq!(app.shown(&paid.order).await, "paid");
    let shell = app.shell_for(unpaid.charge_id()).with("MONEY", "returned");
    shell.run("Close by hand", "close");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn refusal_needs_person() {
    promised(&[
        "The record was made by the former system or by master's checkout, which may have done something about it already: \
         so nothing is reversed without a person.",
        "The order is to be paid by this charge: put the order right in the shop, then restart.",
        "No money moves, and the order stays as it is.",
    ]);
    let app = TestApp::connect().await;
    for end in ["pay", "paid", "reverse"] {
        let alarm = Alarm::watch(&app.outputs, "refusal-needs-person").await;
        let (order, _, charge) = app.old_payment().await;
        let payment = app.payment_of(&order).await;
        let mut counterparties = payment.clone();
        counterparties["isPaid"] = json!(true);
        app.change_order(&order.order_id, "payment", &counterparties)
            .await;
        let form = shopper::bare_return(&charge);
        app.post_callback(FORM, form).await;
        assert_failed(&app.execution(&charge).await, "RefusalNeedsPerson");
        alarm.assert_met_in_the_logs().await;
        let state = async || {
            let bank = app.inspector.bank_charge(&charge).await.expect("the bank");
            bank["transaction_state"].clone()
        };
        assert_eq!(state().await, "Authorized");
        let shell = app.shell_for(&charge);
        assert!(shell.run("refusal-needs-person", "see").contains(&charge));
        match end {
            "pay" => {
                app.change_order(&order.order_id, "payment", &payment).await;
                app.restarted(&shell.run("Restart under a new name", "restart"))
                    .await;
                assert_eq!(app.payment_of(&order).await["paymentId"], charge.as_str());
                assert_eq!(state().await, "Authorized");
            }
            "paid" => {
                let shell = app.shell_for(&charge).with("MONEY", "paid");
                shell.run("Close by hand", "close");
                assert_eq!(app.payment_of(&order).await, counterparties);
                assert_eq!(state().await, "Authorized");
            }
            _ => {
                let printed = shell.run("refusal-needs-person", "repair");
                assert!(
                    compact(&printed).contains("\"reversal\":\"voided\""),
                    "{printed}"
                );
                app.restarted(&printed).await;
                assert_eq!(state().await, "Voided");
                assert_eq!(app.event_kinds_of(&charge).await, ["payment.reversed"]);
                assert_eq!(app.payment_of(&order).await, counterparties);
            }
        }
        let checked = shell.run("See whether it is repaired", "check");
        let became = match end {
            "pay" => "paid\torderPaid\t2",
            "paid" => "paid\tNone\t2",
            _ => "returned\treversed\t2",
        };
        assert!(checked.starts_with(became), "{end}: {checked}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn charge_unknown() {
    promised(&[
        "An inquiry rings only ten minutes after the checkout, because the bank's copies may lag behind before that.",
        "Nothing is lost: the payment waits, and is looked at again.",
        "Payments that wait go on by themselves when the bank knows them again, after an hour at the latest.",
    ]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "charge-unknown").await;
    let (paid, hastened) = (app.paying().await, app.paying().await);
    let mut unknown = Vec::new();
    for payment in [&paid, &hastened] {
        let key = app.key_of(payment.charge_id()).await;
        let id = random::id("chrg_test_");
        app.change_record(&key, "SET chargeId = :charge", &[(":charge", json!(id))])
            .await;
        // A bank whose copies lag behind calls nobody at first, but does after a quarter of an hour.
        app.make_older(&key, 5 * 60).await;
        unknown.push((key, id));
    }
    app.reconcile().await;
    assert!(alarm.value_in_the_logs().await < 1.0, "it rings at once");
    for (key, id) in &unknown {
        app.make_older(key, 15 * 60).await;
        let form = shopper::bare_return(id);
        app.post_callback(FORM, form).await;
        let execution = app.execution(id).await;
        assert_eq!(
            execution.states().last(),
            Some(&"AwaitBank"),
            "{execution:?}"
        );
        app.make_due(id).await;
        app.reconcile().await;
        let pause = app.looked_at_in(id).await;
        assert!((0..=HOUR).contains(&pause), "{pause}");
    }
    alarm.assert_met_in_the_logs().await;

    let seen = app.shell().run("charge-unknown", "see");
    for (payment, (key, id)) in [&paid, &hastened].into_iter().zip(&unknown) {
        assert!(seen.contains(id), "{seen}");
        let charge = [(":charge", json!(payment.charge_id()))];
        app.change_record(key, "SET chargeId = :charge", &charge)
            .await;
    }
    app.make_due(paid.charge_id()).await;
    app.reconcile().await;
    assert!(
        app.until_closed(&unknown[0].0, crate::tools::PATIENCE)
            .await
    );
    app.assert_paid(&paid).await;
    let shell = app.shell_for(hastened.charge_id());
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("paid\torderPaid\t2"), "{checked}");
    app.assert_paid(&hastened).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_charge_that_the_bank_has_not_known_for_a_day_stands() {
    promised(&[
        "When the bank has not known it for a day (the record's `unknownSince`), its execution fails with \
         `ChargeMismatch`.",
    ]);
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let key = app.key_of(paid.charge_id()).await;
    let unknown = random::id("chrg_test_");
    let values = [
        (":charge", json!(unknown)),
        (":since", ago(DAY + 60)),
        (":past", json!(1)),
    ];
    let update = "SET chargeId = :charge, unknownSince = :since, lookAgainAt = :past";
    app.change_record(&key, update, &values).await;
    app.reconcile().await;
    assert_failed(&app.execution(&unknown).await, "ChargeMismatch");
    app.make_due(&unknown).await;
    assert!(app.rings("payment-stands-definite").await);
    // The bank confirms that it has none.
    let shell = app.shell_for(&unknown).with("MONEY", "declined");
    shell.run("Close by hand", "close");
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("declined\tNone\t2"), "{checked}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn unknown_state() {
    promised(&[
        "The system treats it as \"not decided\" and asks again.",
        "It never gives up such a payment: after a week payment-stands rings for it, with `UnknownState`.",
        "Payments that wait go on by themselves then.",
        "The bank says what became of the money, and never corrects the charge: close it by hand as what it says.",
    ]);
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "unknown-state").await;
    let payments = [app.paying().await, app.paying().await, app.paying().await];
    for paid in &payments {
        app.speak(paid.charge_id(), Dialect::MisspeltAuthorized)
            .await;
    }
    let [paid, hastened, never] = &payments;
    app.return_with(&paid.form).await;
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(
        execution.states().last(),
        Some(&"AwaitBank"),
        "{execution:?}"
    );
    alarm.assert_met_in_the_logs().await;
    let shell = app.shell_for(hastened.charge_id());
    let seen = shell.run("unknown-state", "see");
    assert!(
        seen.contains(paid.charge_id()) && seen.contains("Auhtorized"),
        "{seen}"
    );
    for payment in &payments {
        app.make_older(&app.key_of(payment.charge_id()).await, 8 * DAY)
            .await;
    }
    assert!(app.rings("payment-stands-definite").await);
    let seen_standing = shell.run("payment-stands", "see");
    for payment in &payments {
        let charge = payment.charge_id();
        assert!(seen_standing.contains(charge), "{seen_standing}");
        assert!(app.looked_at_in(charge).await <= DAY);
    }

    // The bank uses the right word from now on. A program that knew the word would do the same.
    for payment in [paid, hastened] {
        app.speak(payment.charge_id(), Dialect::Usual).await;
    }
    app.make_due(paid.charge_id()).await;
    app.reconcile().await;
    let key = app.key_of(paid.charge_id()).await;
    assert!(app.until_closed(&key, crate::tools::PATIENCE).await);
    app.assert_paid(paid).await;
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("paid\torderPaid\t2"), "{checked}");
    app.assert_paid(hastened).await;

    app.in_the_portal(never.charge_id(), "void", json!({"reason": "by hand"}))
        .await;
    let shell = app.shell_for(never.charge_id()).with("MONEY", "returned");
    shell.run("Close by hand", "close");
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("returned\tNone\t2"), "{checked}");
    app.reconcile().await;
    assert!(!app.rings("payment-stands-definite").await);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn orphan_checkout() {
    promised(&[
        "For a day the system looked for the charge by itself: by the ids that notifications and returns named, and by the \
         reference.",
        "It rings again once a day, until you have closed the checkout.",
        "The line names the order and the checkout: its `recordKey` and its `reference`.",
        "There is a charge with this reference and the right amount: put its id into the record and have reconciliation \
         look at it.",
        "If the order is paid already, the charge goes back by itself.",
        "The order's other checkouts stay open.",
    ]);
    let app = TestApp::connect().await;
    // By the reference, or by an id that somebody named.
    let order = app.order().await;
    let (token, reference) = dead_checkout(&app, &order, 1).await;
    let found = app.charge_at_the_bank(&token, &reference).await;
    let named_order = app.order().await;
    let (named_token, named_reference) = dead_checkout(&app, &named_order, 1).await;
    let named = app.charge_at_the_bank(&named_token, &named_reference).await;
    let named_charge = named.charge_id().expect("charge");
    let key = app.inspector.key_of_token(&named_token).expect("a token");
    let ids = [(":ids", json!([named_charge]))];
    app.change_record(&key, "SET returnedCharges = :ids, cameBackAt = :ids", &ids)
        .await;
    app.reconcile().await;
    for (order, form) in [(&order, &found), (&named_order, &named)] {
        let charge = form.charge_id().expect("charge");
        assert_eq!(app.execution(charge).await.status, "SUCCEEDED");
        assert_eq!(app.payment_of(order).await["paymentId"], charge);
    }

    let alarm = Alarm::watch(&app.outputs, "orphan-checkout").await;
    // A deployment that does not say that its bank finds charges by reference.
    let reconcile = Function::of(&app, "reconcile").await;
    reconcile.set("BANK_FINDS_BY_REFERENCE", "").await;
    // Three cards of one order.
    let order = app.order().await;
    let mut dead = Vec::new();
    for _ in 0..3 {
        let (token, reference) = dead_checkout(&app, &order, 1).await;
        let key = app.inspector.key_of_token(&token).expect("a token");
        dead.push((key, token, reference));
    }
    let shell = app.shell().with("ORDER", &order.order_id);
    shell.run("Reconcile now", "reconcile");
    alarm.assert_met_in_the_logs().await;
    let seen = shell.run("orphan-checkout", "see");
    assert!(seen.contains(&order.order_id), "{seen}");
    for (key, _, reference) in &dead {
        let line = seen.lines().find(|line| line.contains(key.as_str()));
        assert!(line.is_some_and(|line| line.contains(reference)), "{seen}");
        let at = app.read_record(key).await["lookAgainAt"].as_i64();
        let pause = at.expect("it is open") - jiff::Timestamp::now().as_second();
        assert!((DAY - HOUR..=DAY).contains(&pause), "{pause}");
    }

    // The bank finds the charges of two after all: one pays, and the other goes back.
    for (at, (key, token, reference)) in dead[..2].iter().enumerate() {
        let form = app.charge_at_the_bank(token, reference).await;
        let charge = form.charge_id().expect("charge").to_owned();
        let shell = app.shell_for(&charge).with("ORDER", &order.order_id);
        let shell = shell.with("KEY", key).with("REFERENCE", reference);
        let report = compact(&shell.run("orphan-checkout", "repair"));
        assert!(report.contains("\"failed\":0"), "{report}");
        assert_eq!(app.execution(&charge).await.status, "SUCCEEDED");
        let resolution = if at == 0 { "orderPaid" } else { "reversed" };
        assert_eq!(app.read_record(key).await["resolution"], resolution);
        let checked = shell.run("orphan-checkout", "check");
        assert!(checked.contains(&charge), "{checked}");
        // The others stay open.
        let last = app.read_record(&dead[2].0).await;
        assert!(last.get("openShard").is_some(), "{last}");
    }
    // The person writes that the last card was not charged.
    let (key, _, reference) = &dead[2];
    let shell = shell.with("KEY", key).with("REFERENCE", reference);
    shell.run("orphan-checkout", "close");
    let checked = shell.run("orphan-checkout", "check");
    assert!(checked.contains("never-charged"), "{checked}");
    // From then on the order waits for no card.
    let row = app.inspector.check_status(&order.order_id).await;
    let row = row.expect("the table").expect("the row");
    assert!(row.get("askedFor").is_none(), "{row}");
    assert!(!app.rings("orphan-checkout").await);
    reconcile.restore().await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn reconcile_behind() {
    promised(&[
        "A run's line says how many records it saw (`seen`), what it did, how many it could not look at \
         (`failed`), and how long the oldest of them had been due (`oldestDueSeconds`).",
        "Repaired when a run's `oldestDueSeconds` is small again.",
    ]);
    let app = TestApp::connect().await;
    // A shopper who left three hours ago and whose payment is not due: nobody is called for that.
    let page = app.check_out(&app.order().await, CARD_APPROVED).await;
    let left = charge_on(&page);
    let three_hours = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(3);
    app.change_record(
        &app.key_of(&left).await,
        "SET lookAgainAt = :later, openSince = :since",
        &[
            (":later", ago(-HOUR)),
            (":since", json!(three_hours.to_string())),
        ],
    )
    .await;
    // A run reconciles what other tests left.
    app.reconcile().await;
    let quiet = Alarm::watch(&app.outputs, "reconcile-behind").await;
    app.reconcile().await;
    let before = quiet.value_in_the_logs().await;
    assert!(before < 1800.0, "something waits already: {before}");
    // A payment that has been due for an hour.
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    app.change_record(&key, "SET lookAgainAt = :due", &[(":due", ago(HOUR))])
        .await;

    let alarm = Alarm::watch(&app.outputs, "reconcile-behind").await;
    let shell = app.shell();
    let report = compact(&shell.run("Reconcile now", "reconcile"));
    assert!(report.contains("\"oldestDueSeconds\":36"), "{report}");
    alarm.assert_met_in_the_logs().await;
    let seen = shell.run("reconcile-behind", "see");
    for part in ["\"oldestDueSeconds\":36", "\"seen\":", "\"failed\":0"] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    assert!(app.until_closed(&key, crate::tools::PATIENCE).await);
    app.assert_paid(&paid).await;
    let after = Alarm::watch(&app.outputs, "reconcile-behind").await;
    app.reconcile().await;
    assert!(after.value_in_the_logs().await < 1800.0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn reconcile_not_running() {
    promised(&[
        "Callbacks still work;",
        "Repaired when the answer counts something as `seen` or nothing is due, and `failed` is 0.",
        "Looks at every open payment that is due, as the schedule does every minute.",
    ]);
    let app = TestApp::connect().await;
    let shell = app.shell();
    let (returned, lost) = (app.paying().await, app.paying().await);
    shell.script(
        "for RULE in $(aws events list-rules --name-prefix payment3-reconcile- --query 'Rules[].Name' --output text); do
           case $RULE in *-$BRANCH | *-$BRANCH-[0-9]) aws events disable-rule --name $RULE ;; esac
         done",
        "stopping the rules",
    );
    let alarm = Alarm::watch(&app.outputs, "reconcile-not-running").await;
    let seen = shell.run("reconcile-not-running", "see");
    let schedules: Vec<_> = seen.lines().filter(|line| line.contains("rate(")).collect();
    assert!(!schedules.is_empty(), "{seen}");
    for schedule in schedules {
        assert!(schedule.ends_with("DISABLED\trate(1 minute)"), "{seen}");
    }
    assert!(alarm.value_in_the_logs().await < 1.0, "it runs");
    app.return_with(&returned.form).await;
    assert_eq!(
        app.execution(returned.charge_id()).await.status,
        "SUCCEEDED"
    );
    app.assert_paid(&returned).await;

    app.make_due(lost.charge_id()).await;
    let report = compact(&shell.run("reconcile-not-running", "repair"));
    assert!(report.contains("\"failed\":0"), "{report}");
    // The local AWS fires a rule that is enabled at once: either run may have found the payment.
    let seen = shell.run("reconcile-not-running", "see");
    assert!(!seen.contains("DISABLED"), "{seen}");
    assert!(seen.contains("reconciled"), "{seen}");
    assert!(alarm.value_in_the_logs().await >= 1.0, "no run was counted");
    assert_eq!(app.execution(lost.charge_id()).await.status, "SUCCEEDED");
    app.assert_paid(&lost).await;
}
