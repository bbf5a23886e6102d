//! What reconciliation does with payments that got no callback, and with checkouts that died.

use payment3_activities::bank::GatewaySecret;
use payment3_bank::{PUBLIC_KEY, SECRET_KEY};
use payment3_harness::random;
use payment3_harness::shopper::{self, CARD_APPROVED};
use serde_json::{Value, json};

use crate::support::{AtTheBank, TestApp, assert_closed, charge_on, new_user_path};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The fingerprint of the sandbox bank's key, as records hold it.
fn bank_key() -> String {
    let secret =
        json!({"url": "https://gateway.example", "b2c": format!("{PUBLIC_KEY}:{SECRET_KEY}")});
    let secret = GatewaySecret::parse(&secret.to_string()).expect("a secret");
    secret.fingerprint()
}

impl TestApp {
    /// The record of a checkout that died before it stored a charge; not due yet.
    async fn dead_checkout(&self, reference: &str) -> (Value, payment3_harness::shop_api::Order) {
        let order = self.order().await;
        let token = self.card_token(CARD_APPROVED).await;
        let record = json!({
            "tokenId": self.inspector.key_of_token(&token).expect("a token"), "token": token,
            "orderId": order.order_id, "ownerId": order.owner_id, "amountSatang": 150_000, "currency": "THB",
            "referenceOrder": reference, "saveCard": true, "outcome": "pending", "status": false, "attempt": 0,
            "openShard": 3, "lookAgainAt": i64::from(u32::MAX), "openSince": "2026-01-01T00:00:00Z",
            "bankKey": bank_key(),
        });
        self.put_record(&record).await;
        (record, order)
    }

