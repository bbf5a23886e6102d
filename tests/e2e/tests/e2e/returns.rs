//! What a browser's return may start, and what it leaves when its process dies or fails in the middle.

use std::sync::Arc;

use payment3_bank::Dialect;
use payment3_harness::http::FORM;
use payment3_harness::shopper::{self, CARD_APPROVED};
use payment3_harness::{logs, random};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::lossy::{starts_in_vain, starts_nothing};
use crate::support::{AtTheBank, TestApp, new_user_path};

const DAY: i64 = 24 * 60 * 60;

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// In how many seconds a record is due.
fn due_in(record: &Value) -> i64 {
    record["lookAgainAt"].as_i64().expect("open") - now()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_whose_return_could_start_no_execution_is_due_soon() {
    let app = TestApp::connect().await;
    let fails = starts_nothing(&app.outputs.aws_endpoint);
    for attempt in [0, 1] {
        let AtTheBank { charge, key, .. } = app.at_the_bank().await;
        app.change_record(
            &key,
            "SET attempt = :attempt, lookAgainAt = :late",
            &[(":attempt", json!(attempt)), (":late", json!(now() + DAY))],
        )
        .await;
        // The browser is still sent on.
        let answer = app
            .post_at(&fails, "POST /callback", shopper::bare_return(&charge))
            .await;
        assert_eq!(answer.status_code, 303, "{attempt}: {answer:?}");
        let record = app.read_record(&key).await;
        assert!((0..=300).contains(&due_in(&record)), "{attempt}: {record}");
        let counted = record["returnStarts"].as_array().map_or(0, Vec::len);
        assert_eq!(counted, attempt, "{record}");
        assert_eq!(app.executions_of(&charge).await, [""; 0], "{attempt}");

        // A payment that is due earlier stays due at that time.
        let earlier = record["lookAgainAt"].as_i64().expect("open") - 200;
        let values = [(":earlier", json!(earlier))];
        app.change_record(&key, "SET lookAgainAt = :earlier", &values)
            .await;
        app.post_at(&fails, "POST /callback", shopper::bare_return(&charge))
            .await;
        assert_eq!(app.read_record(&key).await["lookAgainAt"], earlier);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_due_payment_is_put_off_once_its_return_has_started_an_execution_and_not_before() {
    let app = TestApp::connect().await;
    let fails = starts_nothing(&app.outputs.aws_endpoint);
    for attempt in [0, 1] {
        let AtTheBank { charge, key, .. } = app.at_the_bank().await;
        app.hide_from_reconciliation(&key).await;
        let due = now() - 20;
        app.change_record(
            &key,
            "SET attempt = :attempt, lookAgainAt = :due",
            &[(":attempt", json!(attempt)), (":due", json!(due))],
        )
        .await;
        if attempt == 0 {
            // Anyone can post many of these. None puts the payment off.
            app.post_at(&fails, "POST /callback", shopper::bare_return(&charge))
                .await;
            assert_eq!(app.read_record(&key).await["lookAgainAt"], due);
        }
        // This AWS starts no execution, so only the return writes to the record.
        let starts = starts_in_vain(&app.outputs.aws_endpoint);
        let answer = app
            .post_at(&starts, "POST /callback", shopper::bare_return(&charge))
            .await;
        assert_eq!(answer.status_code, 303, "{attempt}: {answer:?}");
        let record = app.read_record(&key).await;
        assert!(
            (290..=300).contains(&due_in(&record)),
            "{attempt}: {record}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_payment_is_put_off_by_an_execution_that_a_person_starts_whatever_is_decided() {
    let app = TestApp::connect().await;
    for outcome in ["pending", "paid"] {
        for due in [now() + DAY, now() - 20] {
            let AtTheBank { charge, key, .. } = app.at_the_bank().await;
            app.hide_from_reconciliation(&key).await;
            let values = [(":outcome", json!(outcome)), (":due", json!(due))];
            app.change_record(&key, "SET outcome = :outcome, lookAgainAt = :due", &values)
                .await;
            let input = json!({"chargeId": charge, "recordKey": key});
            app.call("lookup-record", &input).await.expect("a payment");
            let record = app.read_record(&key).await;
            assert!((280..=300).contains(&due_in(&record)), "{record}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_opens_a_payment_that_was_given_up_if_the_bank_names_an_unknown_state() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    app.speak(charge, Dialect::UnknownState).await;
    let update = "SET outcome = :declined, closedAs = :abandoned, closedAt = :abandoned, decidedAt = :abandoned REMOVE openShard, lookAgainAt";
    let words = [
        (":declined", json!("declined")),
        (":abandoned", json!("abandoned")),
    ];
    app.change_record(&key, update, &words).await;

    app.return_with(&paid.form).await;
    // The record is open again, so reconciliation reports the unknown state as long as it lasts.
    let record = app.read_record(&key).await;
    assert!(record["openShard"].is_number(), "{record}");
    for gone in ["closedAs", "closedAt", "decidedAt"] {
        assert!(record.get(gone).is_none(), "{gone}: {record}");
    }
    let reported = |lines: &[String]| lines.iter().any(|line| line.contains("\"UnknownState\""));
    let lines = logs::wait_for_lines(&app.outputs, "callback", charge, reported).await;
    let lines = lines.expect("the log");
    assert!(reported(&lines), "{lines:?}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_return_beyond_the_third_asks_the_bank_and_goes_on_when_it_has_decided() {
    let app = TestApp::connect().await;
    for given_up in [false, true] {
        let AtTheBank {
            order,
            page,
            charge,
            key,
        } = app.at_the_bank().await;
        app.hide_from_reconciliation(&key).await;
        let at = now();
        app.change_record(
            &key,
            "SET attempt = :two, lookAgainAt = :late, returnStarts = :starts",
            &[
                (":two", json!(2)),
                (":late", json!(at + DAY)),
                (":starts", json!([at - 500, at])),
            ],
        )
        .await;
        if given_up {
            let update = "SET outcome = :declined, closedAs = :abandoned, closedAt = :abandoned REMOVE openShard, lookAgainAt";
            let words = [
                (":declined", json!("declined")),
                (":abandoned", json!("abandoned")),
            ];
            app.change_record(&key, update, &words).await;
        }
        let before = app.read_record(&key).await;

        // The bank has not decided: many returns make one inquiry, and only mark the record as asked and due.
        for _ in 0..3 {
            let answer = app.post_callback(FORM, shopper::bare_return(&charge)).await;
            assert_eq!(answer.status, 303, "{answer:?}");
        }
        assert_eq!(app.inquiries_of(&charge).await, 1, "{given_up}");
        assert_eq!(app.executions_of(&charge).await, [""; 0], "{given_up}");
        let mut asked = app.read_record(&key).await;
        assert!(asked["returnAskedAt"].as_i64() >= Some(at), "{asked}");
        if !given_up {
            assert!(due_in(&asked) <= 0, "{asked}");
            asked["lookAgainAt"] = before["lookAgainAt"].clone();
        }
        asked
            .as_object_mut()
            .expect("fields")
            .remove("returnAskedAt");
        assert_eq!(asked, before, "{given_up}");

        // The bank has decided, and the ten seconds are over.
        let form = shopper::authenticate(&page).await.expect("the bank's page");
        let values = [(":over", json!(now() - 10))];
        app.change_record(&key, "SET returnAskedAt = :over", &values)
            .await;
        app.return_with(&form).await;
        let name = format!("{charge}-{}", if given_up { 3 } else { 2 });
        let execution = app.execution(&name).await;
        if given_up {
            assert!(execution.has_succeeded(), "{execution:?}");
        } else {
            assert_eq!(execution.states(), new_user_path(), "{execution:?}");
        }
        let payment = app.payment_of(&order).await;
        assert_eq!(payment["paymentId"], charge.as_str(), "{given_up}");
        assert_eq!(app.event_kinds_for(&order).await, ["payment.succeeded"]);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn returns_that_come_at_once_start_one_execution() {
    let app = Arc::new(TestApp::connect().await);
    let AtTheBank { charge, key, .. } = app.at_the_bank().await;
    app.hide_from_reconciliation(&key).await;
    app.change_record(&key, "SET attempt = :one", &[(":one", json!(1))])
        .await;
    let mut posts = JoinSet::new();
    for _ in 0..20 {
        let (app, form) = (app.clone(), shopper::bare_return(&charge));
        posts.spawn(async move { app.post_callback(FORM, form).await.status });
    }
    assert!(posts.join_all().await.iter().all(|status| *status == 303));
    app.execution(&format!("{charge}-1")).await;
    let executions = app.executions_of(&charge).await;
    assert_eq!(executions, [format!("{charge}-1")]);
    let record = app.read_record(&key).await;
    let counted = record["returnStarts"].as_array().map_or(0, Vec::len);
    assert!((1..=2).contains(&counted), "{record}");
}
