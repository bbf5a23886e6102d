//! Inputs that cannot be carried out. Each fails at the first state with its name, and with a message that says what to
//! do. Nothing is reserved, and the bank is asked for nothing.

use payment3_harness::executions::ExecutionReport;
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{CARD_APPROVED, CARD_DECLINED};
use serde_json::{Value, json};

use super::{Times, input, refund_id};
use crate::support::TestApp;

/// Asserts that an execution failed at the first state with this error, and says this.
fn assert_refused(execution: &ExecutionReport, error: &str, says: &[&str]) {
    assert_eq!(execution.status, "FAILED", "{execution:?}");
    assert_eq!(execution.states(), ["CheckRefund"], "{execution:?}");
    let failure = execution.failure.as_ref().expect("a failure");
    assert_eq!(failure.error, error, "{}", failure.cause);
    for word in says {
        assert!(failure.cause.contains(word), "{word}: {}", failure.cause);
    }
    // Definite: the same input again would fail again.
    assert_eq!(execution.path[0].retries, 0, "{execution:?}");
}

impl TestApp {
    async fn refuses(&self, input: &Value, error: &str, says: &[&str]) {
        let execution = self.refund_as(Times::Deployed, &refund_id(), input).await;
        println!("{input} → {error}");
        assert_refused(&execution, error, says);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn bad_input_names_the_field_and_changes_nothing() {
    let app = TestApp::connect().await;
    let paid = app.paid().await;
    let (charge, order) = (paid.charge_id(), &paid.order.order_id);
    app.settle(charge).await;
    let before = app.record(charge).await;
    let with = |field: &str, value: Value| {
        let mut input = input(&refund_id(), &paid, Some("120.50"));
        input[field] = value;
        input
    };
    let without = |field: &str| {
        let mut input = input(&refund_id(), &paid, Some("120.50"));
        input.as_object_mut().expect("an object").remove(field);
        input
    };
    let how = r#"start the execution with {"#;
    for (input, field) in [
        (json!("text"), "the input"),
        (json!(5), "the input"),
        (json!([{"refundId": "rf_1", "orderId": order}]), "the input"),
        (json!({}), "refundId"),
        (without("refundId"), "refundId"),
        (with("refundId", json!("two words")), "refundId"),
        (with("refundId", json!("elsewhere")), "refundId"),
        (with("refundId", json!("r".repeat(65))), "refundId"),
        (with("refundId", json!(20_261_129)), "refundId"),
        (without("orderId"), "orderId"),
        (with("orderId", json!("ADDCARD")), "orderId"),
        (with("amount", json!("0")), "amount"),
        (with("amount", json!(0)), "amount"),
        (with("amount", json!("-120.50")), "amount"),
        (with("amount", json!(-1)), "amount"),
        (with("amount", json!("120.505")), "amount"),
        (with("amount", json!(120.505)), "amount"),
        (with("amount", json!("a lot")), "amount"),
        (with("amount", json!("1,000.00")), "amount"),
        (with("amount", json!("")), "amount"),
        (with("amount", json!(true)), "amount"),
        (with("reason", json!("r".repeat(256))), "reason"),
    ] {
        app.refuses(&input, "InvalidRefund", &[field, how]).await;
    }
    let unknown = random::digits(12);
    let input = with("orderId", json!(unknown));
    app.refuses(&input, "OrderNotPaid", &[&unknown, "check the id"])
        .await;
    let input = with("amount", json!("1500.01"));
    app.refuses(&input, "RefundTooLarge", &["1500.00 THB of 1500.00 THB"])
        .await;
    let stranger = json!({"chargeId": random::id("chrg_test_")});
    app.refuses(&stranger, "InvalidRefund", &["chargeId", "check the id"])
        .await;

    let after = app.record(charge).await;
    assert_eq!(after, before, "something was reserved");
    assert_eq!(app.reversals_asked(charge).await, 0);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn only_what_a_charge_of_this_system_paid_is_given_back() {
    let app = TestApp::connect().await;
    let owner = random::id("usr_");

    // Nobody paid it, not even the card that was declined.
    let order = app.order_of(&owner).await;
    let asks_for = |order: &Order| json!({"refundId": refund_id(), "orderId": order.order_id});
    app.refuses(&asks_for(&order), "OrderNotPaid", &[&order.order_id])
        .await;
    let declined = app.authenticated_for(&order, CARD_DECLINED).await;
    app.return_with(&declined.form).await;
    app.execution(declined.charge_id()).await;
    app.refuses(&asks_for(&order), "OrderNotPaid", &[&order.order_id])
        .await;
    assert_eq!(app.reversals_asked(declined.charge_id()).await, 0);

    // Its charge waits for 3-D Secure.
    let pending = app.at_the_bank().await;
    app.refuses(&asks_for(&pending.order), "OrderNotPaid", &[])
        .await;

    // It was paid in another way, as the order itself says.
    let otherwise = app.order_of(&owner).await;
    let payment = json!({"isPaid": true, "paymentId": "cash-1", "grandTotal": 1500});
    app.change_order(&otherwise.order_id, "payment", &payment)
        .await;
    let says = [otherwise.order_id.as_str(), "portal"];
    app.refuses(&asks_for(&otherwise), "PaidOtherwise", &says)
        .await;

    // Another payment was first, so this charge went back already.
    let reversed = app.authenticated(&owner, CARD_APPROVED).await;
    app.change_order(&reversed.order.order_id, "payment", &payment)
        .await;
    app.return_with(&reversed.form).await;
    app.execution(reversed.charge_id()).await;
    let asked = app.reversals_asked(reversed.charge_id()).await;
    app.refuses(&asks_for(&reversed.order), "PaidOtherwise", &["portal"])
        .await;
    assert_eq!(app.reversals_asked(reversed.charge_id()).await, asked);

    // A card was verified: its baht went back by itself.
    let verified = Order::verification(&owner);
    let verified = app.authenticated_for(&verified, CARD_APPROVED).await;
    app.return_with(&verified.form).await;
    app.execution(verified.charge_id()).await;
    let of_it = json!({"chargeId": verified.charge_id()});
    app.refuses(&of_it, "InvalidRefund", &["chargeId"]).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn one_id_is_one_refund_and_no_more_goes_back_than_is_left() {
    let app = TestApp::connect().await;
    let paid = app.paid().await;
    let charge = paid.charge_id();
    app.settle(charge).await;
    let first = refund_id();
    let part = input(&first, &paid, Some("1000.00"));
    let execution = app.refund_as(Times::Deployed, &first, &part).await;
    assert!(execution.has_succeeded(), "{execution:?}");
    let (before, asked) = (app.record(charge).await, app.reversals_asked(charge).await);

    let other = input(&first, &paid, Some("500.00"));
    app.refuses(
        &other,
        "RefundMismatch",
        &[&first, "1000.00 THB", "another id"],
    )
    .await;
    let more = input(&refund_id(), &paid, Some("500.01"));
    app.refuses(&more, "RefundTooLarge", &["500.00 THB of 1500.00 THB"])
        .await;
    assert_eq!(app.record(charge).await, before);
    assert_eq!(app.reversals_asked(charge).await, asked);

    // What is left, to the satang; then nothing is.
    let rest = refund_id();
    let input_of_rest = input(&rest, &paid, Some("500.00"));
    let execution = app.refund_as(Times::Deployed, &rest, &input_of_rest).await;
    assert!(execution.has_succeeded(), "{execution:?}");
    for amount in [None, Some("0.01")] {
        let more = input(&refund_id(), &paid, amount);
        app.refuses(&more, "RefundTooLarge", &["0.00 THB of 1500.00 THB"])
            .await;
    }
    app.assert_invariants_of(&paid, super::Known::default())
        .await;
}
