//! The bank's notification. It is enough without the browser's return, it changes nothing after it, and nobody can
//! forge it.

use payment3_harness::http::client;
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::{Value, json};

use crate::support::{Authenticated, TestApp, new_user_path};

/// Asserts the end that every order of callbacks must lead to.
async fn assert_one_payment(app: &TestApp, paid: &Authenticated, how: &str) {
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.states(), new_user_path(), "{how}");
    assert_eq!(
        app.executions_of(paid.charge_id()).await,
        [paid.charge_id()],
        "{how}"
    );
    app.assert_paid(paid).await;
    assert_eq!(
        app.saved_cards(&paid.order.owner_id).await,
        Some(1),
        "{how}"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn return_and_notification_in_any_order_are_one_payment() {
    let app = TestApp::connect().await;
    let notified = async |paid: &Authenticated| {
        let sent = app.notify(paid.charge_id()).await;
        assert_eq!(sent["answer"], 200, "{sent}");
    };
    let returned = async |paid: &Authenticated| {
        let answer = app.return_with(&paid.form).await;
        assert_eq!(answer.status, 303, "{answer:?}");
    };
    for how in [
        "notification alone",
        "return alone",
        "notification, then return",
        "return, then notification",
        "both at once",
        "notification three times",
    ] {
        let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        match how {
            "notification alone" => notified(&paid).await,
            "return alone" => returned(&paid).await,
            "notification, then return" => {
                notified(&paid).await;
                returned(&paid).await;
            }
            "return, then notification" => {
                returned(&paid).await;
                notified(&paid).await;
            }
            "both at once" => {
                tokio::join!(notified(&paid), returned(&paid));
            }
            _ => {
                tokio::join!(notified(&paid), notified(&paid), notified(&paid));
            }
        }
        assert_one_payment(&app, &paid, how).await;
        // Both again, after the payment is done.
        notified(&paid).await;
        returned(&paid).await;
        assert_one_payment(&app, &paid, how).await;
    }
}

async fn post(app: &TestApp, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let response = client()
        .post(format!("{}/notify", app.outputs.api_url))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

/// The notification of a charge as the bank would send it, without its checksum.
async fn unsigned(app: &TestApp, charge_id: &str) -> Value {
    let mut charge = app.inspector.bank_charge(charge_id).await.expect("charge");
    let fields = charge.as_object_mut().expect("an object");
    for own in ["history", "notifications", "refunds", "mid", "wrong_otps"] {
        fields.remove(own);
    }
    charge
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_notification_that_the_bank_did_not_sign_is_refused_and_starts_nothing() {
    let app = TestApp::connect().await;
    let pending = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let genuine = unsigned(&app, pending.charge_id()).await;
    let other_key = {
        use sha2::{Digest, Sha256};
        let text = format!(
            "{}1500.0000THBsuccessAuthorizedskey_test_of_somebody_else",
            pending.charge_id()
        );
        hex::encode(Sha256::digest(text))
    };
    for checksum in ["0", &"0".repeat(64), &other_key] {
        let mut forged = genuine.clone();
        forged["checksum"] = json!(checksum);
        let (status, answer) = post(&app, forged.to_string()).await;
        assert_eq!(
            (status, &answer["code"]),
            (401, &json!("INVALID_CHECKSUM")),
            "{answer}"
        );
        assert_eq!(answer["details"]["field"], "checksum", "{answer}");
    }
    app.assert_untouched(&pending).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_notification_that_cannot_be_read_names_the_field() {
    let app = TestApp::connect().await;
    for (body, code, field) in [
        ("", "INVALID_INPUT", "body"),
        ("objectId=chrg_1&status=true", "INVALID_INPUT", "body"),
        (r#"{"id":"chrg_1"}"#, "MISSING_FIELD", "amount"),
        (
            r#"{"id":"chrg_1","amount":1,"currency":"THB","status":"success","transaction_state":"Authorized"}"#,
            "MISSING_FIELD",
            "checksum",
        ),
    ] {
        let (status, answer) = post(&app, body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert_eq!(answer["code"], code, "{body}: {answer}");
        assert_eq!(answer["details"]["field"], field, "{body}: {answer}");
    }
    let (status, answer) = post(&app, vec![b' '; 8 * 1024 + 1]).await;
    assert_eq!(
        (status, &answer["code"]),
        (400, &json!("INVALID_INPUT")),
        "{answer}"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_late_authorisation_that_the_bank_has_signed_opens_a_declined_record_again() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    // The test makes the record one of a declined payment, because the sandbox bank never changes a decision.
    let key = app.record(charge).await["tokenId"]
        .as_str()
        .expect("key")
        .to_owned();
    app.change_record(
        &key,
        "SET outcome = :declined, closedAs = :declined, closedAt = :declined REMOVE openShard, lookAgainAt",
        &[(":declined", json!("declined"))],
    )
    .await;
    // The browser's return is not signed, so it opens nothing.
    app.return_with(&paid.form).await;
    assert_eq!(app.executions_of(charge).await, [""; 0]);

    let (one, two) = tokio::join!(app.notify(charge), app.notify(charge));
    assert_eq!((&one["answer"], &two["answer"]), (&json!(200), &json!(200)));
    let execution = app.execution(&format!("{charge}-1")).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(app.executions_of(charge).await, [format!("{charge}-1")]);
    assert_eq!(app.payment_of(&paid.order).await["paymentId"], charge);
    assert_eq!(
        app.event_kinds_for(&paid.order).await,
        ["payment.succeeded"]
    );
    let record = app.record(charge).await;
    assert_eq!(record["outcome"], "paid", "{record}");
    crate::support::assert_closed(&record);
}