    /// In how many seconds an open record is due.
    async fn due_in(&self, key: &str) -> i64 {
        let record = self.read_record(key).await;
        let due = record["lookAgainAt"].as_i64();
        due.expect("open") - jiff::Timestamp::now().as_second()
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_that_got_no_callback_and_no_notification_is_paid() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    // Not due yet: the shopper may still be on the way.
    app.reconcile().await;
    assert_eq!(app.executions_of(charge).await, [""; 0]);
    app.make_older(&app.key_of(charge).await, 6 * MINUTE).await;
    app.reconcile().await;
    let execution = app.execution(charge).await;
    assert_eq!(execution.states(), new_user_path());
    app.assert_paid(&paid).await;
    // It is not due any more.
    app.reconcile().await;
    assert_eq!(app.executions_of(charge).await, [charge]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_callback_before_the_bank_decided_costs_an_inquiry_and_the_next_attempt_pays() {
    let app = TestApp::connect().await;
    let AtTheBank {
        order,
        page,
        charge,
        ..
    } = app.at_the_bank().await;
    let forged = shopper::bare_return(&charge);
    let answer = app
        .post_callback(payment3_harness::http::FORM, forged)
        .await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let execution = app.execution(&charge).await;
    assert_eq!(
        execution.states(),
        payment3_model::path(payment3_model::Machine::Payment, &["ChargePending"])
    );
    let record = app.record(&charge).await;
    assert_eq!(
        (&record["attempt"], &record["outcome"]),
        (&json!(1), &json!("pending")),
        "{record}"
    );
    assert_eq!(app.payment_of(&order).await["isPaid"], false);

    let form = shopper::authenticate(&page).await.expect("the bank's page");
    app.return_with(&form).await;
    let execution = app.execution(&format!("{charge}-1")).await;
    assert_eq!(execution.states(), new_user_path());
    assert_eq!(app.payment_of(&order).await["paymentId"], charge.as_str());
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_that_nobody_finishes_costs_inquiries_at_pauses_that_grow_with_its_age_and_no_execution()
 {
    let app = TestApp::connect().await;
    let AtTheBank { charge, key, .. } = app.at_the_bank().await;
    for (age, again_in) in [
        (MINUTE, MINUTE),
        (10 * MINUTE, 5 * MINUTE),
        (30 * MINUTE, 15 * MINUTE),
        (2 * HOUR, HOUR),
        (12 * HOUR, 6 * HOUR),
        (2 * DAY, DAY),
    ] {
        app.make_older(&key, age).await;
        app.reconcile().await;
        let wait = app.due_in(&key).await;
        assert!(
            (again_in - 30..=again_in).contains(&wait),
            "{age} old: again in {wait} s, not {again_in}"
        );
    }
    assert_eq!(app.executions_of(&charge).await, [""; 0]);
    assert_eq!(app.read_record(&key).await["attempt"], 0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_attempt_that_failed_for_a_technical_reason_is_followed_by_the_next_under_a_new_name() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    // A record that is not found is the one technical error that fails an execution at once. It stands for a throttled
    // call.
    let record = app.read_record(&key).await;
    app.delete(&app.table("card-payment-record"), &key).await;
    app.start_by_hand_as(charge, &json!({"chargeId": charge}))
        .await;
    let failure = app.execution(charge).await.failure.expect("a failure");
    assert_eq!(failure.error, "RecordNotFound");
    app.put_record(&record).await;

    let undisturbed = app.undisturbed().await;
    app.make_older(&key, 6 * MINUTE).await;
    let report = undisturbed.reconcile().await;
    drop(undisturbed);
    assert!(report["restarted"].as_i64() >= Some(1), "{report}");
    let next = format!("{charge}-1");
    let execution = app.execution(&next).await;
    assert_eq!(execution.states(), new_user_path());
    app.assert_paid(&paid).await;
    let mut executions = app.executions_of(charge).await;
    executions.sort();
    assert_eq!(executions, [charge, next.as_str()]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_charge_of_a_dead_checkout_is_found_by_its_reference_and_pays() {
    let app = TestApp::connect().await;
    let reference = random::digits(20);
    let (record, order) = app.dead_checkout(&reference).await;
    let token = record["token"].as_str().expect("token");
    let form = app.charge_at_the_bank(token, &reference).await;
    let id = form.charge_id().expect("charge");
    app.make_older(record["tokenId"].as_str().expect("key"), 3 * MINUTE)
        .await;
    app.reconcile().await;
    let execution = app.execution(id).await;
    assert_eq!(execution.states(), new_user_path());
    assert_eq!(app.payment_of(&order).await["paymentId"], id);
    assert_closed(&app.record(id).await);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_checkout_that_the_bank_never_charged_is_closed_when_that_is_certain() {
    let app = TestApp::connect().await;
    let (record, order) = app.dead_checkout(&random::digits(20)).await;
    let key = record["tokenId"].as_str().expect("key").to_owned();
    let due_in = |record: &Value| {
        record["lookAgainAt"].as_i64().expect("open") - jiff::Timestamp::now().as_second()
    };
    for (age, again_in) in [(5 * MINUTE, 15 * MINUTE), (21 * MINUTE, DAY - 21 * MINUTE)] {
        app.make_older(&key, age).await;
        app.reconcile().await;
        let record = app.read_record(&key).await;
        let wait = due_in(&record);
        assert!(
            (again_in - 30..=again_in + 30).contains(&wait),
            "{wait}: {record}"
        );
    }
    app.make_older(&key, DAY + MINUTE).await;
    app.reconcile().await;
    let record = app.read_record(&key).await;
    assert_closed(&record);
    assert_eq!(record["closedAs"], "never-charged", "{record}");
    assert!(record.get("token").is_none(), "{record}");
    assert_eq!(app.payment_of(&order).await["isPaid"], false);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_is_abandoned_after_a_week_only_if_the_bank_has_not_decided() {
    let app = TestApp::connect().await;
    // The shopper left the bank's page.
    let order = app.order().await;
    let page = app.check_out(&order, CARD_APPROVED).await;
    let left = charge_on(&page);
    // The shopper passed 3-D Secure, and both callbacks were lost.
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    for charge in [left.as_str(), paid.charge_id()] {
        app.make_older(&app.key_of(charge).await, 8 * DAY).await;
    }
    app.reconcile().await;
    let record = app.record(&left).await;
    assert_closed(&record);
    assert_eq!(record["closedAs"], "abandoned", "{record}");
    let status = app
        .inspector
        .check_status(&order.order_id)
        .await
        .expect("table")
        .expect("row");
    assert_eq!(status["status"], "declined", "{status}");
    assert_eq!(app.executions_of(&left).await, [""; 0]);

    app.execution(paid.charge_id()).await;
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_that_was_given_up_pays_when_the_bank_decides_after_all() {
    let app = TestApp::connect().await;
    for how in ["its return", "its execution", "a notification"] {
        let AtTheBank {
            order,
            page,
            charge,
            ..
        } = app.at_the_bank().await;
        app.make_older(&app.key_of(&charge).await, 8 * DAY).await;
        app.reconcile().await;
        let given_up = app.record(&charge).await;
        assert_eq!(given_up["closedAs"], "abandoned", "{how}");

        if how == "a notification" {
            // A return before the bank has decided asks the bank, at most once in ten seconds, and changes nothing.
            let early = shopper::bare_return(&charge);
            for _ in 0..2 {
                app.post_callback(payment3_harness::http::FORM, early.clone())
                    .await;
            }
            assert_eq!(app.executions_of(&charge).await, [""; 0]);
            let mut record = app.record(&charge).await;
            record
                .as_object_mut()
                .expect("fields")
                .remove("returnAskedAt");
            assert_eq!(record, given_up);
        }
        let form = shopper::authenticate(&page).await.expect("the bank's page");
        let execution = match how {
            "its return" => {
                app.return_with(&form).await;
                app.execution(&format!("{charge}-1")).await
            }
            // An execution that was started earlier, or by a person, opens the record again.
            "its execution" => app.start_by_hand(&charge).await,
            _ => {
                let sent = app.notify(&charge).await;
                assert_eq!(sent["answer"], 200, "{sent}");
                app.execution(&format!("{charge}-1")).await
            }
        };
        assert_eq!(execution.status, "SUCCEEDED", "{how}: {execution:?}");
        assert_eq!(
            app.payment_of(&order).await["paymentId"],
            charge.as_str(),
            "{how}"
        );
        let record = app.record(&charge).await;
        assert_closed(&record);
        assert_eq!(record["closedAs"], "paid", "{how}");
        assert_eq!(
            app.event_kinds_for(&order).await,
            ["payment.succeeded"],
            "{how}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_that_is_given_up_under_an_execution_is_open_when_the_bank_has_authorised_it() {
    let app = TestApp::connect().await;
    let AtTheBank {
        order,
        page,
        charge,
        key,
    } = app.at_the_bank().await;
    // The execution has read the record. Then the payment is given up, and after that the shopper passes 3-D Secure.
    let payment = app
        .call("lookup-record", &json!({"chargeId": charge}))
        .await
        .expect("a payment");
    app.make_older(&key, 8 * DAY).await;
    app.reconcile().await;
    assert_eq!(app.record(&charge).await["closedAs"], "abandoned");
    shopper::authenticate(&page).await.expect("the bank's page");
    let now = jiff::Timestamp::now().as_second();
    let decision = json!({
        "payment": payment, "outcome": "paid", "transactionState": "Authorized", "askedAt": now,
    });
    let undisturbed = app.undisturbed().await;
    let first = app.call("record-outcome", &decision).await;
    assert_eq!(first, Err("TransactionConflict".to_owned()));
    app.call("record-outcome", &decision)
        .await
        .expect("recorded");
    // The execution dies here. The record is open, so reconciliation returns to it.
    let record = app.read_record(&key).await;
    assert!(record["openShard"].is_number(), "{record}");
    assert_eq!(record["outcome"], "paid");
    app.make_older(&key, 8 * DAY).await;
    undisturbed.reconcile().await;
    drop(undisturbed);
    app.execution(&charge).await;
    assert_eq!(app.payment_of(&order).await["paymentId"], charge.as_str());
    assert_closed(&app.record(&charge).await);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_record_that_cannot_be_read_stops_nothing() {
    let app = TestApp::connect().await;
    let broken = random::id("broken-");
    for shard in 0..16 {
        let record = json!({
            "tokenId": format!("{broken}-{shard}"), "outcome": "nonsense", "openShard": shard, "lookAgainAt": 0,
        });
        app.put_record(&record).await;
    }
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    app.make_older(&app.key_of(paid.charge_id()).await, 6 * MINUTE)
        .await;
    app.reconcile().await;
    app.execution(paid.charge_id()).await;
    app.assert_paid(&paid).await;
    // Each broken record was reported and is due later, whichever run found it.
    for shard in 0..16 {
        let key = format!("{broken}-{shard}");
        let wait = app.due_in(&key).await;
        assert!((5 * HOUR..=6 * HOUR).contains(&wait), "{shard}: {wait}");
        app.change_record(&key, "REMOVE openShard, lookAgainAt", &[])
            .await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_whose_execution_failed_for_good_gets_no_new_execution_and_longer_pauses() {
    let app = TestApp::connect().await;
    let failing = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = failing.charge_id();
    let key = app.key_of(charge).await;
    // The bank's charge differs from the record, which needs a person.
    app.change_record(
        &key,
        "SET amountSatang = :other",
        &[(":other", json!(150_001))],
    )
    .await;
    app.return_with(&failing.form).await;
    let execution = app.execution(charge).await;
    let failure = execution.failure.as_ref().expect("a failure");
    assert_eq!(failure.error, "ChargeMismatch");

    app.make_older(&key, HOUR).await;
    app.reconcile().await;
    let record = app.read_record(&key).await;
    let wait = record["lookAgainAt"].as_i64().expect("open") - jiff::Timestamp::now().as_second();
    assert!(
        (14 * MINUTE..=15 * MINUTE).contains(&wait),
        "{wait}: {record}"
    );
    assert_eq!(app.executions_of(charge).await, [charge]);
    assert_eq!(app.payment_of(&failing.order).await["isPaid"], false);

    // After the repair it is started by hand, and pays.
    app.change_record(
        &key,
        "SET amountSatang = :right",
        &[(":right", json!(150_000))],
    )
    .await;
    let execution = app.start_by_hand(charge).await;
    assert_eq!(execution.states(), new_user_path());
    assert_eq!(app.payment_of(&failing.order).await["paymentId"], charge);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_old_payment_fails_only_once_the_bank_has_not_known_its_charge_for_a_day() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let key = app.key_of(paid.charge_id()).await;
    let unknown = random::id("chrg_test_");
    let named = |charge: &str| [(":charge", json!(charge))];
    app.change_record(&key, "SET chargeId = :charge", &named(&unknown))
        .await;
    app.make_older(&key, 2 * DAY).await;
    app.reconcile().await;
    let now = jiff::Timestamp::now().as_second();
    let record = app.read_record(&key).await;
    let since = record["unknownSince"].as_i64().expect("a time");
    assert!((now - MINUTE..=now).contains(&since), "{since}: {record}");
    // A wrong key is repaired within minutes, so the pause does not grow with the payment's age.
    assert!(app.due_in(&key).await <= MINUTE);

    // The next run keeps the time at which it began.
    app.make_older(&key, 2 * DAY).await;
    app.reconcile().await;
    assert_eq!(app.read_record(&key).await["unknownSince"], since);
    assert_eq!(app.executions_of(&unknown).await, [""; 0]);

    let a_day_ago = [(":since", json!(now - DAY))];
    app.change_record(&key, "SET unknownSince = :since", &a_day_ago)
        .await;
    app.make_older(&key, 2 * DAY).await;
    app.reconcile().await;
    let execution = app.execution(&unknown).await;
    let failure = execution.failure.as_ref().expect("a failure");
    assert_eq!(failure.error, "ChargeMismatch");

    // The right key knows the charge, and the payment goes on.
    app.change_record(&key, "SET chargeId = :charge", &named(paid.charge_id()))
        .await;
    app.make_older(&key, 2 * DAY).await;
    app.reconcile().await;
    app.execution(paid.charge_id()).await;
    app.assert_paid(&paid).await;
    assert!(app.read_record(&key).await.get("unknownSince").is_none());
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_charge_that_another_key_does_not_know_is_not_taken_for_unknown() {
    let app = TestApp::connect().await;
    let another = [(":key", json!("another key"))];
    // The bank does not know the charge: the day does not begin, and the bank is asked again soon.
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let key = app.key_of(paid.charge_id()).await;
    let unknown = [(":charge", json!(random::id("chrg_test_")))];
    app.change_record(&key, "SET chargeId = :charge", &unknown)
        .await;
    app.change_record(&key, "SET bankKey = :key", &another)
        .await;
    app.make_older(&key, 2 * DAY).await;
    app.reconcile().await;
    let record = app.read_record(&key).await;
    assert!(record.get("unknownSince").is_none(), "{record}");
    assert!(record["troubleSince"].is_number(), "{record}");
    assert!(app.due_in(&key).await <= MINUTE, "{record}");

    // A dead checkout is not closed as never charged: it needs a person.
    let (record, _) = app.dead_checkout(&random::digits(20)).await;
    let key = record["tokenId"].as_str().expect("key").to_owned();
    app.change_record(&key, "SET bankKey = :key", &another)
        .await;
    let undisturbed = app.undisturbed().await;
    app.make_older(&key, DAY + MINUTE).await;
    let report = undisturbed.reconcile().await;
    assert!(report["orphans"].as_i64() >= Some(1), "{report}");
    let record = app.read_record(&key).await;
    assert!(record.get("closedAt").is_none(), "{record}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_checkout_whose_shopper_came_back_is_left_to_a_person_when_the_bank_knows_no_charge() {
    let app = TestApp::connect().await;
    let (record, _) = app.dead_checkout(&random::digits(20)).await;
    let key = record["tokenId"].as_str().expect("key").to_owned();
    let token = record["token"].as_str().expect("token");
    let charge = random::id("chrg_test_");
    let form = format!("objectId={charge}&status=true&token={token}");
    let answer = app.post_callback(payment3_harness::http::FORM, form).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    // Only the return names this charge: no execution starts, and the record does not store it.
    assert_eq!(app.executions_of(&charge).await, [""; 0]);
    assert!(app.read_record(&key).await.get("chargeId").is_none());

    app.make_older(&key, 2 * DAY).await;
    app.reconcile().await;
    let record = app.read_record(&key).await;
    assert!(record.get("closedAt").is_none(), "{record}");
    let wait = record["lookAgainAt"].as_i64().expect("open") - jiff::Timestamp::now().as_second();
    assert!((DAY - MINUTE..=DAY).contains(&wait), "{wait}: {record}");
}
