//! Reversals that meet a refund which the bank already has: our own, or a part that a person gave back by hand.

use aws_sdk_dynamodb::types::AttributeValue;
use payment3_harness::http::client;
use payment3_harness::random;
use payment3_harness::shop_api::TOTAL;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::json;

use crate::support::{Authenticated, TestApp, assert_closed};

impl TestApp {
    /// A settled charge whose execution died after the reversal had begun.
    async fn reversing(&self) -> Authenticated {
        let paid = self.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        self.settle(paid.charge_id()).await;
        let key = self.key_of(paid.charge_id()).await;
        self.change_record(
            &key,
            "SET outcome = :paid, resolution = :reversing",
            &[(":paid", json!("paid")), (":reversing", json!("reversing"))],
        )
        .await;
        paid
    }

    /// The bank refunds a charge, whoever asked for it.
    async fn refund_at_the_bank(&self, charge: &str, amount: &str) {
        let url = format!("{}/card/v2/charge/{charge}/refund", self.outputs.bank_url);
        let request = client()
            .post(url)
            .header("x-api-key", payment3_bank::SECRET_KEY)
            .json(&json!({ "amount": amount }));
        let answer = request.send().await.expect("the bank answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The note that a request for a refund leaves in the record.
    async fn note_refund(&self, key: &str) {
        let mark = AttributeValue::Ss(vec!["2026-11-29T04:00:00.000000000Z".to_owned()]);
        self.aws
            .dynamodb
            .update_item()
            .table_name(self.table("card-payment-record"))
            .key("tokenId", AttributeValue::S(key.to_owned()))
            .update_expression("ADD refundAskedAt :mark")
            .expression_attribute_values(":mark", mark)
            .send()
            .await
            .expect("noted");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_part_that_was_given_back_by_hand_while_we_reverse_is_left_to_a_person() {
    let app = TestApp::connect().await;
    let paid = app.reversing().await;
    app.refund_at_the_bank(paid.charge_id(), "1.00").await;
    let execution = app.start_by_hand(paid.charge_id()).await;
    let failure = execution.failure.as_ref().expect("a failure");
    assert_eq!(failure.error, "OutcomeConflict");
    let record = app.record(paid.charge_id()).await;
    assert_eq!(record["resolution"], "reversing", "{record}");
    assert!(record.get("closedAt").is_none(), "{record}");
    assert_eq!(app.event_kinds_for(&paid.order).await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_part_that_was_given_back_by_hand_after_the_decision_is_not_taken_for_the_whole() {
    let app = TestApp::connect().await;
    let paid = app.reversing().await;
    let charge = paid.charge_id();
    let named = json!({"chargeId": charge});
    let payment = app.call("lookup-record", &named).await;
    let payment = payment.expect("an open payment");
    // The decision is recorded already, so ReverseCharge is the first state that sees the refund.
    app.refund_at_the_bank(charge, "1.00").await;
    for _ in 0..2 {
        let reversed = app
            .call("reverse-charge", &json!({"payment": payment}))
            .await;
        assert_eq!(reversed, Err("OutcomeConflict".to_owned()));
    }
    let record = app.record(charge).await;
    assert_eq!(record["resolution"], "reversing", "{record}");
    assert!(record.get("refundAskedAt").is_none(), "{record}");
    assert!(record["openShard"].is_number(), "{record}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_refund_whose_answer_was_lost_is_found_as_ours() {
    let app = TestApp::connect().await;
    let paid = app.reversing().await;
    let charge = paid.charge_id();
    app.note_refund(&app.key_of(charge).await).await;
    app.refund_at_the_bank(charge, TOTAL).await;
    let execution = app.start_by_hand(charge).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_closed(&app.record(charge).await);
    assert_eq!(app.event_kinds_for(&paid.order).await, ["payment.reversed"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_refund_that_was_noted_and_never_requested_is_requested_again() {
    let app = TestApp::connect().await;
    let paid = app.reversing().await;
    let charge = paid.charge_id();
    app.note_refund(&app.key_of(charge).await).await;
    app.remove_order(&paid.order.order_id).await;
    let execution = app.start_by_hand(charge).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    let record = app.record(charge).await;
    assert_eq!(record["resolution"], "reversed", "{record}");
    assert_closed(&record);
    let at_the_bank = app.inspector.bank_charge(charge).await.expect("charge");
    let refunds = at_the_bank["refunds"].as_array().expect("refunds");
    assert_eq!(refunds.len(), 1, "{at_the_bank}");
    assert_eq!(at_the_bank["transaction_state"], "Refund Sent");
}
