//! Refunds of a payment whose own saga is not over: an attempt of it comes later, and must leave what went back alone.

use serde_json::{Value, json};

use super::{Known, PATIENCE, Times, input, refund_id};
use crate::support::{Authenticated, TestApp, assert_closed};
use payment3_harness::random;
use payment3_harness::shopper::CARD_APPROVED;

/// How often the bank fails to make a customer: longer than the test looks.
const FAILURES: u32 = 50;

impl TestApp {
    /// A payment that has paid its order, and whose execution a person stopped before its end, while it saved the card.
    async fn paid_and_stopped(&self) -> Authenticated {
        let paid = self.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        let token = paid.token();
        let fault = json!({"operation": "create_customer", "kind": "error", "token": token, "times": FAILURES});
        self.plan_bank_fault(&fault).await;
        self.return_with(&paid.form).await;
        let machine = payment3_harness::refund_machine::RefundMachine::at(
            &self.aws,
            &self.outputs.state_machine_arn,
        );
        self.until_in(&machine, paid.charge_id(), "EnsureKBankUser")
            .await;
        machine.stop(paid.charge_id()).await.expect("stopped");
        let record = self.record(paid.charge_id()).await;
        assert_eq!(record["resolution"], "orderPaid", "{record}");
        assert!(record.get("closedAt").is_none(), "{record}");
        paid
    }

    /// Refunds all of a payment in the middle of its saga, changes the order, and starts the saga's next attempt.
    async fn is_kept(
        &self,
        settled: bool,
        change: impl AsyncFnOnce(&Self, &Authenticated) -> bool,
    ) {
        let paid = self.paid_and_stopped().await;
        let charge = paid.charge_id();
        if settled {
            self.settle(charge).await;
        }
        let id = refund_id();
        let whole = input(&id, &paid, None);
        let refund = self.refund_as(Times::Deployed, &id, &whole).await;
        assert!(refund.has_succeeded(), "{refund:?}");
        let order_changed = change(self, &paid).await;
        let asked = self.reversals_asked(charge).await;

        let attempt = self.start_by_hand(charge).await;
        assert!(attempt.has_succeeded(), "{attempt:?}");
        assert!(attempt.states().contains(&"PayOrder"), "{attempt:?}");
        assert!(!attempt.states().contains(&"ReverseCharge"), "{attempt:?}");
        let record = self.record(charge).await;
        assert_closed(&record);
        assert_eq!(record["outcome"], "paid", "{record}");
        assert_eq!(record["closedAs"], "paid", "{record}");
        assert_eq!(self.reversals_asked(charge).await, asked);
        let shown = self.inspector.shown_status(&paid.order.order_id).await;
        let shown: Value = shown.expect("an answer").expect("a status");
        assert_eq!(shown["status"], "refunded", "{shown}");
        let known = Known {
            order_changed,
            ..Known::default()
        };
        self.assert_invariants_of(&paid, known).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_attempt_that_comes_after_the_refund_keeps_the_order_paid() {
    let app = TestApp::connect().await;
    for settled in [false, true] {
        app.is_kept(settled, async |_, _| false).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_attempt_that_comes_after_the_refund_gives_nothing_back_whatever_the_shop_did_to_the_order()
 {
    let app = TestApp::connect().await;
    app.is_kept(false, async |app, paid| {
        app.remove_order(&paid.order.order_id).await;
        true
    })
    .await;
    app.is_kept(true, async |app, paid| {
        let payment = json!({"isPaid": false, "grandTotal": 1500});
        app.change_order(&paid.order.order_id, "payment", &payment)
            .await;
        true
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_refund_is_made_while_the_payment_still_saves_the_card() {
    let app = TestApp::connect().await;
    let paid = app.authenticated(&random::id("usr_"), CARD_APPROVED).await;
    let charge = paid.charge_id();
    let token = paid.token();
    let fault =
        json!({"operation": "create_customer", "kind": "error", "token": token, "times": 3});
    app.plan_bank_fault(&fault).await;
    app.return_with(&paid.form).await;
    let payment = payment3_harness::refund_machine::RefundMachine::at(
        &app.aws,
        &app.outputs.state_machine_arn,
    );
    app.until_in(&payment, charge, "EnsureKBankUser").await;
    app.settle(charge).await;
    let id = refund_id();
    let part = input(&id, &paid, Some("120.50"));
    let refund = app.refund_as(Times::Deployed, &id, &part).await;
    assert!(refund.has_succeeded(), "{refund:?}");
    let execution = payment.end_of(charge, PATIENCE).await.expect("an end");
    assert!(execution.has_succeeded(), "{execution:?}");
    app.assert_invariants_of(&paid, Known::default()).await;
}
