//! Refunds of a payment whose own saga is not over: an attempt of it comes later, and must leave what went back alone.

use payment3_harness::random;
use payment3_harness::refund_machine::RefundMachine as Machine;
use payment3_harness::shopper::CARD_APPROVED;
use serde_json::{Value, json};

use super::{Known, PATIENCE, Times, input, refund_id};
use crate::support::{Authenticated, TestApp, assert_closed};

/// A state between the order's payment and the card, in which an execution stays for a while.
const PAUSE: &str = "Pause";

impl TestApp {
    /// Pays an order by an execution that pauses for so many seconds once the order is paid. Returns it while it does.
    async fn paid_and_pausing(&self, seconds: u32) -> (Authenticated, Machine) {
        let mut definition = self.definition("every-order");
        let states = &mut definition["States"];
        let next = states["NotifySuccess"]["Next"].take();
        states["NotifySuccess"]["Next"] = json!(PAUSE);
        states[PAUSE] = json!({"Type": "Wait", "Seconds": seconds, "Next": next});
        let name = format!("pausing-{}", random::digits(9));
        let machine = self.deploy_machine(&name, &definition).await;
        let machine = Machine::at(&self.aws, &machine);
        let paid = self.authenticated(&random::id("usr_"), CARD_APPROVED).await;
        let charge = paid.charge_id();
        let started = machine.start(charge, &json!({"chargeId": charge})).await;
        started.expect("started");
        self.until_in(&machine, charge, PAUSE).await;
        let record = self.record(charge).await;
        assert_eq!(record["resolution"], "orderPaid", "{record}");
        assert!(record.get("closedAt").is_none(), "{record}");
        (paid, machine)
    }

    /// Refunds all of a payment in the middle of its saga, changes the order, and starts the saga's next attempt.
    async fn is_kept(
        &self,
        settled: bool,
        change: impl AsyncFnOnce(&Self, &Authenticated) -> bool,
    ) {
        let (paid, machine) = self.paid_and_pausing(3600).await;
        let charge = paid.charge_id();
        machine.stop(charge).await.expect("stopped");
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
async fn a_refund_is_made_while_the_payments_execution_still_runs() {
    let app = TestApp::connect().await;
    let (paid, payment) = app.paid_and_pausing(8).await;
    let charge = paid.charge_id();
    app.settle(charge).await;
    let id = refund_id();
    let part = input(&id, &paid, Some("120.50"));
    let refund = app.refund_as(Times::Deployed, &id, &part).await;
    assert!(refund.has_succeeded(), "{refund:?}");
    let execution = payment.end_of(charge, PATIENCE).await.expect("an end");
    assert!(execution.has_succeeded(), "{execution:?}");
    app.assert_invariants_of(&paid, Known::default()).await;
}
