//! Cards that cannot be saved. The payment still comes to its end, and no person is called.

use payment3_harness::executions::ExecutionReport;
use payment3_harness::fast_retries::shorten;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{CARD_APPROVED, OTHER_CARD_APPROVED};
use payment3_harness::{logs, random};
use serde_json::json;

use crate::support::{Authenticated, TestApp, assert_closed, assert_output};

impl TestApp {
    /// Runs a payment on the definition with shortened waits, and without the function of one state.
    async fn run_without(&self, state: &str, paid: &Authenticated) -> ExecutionReport {
        let mut definition = shorten(&self.definition("every-order"));
        let function = &mut definition["States"][state]["Arguments"]["FunctionName"];
        let gone = function
            .as_str()
            .expect("an ARN")
            .replace("payment3-", "gone-");
        *function = json!(gone);
        let name = format!("cards-{}", random::digits(12));
        let machine = self.deploy_machine(&name, &definition).await;
        self.run_on(&machine, paid.charge_id()).await
    }

    async fn assert_counted(&self, charge: &str) {
        let of_charge =
            |lines: &[String]| lines.iter().filter(|line| line.contains(charge)).count();
        let counted = |lines: &[String]| of_charge(lines) > 0;
        let lines = logs::wait_for_lines(&self.outputs, "notify", "cardFailed", counted).await;
        let lines = lines.expect("the log");
        assert_eq!(of_charge(&lines), 1, "{charge}: {lines:?}");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn an_order_is_paid_and_closed_though_its_card_cannot_be_saved() {
    let app = TestApp::connect().await;
    for state in ["EnsureKBankUser", "AddCard"] {
        let owner = random::id("usr_");
        if state == "AddCard" {
            let first = app.authenticated(&owner, OTHER_CARD_APPROVED).await;
            app.return_with(&first.form).await;
            app.execution(first.charge_id()).await;
        }
        let paid = app.authenticated(&owner, CARD_APPROVED).await;
        let charge = paid.charge_id();
        let execution = app.run_without(state, &paid).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        let expected = json!({
            "result": "paid", "orderId": paid.order.order_id, "notified": true, "card": "failed",
        });
        assert_output(&execution, &expected);
        let tried = execution.path.iter().find(|visit| visit.state == state);
        let tries = tried.expect("tried").errors.len();
        assert_eq!(tries, 31, "{state}: {execution:?}");
        let payment = app.payment_of(&paid.order).await;
        assert_eq!(payment["paymentId"], charge, "{payment}");
        assert_closed(&app.record(charge).await);
        let told = app.event_kinds_for(&paid.order).await;
        assert_eq!(told, ["payment.succeeded", "card.failed"], "{state}");
        app.assert_counted(charge).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_verifications_baht_goes_back_though_its_card_cannot_be_saved() {
    let app = TestApp::connect().await;
    let order = Order::verification(&random::id("usr_"));
    let verified = app.authenticated_for(&order, CARD_APPROVED).await;
    let charge = verified.charge_id();
    let execution = app.run_without("EnsureKBankUser", &verified).await;
    let output = execution.output.as_ref().expect("an output");
    assert_eq!(output["result"], "verified", "{output}");
    assert_eq!(output["card"], "failed", "{output}");
    let record = app.record(charge).await;
    assert_closed(&record);
    assert_eq!(record["closedAs"], "verified", "{record}");
    let at_the_bank = app.inspector.bank_charge(charge).await.expect("charge");
    assert_eq!(at_the_bank["transaction_state"], "Voided");
    assert_eq!(app.event_kinds_of(charge).await, ["card.failed"]);
    app.assert_counted(charge).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn the_next_attempt_tells_the_shop_of_a_verified_card_if_the_first_could_not() {
    let app = TestApp::connect().await;
    let order = Order::verification(&random::id("usr_"));
    let verified = app.authenticated_for(&order, CARD_APPROVED).await;
    let charge = verified.charge_id();
    // The baht went back, but the shop could not be told.
    let execution = app.run_without("NotifyCard", &verified).await;
    assert_eq!(execution.status, "FAILED", "{execution:?}");
    assert_eq!(app.record(charge).await["resolution"], "reversed");
    assert_eq!(app.event_kinds_of(charge).await, [""; 0]);

    let next = app.start_by_hand(charge).await;
    assert_eq!(next.status, "SUCCEEDED", "{next:?}");
    let expected =
        json!({"result": "verified", "orderId": "ADDCARD", "notified": true, "card": "saved"});
    assert_output(&next, &expected);
    assert_eq!(app.record(charge).await["closedAs"], "verified");
    assert_eq!(app.event_kinds_of(charge).await, ["card.saved"]);
    assert_eq!(app.saved_cards(&verified.order.owner_id).await, Some(1));
}
