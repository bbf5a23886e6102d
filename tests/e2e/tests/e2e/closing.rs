//! Which records CloseRecord and AwaitBank may change. The definition's own conditions are tried against the table, for
//! every outcome, resolution and attempt.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use payment3_harness::{items, random, shopper, workspace};
use serde_json::{Value, json};

use crate::hostile::sign;
use crate::support::{AtTheBank, TestApp};

impl TestApp {
    /// Closes a record as an execution of its first attempt does that has found this outcome.
    async fn close(&self, key: &str, outcome: &str) -> bool {
        let (stored, later) = match outcome {
            "declined" => ("declined", "declined"),
            _ => ("paid", "returned"),
        };
        let filled_in = json!({
            ":now": "now", ":closedAs": outcome, ":attempt": 0, ":stored": stored, ":later": later,
        });
        self.run_update("CloseRecord", key, &filled_in).await
    }

    /// Runs the update of a state of the definition on a record, with these values. False where its condition does not
    /// hold.
    async fn run_update(&self, state: &str, key: &str, filled_in: &Value) -> bool {
        let text = std::fs::read_to_string(workspace::state_machine_file()).expect("definition");
        let definition: Value = serde_json::from_str(&text).expect("JSON");
        let arguments = &definition["States"][state]["Arguments"];
        let names = arguments["ExpressionAttributeNames"]
            .as_object()
            .expect("names");
        let values = arguments["ExpressionAttributeValues"]
            .as_object()
            .expect("values");
        let values: HashMap<_, _> = values
            .iter()
            .map(|(name, value)| {
                let fixed = value["S"].as_str().filter(|text| !text.starts_with("{%"));
                let value = match fixed {
                    Some(text) => AttributeValue::S(text.to_owned()),
                    None => items::from_json(&filled_in[name]),
                };
                (name.clone(), value)
            })
            .collect();
        let mut request = self
            .aws
            .dynamodb
            .update_item()
            .table_name(self.table("card-payment-record"))
            .key("tokenId", AttributeValue::S(key.to_owned()))
            .update_expression(arguments["UpdateExpression"].as_str().expect("text"))
            .condition_expression(arguments["ConditionExpression"].as_str().expect("text"))
            .set_expression_attribute_values(Some(values));
        for (name, attribute) in names {
            let attribute = attribute.as_str().expect("text");
            request = request.expression_attribute_names(name, attribute);
        }
        match request.send().await {
            Ok(_) => true,
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(_) => false,
                other => panic!("{state}: {other:?}"),
            },
        }
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn only_a_payment_that_is_settled_one_way_can_be_closed() {
    let app = TestApp::connect().await;
    for (outcome, resolution, attempt, closes) in [
        ("paid", Some("orderPaid"), 0, true),
        ("paid", Some("reversed"), 0, true),
        ("declined", None, 0, true),
        ("returned", None, 0, true),
        ("returned", Some("reversing"), 0, true),
        // Authorised, and neither paid nor back with the shopper.
        ("paid", None, 0, false),
        ("paid", Some("reversing"), 0, false),
        // The bank was not asked.
        ("pending", None, 0, false),
        // Opened again meanwhile, for another attempt.
        ("declined", None, 1, false),
        ("paid", Some("orderPaid"), 1, false),
    ] {
        let key = random::id("closing-");
        let mut record = json!({
            "tokenId": key, "outcome": outcome, "attempt": attempt, "openShard": 1, "lookAgainAt": 1, "token": "t",
        });
        if let Some(resolution) = resolution {
            record["resolution"] = json!(resolution);
        }
        app.put_record(&record).await;
        let closed = app.close(&key, outcome).await;
        assert_eq!(closed, closes, "{record}");
        let after = app.read_record(&key).await;
        assert_eq!(after.get("closedAt").is_some(), closes, "{after}");
        assert_eq!(after.get("token").is_none(), closes, "{after}");
        assert_eq!(after.get("openShard").is_none(), closes, "{after}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_decline_cannot_close_what_the_bank_has_signed_as_authorised() {
    let app = TestApp::connect().await;
    let key = random::id("closing-");
    let record = json!({
        "tokenId": key, "outcome": "declined", "attempt": 0, "openShard": 1, "lookAgainAt": 1, "paidNotifiedAt": 1,
    });
    app.put_record(&record).await;
    assert!(!app.close(&key, "declined").await);
    assert_eq!(app.read_record(&key).await, record);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_execution_that_saw_a_decline_closes_nothing_that_another_found_authorised() {
    let app = TestApp::connect().await;
    for (outcome, resolution) in [("returned", None), ("paid", Some("orderPaid"))] {
        let key = random::id("closing-");
        let mut record =
            json!({"tokenId": key, "outcome": outcome, "attempt": 0, "closedAs": "verified"});
        if let Some(resolution) = resolution {
            record["resolution"] = json!(resolution);
        }
        app.put_record(&record).await;
        assert!(!app.close(&key, "declined").await, "{record}");
        assert_eq!(app.read_record(&key).await, record);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_signed_authorisation_that_comes_second_is_noted_in_the_record() {
    let app = TestApp::connect().await;
    let AtTheBank {
        order,
        page,
        charge,
        ..
    } = app.at_the_bank().await;
    // The execution waits for the bank, which has not decided.
    let early = shopper::bare_return(&charge);
    app.post_callback(payment3_harness::http::FORM, early).await;
    // The notification comes before the bank's inquiry says the same, so nothing is decided yet.
    let mut signed = json!({
        "object": "charge", "id": charge, "amount": 1500, "currency": "THB", "status": "success",
        "transaction_state": "Authorized",
    });
    sign(&mut signed, payment3_bank::SECRET_KEY);
    assert_eq!(app.post_notification(signed.to_string()).await, 200);
    assert!(app.record(&charge).await["paidNotifiedAt"].is_number());
    let form = payment3_harness::shopper::authenticate(&page)
        .await
        .expect("the bank's page");
    let execution = app.execution(&charge).await;
    assert_eq!(
        execution.states(),
        crate::support::new_user_path(),
        "{execution:?}"
    );
    app.return_with(&form).await;
    assert_eq!(app.payment_of(&order).await["paymentId"], charge.as_str());
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_attempt_is_counted_once_and_makes_the_payment_due_at_once() {
    let app = TestApp::connect().await;
    let filled_in = json!({":this": 0, ":next": 1, ":now": 250});
    // Due later than now; and due already, because a callback made it so.
    for look_again_at in [500, 100] {
        let key = random::id("waiting-");
        let record = json!({
            "tokenId": key, "outcome": "pending", "attempt": 0, "openShard": 1, "lookAgainAt": look_again_at,
        });
        app.put_record(&record).await;
        assert!(app.run_update("AwaitBank", &key, &filled_in).await);
        let record = app.read_record(&key).await;
        assert_eq!(
            (&record["lookAgainAt"], &record["attempt"]),
            (&json!(250), &json!(1)),
            "{record}"
        );
        assert!(!app.run_update("AwaitBank", &key, &filled_in).await);
    }
    // The payment was given up: reconciliation must not return to it.
    let key = random::id("waiting-");
    let record = json!({"tokenId": key, "outcome": "pending", "attempt": 0, "closedAt": "now"});
    app.put_record(&record).await;
    assert!(!app.run_update("AwaitBank", &key, &filled_in).await);
    assert_eq!(app.read_record(&key).await, record);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn of_two_executions_that_wait_for_the_bank_one_counts_the_attempt_and_one_hands_over() {
    let app = TestApp::connect().await;
    let AtTheBank { charge, .. } = app.at_the_bank().await;
    let (one, other) = tokio::join!(app.start_by_hand(&charge), app.start_by_hand(&charge));
    let mut results: Vec<_> = [one, other]
        .into_iter()
        .map(|execution| execution.output.expect("an output")["result"].to_string())
        .collect();
    results.sort();
    assert_eq!(results, [r#""awaitingBank""#, r#""handedOver""#]);
    let record = app.record(&charge).await;
    assert_eq!(record["attempt"], 1, "{record}");
    assert!(record["openShard"].is_number(), "{record}");
}
