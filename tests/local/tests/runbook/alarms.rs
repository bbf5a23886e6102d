//! Every alarm: its condition provoked, seen and repaired with the runbook's own commands.

use std::collections::BTreeMap;

use payment3_bank::Dialect;
use payment3_local::executions::ExecutionReport;
use payment3_local::http::client;
use payment3_local::random;
use payment3_local::shop::Order;
use payment3_local::shopper::{self, CARD_APPROVED, CARD_DECLINED};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{call, lambda};
use crate::conditions::{Alarm, deployed_alarms};
use crate::document::block;
use crate::shell::Shell;
use crate::support::{Authenticated, TOTAL, TestApp, assert_closed, charge_on};

/// JSON without the spaces that one implementation writes and another does not.
fn compact(printed: &str) -> String {
    printed.replace(' ', "")
}

impl TestApp {
    fn shell(&self) -> Shell {
        Shell::open(&self.outputs)
    }

    /// A terminal in which the runbook's `CHARGE` is this one.
    fn shell_for(&self, charge: &str) -> Shell {
        self.shell().with("CHARGE", charge)
    }

    async fn paying(&self) -> Authenticated {
        self.authenticated(&random::id("usr_"), CARD_APPROVED).await
    }

    /// Does something to a charge in the bank's portal.
    async fn in_the_portal(&self, charge: &str, what: &str, body: Value) {
        let url = format!("{}/card/v2/charge/{charge}/{what}", self.outputs.bank_url);
        let request = client()
            .post(url)
            .header("x-api-key", payment3_bank::SECRET_KEY)
            .json(&body);
        let response = request.send().await.expect("the bank answers");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Decides what the shop answers to the next events.
    async fn shop_answers(&self, status: u16, times: u32) {
        let url = format!("{}/webhooks/payment3/answer", self.outputs.shop_url);
        let answer = json!({"status": status, "times": times});
        let response = client()
            .put(url)
            .json(&answer)
            .send()
            .await
            .expect("the shop");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Waits for the execution that a restart printed, which succeeds.
    async fn restarted(&self, printed: &str) -> Vec<String> {
        let execution = self.started(printed).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        execution.states().into_iter().map(str::to_owned).collect()
    }

    /// Waits for the execution that a restart printed, however it ends.
    async fn started(&self, printed: &str) -> ExecutionReport {
        let name = printed
            .lines()
            .find_map(|line| line.trim().strip_prefix("\"executionArn\": \""))
            .and_then(|rest| rest.split('"').next())
            .and_then(|arn| arn.rsplit(':').next())
            .unwrap_or_else(|| panic!("nothing was started: {printed}"));
        self.execution(name).await
    }

    /// What apps are shown for an order.
    async fn shown(&self, order: &Order) -> Value {
        let row = self.look.check_status(&order.order_id).await;
        row.expect("the table").expect("the row")["status"].clone()
    }

    /// A payment that the former system began: its order, its token and its charge.
    async fn old_payment(&self) -> (Order, String, String) {
        let order = self.order().await;
        let token = shopper::card_token(&self.outputs, CARD_APPROVED)
            .await
            .expect("token");
        let form = self.charge_at_the_bank(&token, &random::digits(12)).await;
        let charge = form.charge_id().expect("charge").to_owned();
        // As the former system wrote it.
        self.put_record(&json!({
            "tokenId": token, "chargeId": charge, "orderId": order.order_id, "ownerId": order.owner_id,
            "amount": TOTAL, "status": false,
        }))
        .await;
        (order, token, charge)
    }
}

fn assert_failed(execution: &ExecutionReport, error: &str) {
    assert_eq!(execution.status, "FAILED", "{execution:?}");
    assert_eq!(
        execution
            .failure
            .as_ref()
            .map(|failure| failure.error.as_str()),
        Some(error),
        "{execution:?}"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn executions_failed() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "executions-failed").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let order = &paid.order.order_id;
    let payment = app.payment_of(&paid.order).await;
    let odd = json!({"grandTotal": "much", "isPaid": false});
    app.change_order(order, "payment", &odd).await;
    app.return_with(&paid.form).await;
    assert_failed(&app.execution(charge).await, "ItemUnreadable");
    alarm
        .assert_met_by_an_execution("ExecutionsFailed", "FAILED", charge)
        .await;

    let shell = app.shell_for(charge).with("NAME", charge);
    assert!(shell.run("executions-failed", "see").contains(charge));
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
    app.restarted(&shell.run("executions-failed", "repair"))
        .await;
    let checked = shell.run("executions-failed", "check");
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
async fn executions_timed_out_and_throttled() {
    let app = TestApp::connect().await;
    // The local AWS knows neither: what both alarms watch is AWS's own. The commands are right all the same.
    for kebab in ["executions-timed-out", "executions-throttled"] {
        Alarm::watch(&app.outputs, kebab).await;
        app.shell().run(kebab, "see");
    }
    // What a time-out leaves is an execution that ended somewhere on its way: as one that somebody aborts.
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let arn = app.outputs.execution_arn(charge);
    app.shop_answers(503, 1).await;
    app.return_with(&paid.form).await;
    while app.record(charge).await["resolution"] != "orderPaid" {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let stopped = app.aws.sfn.stop_execution().execution_arn(arn);
    stopped.send().await.expect("aborted");
    assert_eq!(app.execution(charge).await.status, "ABORTED");
    let shell = app.shell_for(charge);
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    app.assert_paid_and_told(&paid).await;
}

impl TestApp {
    /// As [`TestApp::assert_paid`], where the shop may have been told before.
    async fn assert_paid_and_told(&self, paid: &Authenticated) {
        assert_eq!(
            self.payment_of(&paid.order).await["paymentId"],
            paid.charge_id()
        );
        assert_closed(&self.record(paid.charge_id()).await);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn charge_mismatch() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "charge-mismatch").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    app.change_record(&key, "SET amountSatang = :other", &[(":other", json!(100))])
        .await;
    app.return_with(&paid.form).await;
    assert_failed(&app.execution(charge).await, "ChargeMismatch");
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    let seen = shell.run("charge-mismatch", "see");
    assert!(seen.contains(charge) && seen.contains("`amount`"), "{seen}");
    app.change_record(
        &key,
        "SET amountSatang = :right",
        &[(":right", json!(150_000))],
    )
    .await;
    app.restarted(&shell.run("charge-mismatch", "repair")).await;
    assert!(
        shell
            .run("charge-mismatch", "check")
            .starts_with("paid\torderPaid\t2")
    );
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_charge_that_is_really_another_one_is_given_back_and_its_record_closed() {
    let app = TestApp::connect().await;
    for (card, outcome, shown, event) in [
        (CARD_APPROVED, "returned", "reversed", "payment.reversed"),
        (CARD_DECLINED, "declined", "declined", "payment.failed"),
    ] {
        let payment = app.authenticated(&random::id("usr_"), card).await;
        let charge = payment.charge_id();
        let key = app.key_of(charge).await;
        app.change_record(&key, "SET amountSatang = :other", &[(":other", json!(100))])
            .await;
        app.return_with(&payment.form).await;
        assert_failed(&app.execution(charge).await, "ChargeMismatch");
        if outcome == "returned" {
            let body = json!({"reason": "another amount"});
            app.in_the_portal(charge, "void", body).await;
        }

        let shell = app.shell_for(charge).with("OUTCOME", outcome);
        shell.run("charge-mismatch", "close");
        let checked = shell.run("charge-mismatch", "check");
        assert!(
            checked.starts_with(&format!("{outcome}\tNone\t2")),
            "{checked}"
        );
        assert_closed(&app.record(charge).await);
        assert_eq!(app.shown(&payment.order).await, shown);
        assert_eq!(sent_again(&app, &shell, charge).await, [event]);
        assert_eq!(app.payment_of(&payment.order).await["isPaid"], false);
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_that_is_paid_is_never_closed_as_a_mismatch() {
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.fails_to_be_told(&paid).await;
    let open = app.record(charge).await;
    for outcome in ["returned", "declined"] {
        let shell = app.shell_for(charge).with("OUTCOME", outcome);
        let close = block("charge-mismatch", "close");
        // Each update is refused.
        shell.script(&format!("set +e\n{close}"), "closing what is paid");
        assert_eq!(app.record(charge).await, open);
        assert_eq!(app.shown(&paid.order).await, "paid");
    }
    let shell = app.shell_for(charge);
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    app.assert_paid_and_told(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn charge_unknown() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "charge-unknown").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    let unknown = random::id("chrg_test_");
    let names = |charge: &str| [(":charge", json!(charge))];
    app.change_record(&key, "SET chargeId = :charge", &names(&unknown))
        .await;
    // A bank whose copies lag behind is no reason to wake anybody up, a quarter of an hour of it is.
    app.make_older(&key, 15 * 60).await;
    let elsewhere = paid.form.clone().with("objectId", &unknown);
    app.return_with(&elsewhere).await;
    let execution = app.execution(&unknown).await;
    assert_eq!(
        execution.states().last(),
        Some(&"AwaitBank"),
        "{execution:?}"
    );
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    assert!(shell.run("charge-unknown", "see").contains(&unknown));
    app.change_record(&key, "SET chargeId = :charge", &names(charge))
        .await;
    app.restarted(&shell.run("charge-unknown", "repair")).await;
    assert!(
        shell
            .run("charge-unknown", "check")
            .starts_with("paid\torderPaid\t2")
    );
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn outcome_conflict() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "outcome-conflict").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.settle(charge).await;
    app.in_the_portal(
        charge,
        "refund",
        json!({"amount": TOTAL, "reason": "by hand"}),
    )
    .await;
    app.return_with(&paid.form).await;
    assert_failed(&app.execution(charge).await, "OutcomeConflict");
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    assert!(shell.run("outcome-conflict", "see").contains(charge));
    let states = app
        .restarted(&shell.run("outcome-conflict", "repair"))
        .await;
    assert!(states.contains(&"NotifyReversal".to_owned()), "{states:?}");
    let record = shell.run("Look at a payment", "payment");
    assert!(
        record.contains("refundAskedAt") && record.contains("by hand, "),
        "{record}"
    );
    assert!(
        shell
            .run("outcome-conflict", "check")
            .starts_with("returned\treversing\t2")
    );
    assert_eq!(app.payment_of(&paid.order).await["isPaid"], false);
    assert_eq!(app.told(&paid.order).await, ["payment.reversed"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn an_outcome_conflict_is_repaired_in_the_copy_of_an_old_record() {
    let app = TestApp::connect().await;
    let (order, token, charge) = app.old_payment().await;
    app.settle(&charge).await;
    let refund = json!({"amount": TOTAL, "reason": "by hand"});
    app.in_the_portal(&charge, "refund", refund).await;
    let form = format!("objectId={charge}&status=true");
    app.post_callback(payment3_local::http::FORM, form).await;
    assert_failed(&app.execution(&charge).await, "OutcomeConflict");

    let shell = app.shell_for(&charge);
    let printed = shell.run("outcome-conflict", "repair");
    let states = app.restarted(&printed).await;
    assert!(states.contains(&"NotifyReversal".to_owned()), "{states:?}");
    let old = app.read_record(&token).await;
    assert!(old.get("resolution").is_none(), "{old}");
    assert_eq!(
        sent_again(&app, &shell, &charge).await,
        ["payment.reversed"]
    );
    assert_eq!(app.payment_of(&order).await["isPaid"], false);
}

impl TestApp {
    /// Has the shop not take an event, and somebody abort the execution: the order is paid, and the record is open.
    async fn fails_to_be_told(&self, paid: &Authenticated) {
        let charge = paid.charge_id();
        self.shop_answers(503, 1000).await;
        self.return_with(&paid.form).await;
        while self.record(charge).await["resolution"] != "orderPaid" {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let arn = self.outputs.execution_arn(charge);
        let stopped = self.aws.sfn.stop_execution().execution_arn(arn);
        stopped.send().await.expect("aborted");
        assert_eq!(self.execution(charge).await.status, "ABORTED");
        self.shop_answers(204, 0).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_paid_order_whose_event_failed_before_a_refund_is_told_and_closed() {
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.fails_to_be_told(&paid).await;
    app.settle(charge).await;
    let part = json!({"amount": "1.00", "reason": "a part"});
    app.in_the_portal(charge, "refund", part).await;
    let shell = app.shell_for(charge);
    let printed = shell.run("Restart under a new name", "restart");
    assert_failed(&app.started(&printed).await, "OutcomeConflict");

    shell.run("Send an event again", "resend");
    shell.run("outcome-conflict", "close");
    let checked = shell.run("outcome-conflict", "check");
    assert!(checked.starts_with("paid\torderPaid\t2"), "{checked}");
    let record = app.record(charge).await;
    assert_closed(&record);
    assert!(record.get("token").is_none(), "{record}");
    let events = app.look.shop_events_of_charge(charge).await;
    let events = events.expect("the shop");
    let told = events.last().expect("an event");
    assert_eq!((told.kind(), told.answered), ("payment.succeeded", 204));
    assert_eq!(app.shown(&paid.order).await, "paid");
}

/// The record of a checkout that died two days ago before it stored a charge, and for which the bank is still being asked.
async fn dead_checkout(app: &TestApp, order: &Order) -> (String, String) {
    let token = shopper::card_token(&app.outputs, CARD_APPROVED)
        .await
        .expect("token");
    let reference = random::digits(20);
    let key = app.look.key_of_token(&token).expect("a token");
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    app.put_record(&json!({
        "tokenId": key, "token": token,
        "orderId": order.order_id, "ownerId": order.owner_id, "amountSatang": 150_000, "currency": "THB",
        "referenceOrder": reference, "saveCard": true, "outcome": "pending", "status": false, "attempt": 0,
        "openShard": 3, "lookAgainAt": 1, "openSince": since.to_string(),
    }))
    .await;
    let asked = json!({
        "orderId": order.order_id, "askedFor": key, "askedAt": jiff::Timestamp::now().as_second(),
        "askedAmountSatang": 150_000,
    });
    app.put(app.outputs.table("check-status").expect("a table"), &asked)
        .await;
    (token, reference)
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn order_unreadable() {
    let app = TestApp::connect().await;
    let (odd, cheap) = (app.order().await, app.order().await);
    for (order, total) in [(&odd, json!("much")), (&cheap, json!(0.5))] {
        let alarm = Alarm::watch(&app.outputs, "order-unreadable").await;
        let payment = json!({"isPaid": false, "grandTotal": total});
        app.change_order(&order.order_id, "payment", &payment).await;
        let refused = shopper::checkout(&app.outputs, order, CARD_APPROVED).await;
        let refused = format!("{:#}", refused.expect_err("nobody can pay it"));
        assert!(refused.contains(&order.order_id), "{refused}");
        alarm.assert_met_in_the_logs().await;
    }
    let seen = app.shell().run("order-unreadable", "see");
    for part in [
        odd.order_id.as_str(),
        "`data.payment.grandTotal`",
        &cheap.order_id,
        "less than 1.00 baht",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }

    let shell = app
        .shell()
        .with("ORDER", &odd.order_id)
        .with("TOTAL", TOTAL);
    shell.run("order-unreadable", "repair");
    let checked = shell.run("order-unreadable", "check");
    assert!(checked.to_lowercase().contains("false"), "{checked}");
    let quiet = Alarm::watch(&app.outputs, "order-unreadable").await;
    let paid = app.authenticated_for(&odd, CARD_APPROVED).await;
    app.return_with(&paid.form).await;
    assert_eq!(app.execution(paid.charge_id()).await.status, "SUCCEEDED");
    app.assert_paid(&paid).await;
    assert!(quiet.value_in_the_logs().await < 1.0, "it rings again");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_that_cannot_be_read_when_its_shopper_is_back_rings_too() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "order-unreadable").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    let outcome = |word: &str| [(":outcome", json!(word))];
    app.change_record(&key, "SET outcome = :outcome", &outcome("perhaps"))
        .await;
    assert_eq!(app.return_with(&paid.form).await.status, 503);
    alarm.assert_met_in_the_logs().await;
    let seen = app.shell().run("order-unreadable", "see");
    assert!(
        seen.contains(charge) && seen.contains("`outcome`"),
        "{seen}"
    );

    app.change_record(&key, "SET outcome = :outcome", &outcome("pending"))
        .await;
    app.return_with(&paid.form).await;
    assert_eq!(app.execution(charge).await.status, "SUCCEEDED");
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn orphan_checkout() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "orphan-checkout").await;
    // A deployment that does not say that its bank finds charges by reference.
    let reconcile = Function::of(&app, "reconcile").await;
    reconcile.set("BANK_FINDS_BY_REFERENCE", "").await;
    // Two cards of one order.
    let order = app.order().await;
    let (token, reference) = dead_checkout(&app, &order).await;
    let (_, never) = dead_checkout(&app, &order).await;
    app.shell().run("Reconcile now", "reconcile");
    alarm.assert_met_in_the_logs().await;
    let seen = app.shell().run("orphan-checkout", "see");
    assert!(
        seen.contains(&order.order_id) && seen.contains(&reference) && seen.contains(&never),
        "{seen}"
    );

    // The bank finds the charge after all.
    let form = app.charge_at_the_bank(&token, &reference).await;
    let charge = form.charge_id().expect("charge").to_owned();
    let shell = app.shell_for(&charge).with("ORDER", &order.order_id);
    let shell = shell.with("REFERENCE", &reference);
    let report = shell.run("orphan-checkout", "repair");
    assert!(compact(&report).contains("\"failed\":0}"), "{report}");
    assert_eq!(app.execution(&charge).await.status, "SUCCEEDED");
    assert_eq!(app.payment_of(&order).await["paymentId"], charge.as_str());
    let checked = shell.run("orphan-checkout", "check");
    assert!(
        checked.contains(&charge) && checked.contains("paid"),
        "{checked}"
    );

    // And writes that there is none for the other.
    let shell = app.shell().with("ORDER", &order.order_id);
    let shell = shell.with("REFERENCE", &never);
    shell.run("orphan-checkout", "close");
    let checked = shell.run("orphan-checkout", "check");
    assert!(
        checked.contains(&charge) && checked.contains("never-charged"),
        "{checked}"
    );
    // From then on nobody is asked about any more.
    let row = app.look.check_status(&order.order_id).await;
    let row = row.expect("the table").expect("the row");
    assert!(row.get("askedFor").is_none(), "{row}");
    reconcile.restore().await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn orphan_charge() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "orphan-charge").await;
    let token = shopper::card_token(&app.outputs, CARD_APPROVED)
        .await
        .expect("token");
    let form = app.charge_at_the_bank(&token, &random::digits(20)).await;
    let charge = form.charge_id().expect("charge").to_owned();
    let answer = app.notify(&charge).await;
    assert!(answer.to_string().contains("404"), "{answer}");
    alarm.assert_met_in_the_logs().await;
    let shell = app.shell_for(&charge);
    assert!(shell.run("orphan-charge", "see").contains(&charge));
    // Nobody's: it goes back in the portal.
    app.in_the_portal(&charge, "void", json!({"reason": "nobody's"}))
        .await;
    assert_eq!(shell.run("orphan-charge", "check").trim(), "");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn unknown_state() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "unknown-state").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.speak(charge, Dialect::MisspeltAuthorized).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(charge).await;
    assert_eq!(
        execution.states().last(),
        Some(&"AwaitBank"),
        "{execution:?}"
    );
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    let seen = shell.run("unknown-state", "see");
    assert!(
        seen.contains(charge) && seen.contains("Auhtorized"),
        "{seen}"
    );
    // The bank learns to spell; or the program learns the word, which comes to the same.
    app.speak(charge, Dialect::Usual).await;
    app.restarted(&shell.run("unknown-state", "repair")).await;
    assert!(
        shell
            .run("unknown-state", "check")
            .starts_with("paid\torderPaid\t2")
    );
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn refusal_needs_person() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "refusal-needs-person").await;
    let (order, _, charge) = app.old_payment().await;
    app.remove_order(&order.order_id).await;
    let form = format!("objectId={charge}&status=true");
    app.post_callback(payment3_local::http::FORM, form).await;
    assert_failed(&app.execution(&charge).await, "RefusalNeedsPerson");
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(&charge);
    assert!(shell.run("refusal-needs-person", "see").contains(&charge));
    let printed = shell.run("refusal-needs-person", "repair");
    assert!(
        compact(&printed).contains("\"reversal\":\"voided\""),
        "{printed}"
    );
    app.restarted(&printed).await;
    let checked = shell.run("refusal-needs-person", "check");
    assert!(checked.contains("returned\treversed\t2"), "{checked}");
    let bank = app.look.bank_charge(&charge).await.expect("the bank");
    assert_eq!(bank["transaction_state"], "Voided", "{bank}");
    assert_eq!(app.told(&order).await, ["payment.reversed"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn notifications_refused() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "notifications-refused").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.shop_answers(410, 1).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(charge).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(execution.output.expect("output")["notified"], false);
    alarm.assert_met_in_the_logs().await;

    let shell = app.shell_for(charge);
    let seen = shell.run("notifications-refused", "see");
    assert!(
        seen.contains(charge) && seen.contains("\"state\":\"NotifySuccess\""),
        "{seen}"
    );
    let delivered = shell.run("Send an event again", "resend");
    assert!(
        compact(&delivered).contains(&format!("\"eventId\":\"{charge}:payment.succeeded\"")),
        "{delivered}"
    );
    let events = app
        .look
        .shop_events(&paid.order.order_id)
        .await
        .expect("the shop");
    let answers: Vec<_> = events
        .iter()
        .map(|event| (event.kind(), event.answered))
        .collect();
    assert_eq!(
        answers,
        [("payment.succeeded", 410), ("payment.succeeded", 204)]
    );
    assert_eq!(events[0].id, events[1].id);
    assert_eq!(events[0].body["data"], events[1].body["data"]);
}

/// What a charge's record makes of "send an event again".
async fn sent_again(app: &TestApp, shell: &Shell, charge: &str) -> Vec<String> {
    let before = app.told_of(charge).await.len();
    shell.run("Send an event again", "resend");
    app.told_of(charge).await.split_off(before)
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn an_event_is_sent_again_as_what_became_of_the_payment() {
    let app = TestApp::connect().await;
    let gone = app.paying().await;
    app.remove_order(&gone.order.order_id).await;
    let declined = app.authenticated(&random::id("usr_"), CARD_DECLINED).await;
    let verification = shopper::verification_of(&random::id("usr_"));
    let verified = app.authenticated_for(&verification, CARD_APPROVED).await;
    let unverified = app.authenticated_for(&verification, CARD_DECLINED).await;
    for (done, event) in [
        (&gone, "payment.reversed"),
        (&declined, "payment.failed"),
        (&unverified, "card.failed"),
        (&verified, "card.saved"),
    ] {
        let charge = done.charge_id();
        let shell = app.shell_for(charge);
        // Nothing is decided yet, so that there is nothing to tell.
        assert_eq!(sent_again(&app, &shell, charge).await, [""; 0]);
        app.return_with(&done.form).await;
        assert_eq!(app.execution(charge).await.status, "SUCCEEDED");
        let shell = shell.with("CARD_EVENT", "card.saved");
        assert_eq!(sent_again(&app, &shell, charge).await, [event]);
    }
    // Whether a verified card was saved, the record does not say.
    let charge = verified.charge_id();
    let shell = app.shell_for(charge);
    assert_eq!(sent_again(&app, &shell, charge).await, [""; 0]);
    // Nor that an order's money went back, where the 1 baht did and the payment was looked at once more.
    let key = app.key_of(charge).await;
    let returned = [(":returned", json!("returned"))];
    app.change_record(&key, "SET outcome = :returned", &returned)
        .await;
    assert_eq!(sent_again(&app, &shell, charge).await, [""; 0]);
    let shell = shell.with("CARD_EVENT", "card.saved");
    assert_eq!(sent_again(&app, &shell, charge).await, ["card.saved"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_that_the_shopper_never_finished_has_no_event_to_send_again() {
    let app = TestApp::connect().await;
    let page = app.check_out(&app.order().await, CARD_APPROVED).await;
    let charge = charge_on(&page);
    app.make_older(&app.key_of(&charge).await, 8 * 24 * 60 * 60)
        .await;
    app.reconcile().await;
    assert_eq!(app.record(&charge).await["closedAs"], "abandoned");
    let printed = app.shell_for(&charge).run("Send an event again", "resend");
    assert!(
        printed.contains("the bank has decided nothing"),
        "{printed}"
    );
    assert_eq!(app.told_of(&charge).await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_wrong_key_of_the_shop_delays_its_event_and_loses_none() {
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    app.shop_answers(401, 2).await;
    app.return_with(&paid.form).await;
    let execution = app.execution(paid.charge_id()).await;
    assert_eq!(execution.output.expect("output")["notified"], true);
    let events = app.look.shop_events(&paid.order.order_id).await;
    let answers: Vec<_> = events
        .expect("the shop")
        .iter()
        .map(|event| event.answered)
        .collect();
    assert_eq!(answers, [401, 401, 204]);
}

impl TestApp {
    async fn secret(&self, arn: &str) -> String {
        let get = self.aws.secrets.get_secret_value().secret_id(arn);
        let secret = get.send().await.expect("the secret");
        secret.secret_string().expect("text").to_owned()
    }

    async fn put_secret(&self, arn: &str, text: &str) {
        let put = self.aws.secrets.put_secret_value().secret_id(arn);
        put.secret_string(text).send().await.expect("put");
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_notification_that_the_bank_signed_before_a_rotation_is_believed_after_it() {
    let app = TestApp::connect().await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let before = app.secret(&app.outputs.gateway_secret_arn).await;
    let new = json!({"url": app.outputs.bank_url, "b2c": "pkey_test_new:skey_test_new"});
    app.shell().script(
        &format!(
            "echo '{new}' > gateway.json\n{}",
            block("The bank's keys", "rotate")
        ),
        "rotating the bank's keys",
    );
    let put = app.secret(&app.outputs.gateway_secret_arn).await;
    assert!(put.contains("skey_test_new"), "the keys are not rotated");
    // A process that starts now has never seen the former key.
    let function = Function::of(&app, "callback").await;
    function.set("STARTED", "after the rotation").await;
    let answered = app.notify(charge).await;
    assert_eq!(answered["answer"], 200, "{answered}");
    // The sandbox bank does not rotate: it takes the former key alone.
    function.restore().await;
    app.put_secret(&app.outputs.gateway_secret_arn, &before)
        .await;
    app.execution(charge).await;
    let shell = app.shell_for(charge);
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    app.assert_paid(&paid).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_shop_that_knows_the_former_key_alone_gets_every_event_after_a_rotation() {
    let app = TestApp::connect().await;
    let before = app.secret(&app.outputs.shop_webhook_secret_arn).await;
    app.shell().run("The key of the shop's events", "rotate");
    assert_ne!(
        app.secret(&app.outputs.shop_webhook_secret_arn).await,
        before
    );
    let paid = app.paying().await;
    app.return_with(&paid.form).await;
    app.execution(paid.charge_id()).await;
    app.assert_paid(&paid).await;
    app.put_secret(&app.outputs.shop_webhook_secret_arn, &before)
        .await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn oldest_open_record() {
    let app = TestApp::connect().await;
    // A shopper who walked away three hours ago: nobody is called for that.
    let left = app.order().await;
    let page = app.check_out(&left, CARD_APPROVED).await;
    let left_charge = charge_on(&page);
    let key = app.key_of(&left_charge).await;
    let now = jiff::Timestamp::now();
    let hours_ago = now - jiff::SignedDuration::from_hours(3);
    app.change_record(
        &key,
        "SET lookAgainAt = :later, openSince = :since, attempt = :asked",
        &[
            (":later", json!(now.as_second() + 3600)),
            (":since", json!(hours_ago.to_string())),
            (":asked", json!(4)),
        ],
    )
    .await;
    // One that nobody came back for, for an hour.
    let paid = app.paying().await;
    let charge = paid.charge_id();
    let key = app.key_of(charge).await;
    let quiet = Alarm::watch(&app.outputs, "oldest-open-record").await;
    app.shell().run("Reconcile now", "reconcile");
    let before = quiet.value_in_the_logs().await;
    assert!(before < 1800.0, "something waits already: {before}");
    app.change_record(
        &key,
        "SET lookAgainAt = :due",
        &[(":due", json!(now.as_second() - 3600))],
    )
    .await;

    let shell = app.shell_for(charge);
    let seen = shell.run("oldest-open-record", "see");
    assert!(
        seen.contains(charge) && !seen.contains(&left_charge),
        "{seen}"
    );
    let alarm = Alarm::watch(&app.outputs, "oldest-open-record").await;
    let printed = shell.run("oldest-open-record", "repair");
    // Reconciliation tells how it found things, before it sets them right.
    alarm.assert_met_in_the_logs().await;
    app.restarted(&printed).await;
    assert_closed(&app.record(charge).await);
    let after = Alarm::watch(&app.outputs, "oldest-open-record").await;
    app.shell().run("Reconcile now", "reconcile");
    assert!(after.value_in_the_logs().await < 1800.0);
    assert!(!shell.run("oldest-open-record", "see").contains(charge));
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn reconcile_not_running() {
    let app = TestApp::connect().await;
    let rule = format!("payment3-reconcile-{}", app.outputs.branch);
    let shell = app.shell();
    shell.script(
        &format!("aws events disable-rule --name {rule}"),
        "stopping the rule",
    );
    let alarm = Alarm::watch(&app.outputs, "reconcile-not-running").await;
    assert!(
        shell
            .run("reconcile-not-running", "see")
            .starts_with("DISABLED\trate(5 minutes)")
    );
    assert!(alarm.value_in_the_logs().await < 1.0, "it runs");

    let report = shell.run("reconcile-not-running", "repair");
    assert!(compact(&report).contains("\"failed\":0}"), "{report}");
    let seen = shell.run("reconcile-not-running", "see");
    assert!(
        seen.starts_with("ENABLED") && seen.contains("reconciled"),
        "{seen}"
    );
    assert!(alarm.value_in_the_logs().await >= 1.0, "no run was counted");
}

/// A function whose settings a test spoils. A test that fails in between leaves it spoilt, and fails the rest.
struct Function<'a> {
    app: &'a TestApp,
    path: String,
    environment: Value,
}

impl<'a> Function<'a> {
    async fn of(app: &'a TestApp, kebab: &str) -> Self {
        let path = format!("payment3-{kebab}-{}/configuration", app.outputs.branch);
        let deployed = lambda(&app.outputs, Method::GET, &path, None).await;
        let environment = deployed["Environment"].clone();
        Self {
            app,
            path,
            environment,
        }
    }

    async fn set(&self, variable: &str, value: &str) {
        let mut environment = self.environment.clone();
        environment["Variables"][variable] = json!(value);
        self.configure(&environment).await;
    }

    async fn restore(&self) {
        self.configure(&self.environment).await;
    }

    async fn configure(&self, environment: &Value) {
        let body = json!({"Environment": environment});
        lambda(&self.app.outputs, Method::PUT, &self.path, Some(&body)).await;
    }
}

async fn check_status(app: &TestApp, order_id: &str) -> u16 {
    let url = format!("{}/checkstatus/{order_id}", app.outputs.api_url);
    client()
        .get(url)
        .send()
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn function_errors() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "function-errors-check-status").await;
    let function = Function::of(&app, "check-status").await;
    function.set("AWS_TIMEOUT_MS", "soon").await;
    let status = check_status(&app, "482500007436").await;
    assert!(status >= 500, "{status}");
    // The local API calls the function in a way that counts nothing.
    let path = "/2015-03-31/functions/payment3-check-status";
    let url = format!(
        "{}{path}-{}/invocations",
        app.outputs.aws_endpoint, app.outputs.branch
    );
    client()
        .post(url)
        .json(&json!({}))
        .send()
        .await
        .expect("an answer");
    let shell = app.shell().with("FUNCTION", "check-status");
    alarm.assert_met_in_the_metric().await;
    shell.run("function-errors", "see");
    // Deployed again.
    function.restore().await;
    let checked = shell.run("function-errors", "check");
    assert_eq!(
        checked,
        "400 POST cardpayment\n400 POST callback\n404 GET checkstatus/0\n"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn function_throttles_and_activity_throttles() {
    let app = TestApp::connect().await;
    for (function, section, alarm) in [
        (
            "check-status",
            "function-throttles",
            "function-throttles-check-status",
        ),
        (
            "record-outcome",
            "activity-throttles",
            "activity-throttles-record-outcome",
        ),
    ] {
        let alarm = Alarm::watch(&app.outputs, alarm).await;
        let shell = app
            .shell()
            .with("FUNCTION", function)
            .with("CONCURRENCY", "5");
        let path = format!("payment3-{function}-{}/concurrency", app.outputs.branch);
        let none = json!({"ReservedConcurrentExecutions": 0});
        lambda(&app.outputs, Method::PUT, &path, Some(&none)).await;
        let paid = app.paying().await;
        app.return_with(&paid.form).await;
        check_status(&app, &paid.order.order_id).await;
        // The execution retries what is turned away.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        alarm.assert_met_in_the_metric().await;
        shell.run(section, "see");
        shell.run("function-throttles", "repair");
        assert_eq!(app.execution(paid.charge_id()).await.status, "SUCCEEDED");
        assert_eq!(check_status(&app, &paid.order.order_id).await, 200);
        lambda(&app.outputs, Method::DELETE, &path, None).await;
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn activity_crashes() {
    let app = TestApp::connect().await;
    let alarm = Alarm::watch(&app.outputs, "activity-crashes").await;
    app.shell().run("activity-crashes", "see");
    // The local AWS writes no platform events; these are what AWS Lambda's documentation shows.
    let group = format!("/aws/lambda/payment3-notify-{}", app.outputs.branch);
    for line in [
        json!({"time": "2026-11-22T05:10:00Z", "type": "platform.report", "record": {"requestId": "r", "status": "timeout"}}),
        json!({"time": "2026-11-22T05:10:00Z", "type": "platform.report", "record": {"requestId": "r", "status": "error", "errorType": "Runtime.ExitError"}}),
    ] {
        write_line(&app, &group, &line).await;
    }
    // One that the function answers itself is no crash.
    write_line(
        &app,
        &group,
        &json!({"type": "platform.report", "record": {"requestId": "r", "status": "error", "errorType": "NotificationFailed"}}),
    ).await;
    assert!((alarm.value_in_the_logs().await - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn api_errors_and_api_throttled() {
    let app = TestApp::connect().await;
    // The local API writes no access log and limits nothing: these are its lines, in the format that the stack gives them.
    let errors = Alarm::watch(&app.outputs, "api-errors").await;
    let alarm = Alarm::watch(&app.outputs, "api-throttled").await;
    let group = format!("/aws/vendedlogs/apis/payment3-{}", app.outputs.branch);
    let line = |route: &str, status: &str| json!({"requestId": "r", "sourceIp": "192.0.2.1", "routeKey": route, "status": status, "refusal": "THROTTLED"});
    const CHECKOUT: &str = "POST /cardpayment";
    write_line(&app, &group, &line(CHECKOUT, "200")).await;
    for _ in 0..20 {
        write_line(&app, &group, &line(CHECKOUT, "429")).await;
    }
    alarm.assert_met_in_the_logs().await;
    // A notification that comes before its checkout has stored the charge is no failure.
    for _ in 0..5 {
        write_line(&app, &group, &line("POST /notify", "503")).await;
    }
    assert!(errors.value_in_the_logs().await < 1.0);
    for status in ["500", "502", "503", "503"] {
        write_line(&app, &group, &line(CHECKOUT, status)).await;
    }
    write_line(&app, &group, &line("POST /notify", "500")).await;
    errors.assert_met_in_the_logs().await;
    assert!(
        app.shell()
            .run("api-throttled", "see")
            .contains("192.0.2.1")
    );

    for kind in ["busy", "error"] {
        let order = app.order().await;
        let token = shopper::card_token(&app.outputs, CARD_APPROVED)
            .await
            .expect("token");
        let fault = json!({"operation": "create_charge", "kind": kind, "token": token});
        let url = format!("{}/sandbox/faults", app.outputs.bank_url);
        let planned = client().post(url).json(&fault).send().await;
        assert!(planned.expect("the bank").status().is_success());
        let form = shopper::checkout_form(&app.outputs, &order, &token);
        let refused = shopper::post_checkout(&app.outputs, &form).await;
        assert_eq!(refused.expect("an answer").status, 503, "{kind}");
    }
    let seen = app.shell().run("api-errors", "see");
    for words in [
        "BANK_UNAVAILABLE",
        "the bank did not take the request: it answered 429",
        "PAYMENT_BEING_CHECKED",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    let paid = app.paying().await;
    app.return_with(&paid.form).await;
    let shell = app.shell().with("ORDER", &paid.order.order_id);
    assert_eq!(shell.run("api-errors", "check").trim(), "200");
}

async fn write_line(app: &TestApp, group: &str, line: &Value) {
    let stream =
        json!({"logGroupName": group, "logStreamName": format!("test-{}", random::digits(8))});
    call(&app.outputs, "Logs_20140328.CreateLogStream", &stream).await;
    let now = jiff::Timestamp::now().as_millisecond();
    let mut events = stream;
    events["logEvents"] = json!([{"timestamp": now, "message": line.to_string()}]);
    call(&app.outputs, "Logs_20140328.PutLogEvents", &events).await;
}

/// What a metric's value makes an alarm do: it rings at the topic, with its link into the runbook, and says when it is over.
#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn every_alarm_tells_the_topic_with_its_link() {
    let app = TestApp::connect().await;
    let queue = listening_queue(&app).await;
    let alarms = deployed_alarms(&app.outputs).await;
    assert_eq!(alarms.len(), 34);
    for alarm in &alarms {
        // From the other side first: what rings already would not ring again.
        let silence = alarm["TreatMissingData"] == "breaching";
        for rings in if silence { &[true][..] } else { &[false, true] } {
            let threshold = alarm["Threshold"].as_f64().expect("threshold");
            let value = if *rings == silence {
                0.0
            } else {
                threshold * 1000.0
            };
            let datum = json!({"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"], "Value": value});
            let body = json!({"Namespace": alarm["Namespace"], "MetricData": [datum]});
            call(
                &app.outputs,
                "GraniteServiceVersion20100801.PutMetricData",
                &body,
            )
            .await;
        }
    }
    let told = told(&app, &queue).await;
    for alarm in &alarms {
        let name = alarm["AlarmName"].as_str().expect("name");
        let text = told
            .get(name)
            .unwrap_or_else(|| panic!("{name} told nobody"));
        assert!(text.contains("docs/runbook.md#"), "{name}: {text}");
    }
}

/// A queue that hears the alarms' topic. Returns its URL.
async fn listening_queue(app: &TestApp) -> String {
    let name = json!({"QueueName": format!("alarms-{}", random::digits(8))});
    let queue = call(&app.outputs, "AmazonSQS.CreateQueue", &name).await;
    let url = queue["QueueUrl"].as_str().expect("URL").to_owned();
    let asked = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
    let attributes = call(&app.outputs, "AmazonSQS.GetQueueAttributes", &asked).await;
    let queue_arn = attributes["Attributes"]["QueueArn"]
        .as_str()
        .expect("ARN")
        .to_owned();
    let topic = app
        .outputs
        .state_machine_arn
        .replace(":states:", ":sns:")
        .replace(":stateMachine:payment3-payment-", ":payment3-alarms-");
    let form = [
        ("Action", "Subscribe"),
        ("Version", "2010-03-31"),
        ("TopicArn", topic.as_str()),
        ("Protocol", "sqs"),
        ("Endpoint", queue_arn.as_str()),
    ];
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = client()
        .post(&app.outputs.aws_endpoint)
        .header("content-type", payment3_local::http::FORM)
        .body(body);
    let response = request.send().await.expect("the local AWS");
    assert!(response.status().is_success(), "{response:?}");
    url
}

/// What the alarms that ring have told the queue: their descriptions, by name.
async fn told(app: &TestApp, queue: &str) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    loop {
        let asked = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10});
        let answer = call(&app.outputs, "AmazonSQS.ReceiveMessage", &asked).await;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return told;
        }
        for message in messages {
            let parse = |text: &Value| -> Value {
                serde_json::from_str(text.as_str().expect("text")).expect("JSON")
            };
            let alarm = parse(&parse(&message["Body"])["Message"]);
            if alarm["NewStateValue"] == "ALARM" {
                let text = |field: &str| alarm[field].as_str().expect("text").to_owned();
                told.insert(text("AlarmName"), text("AlarmDescription"));
            }
            let read = json!({"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]});
            call(&app.outputs, "AmazonSQS.DeleteMessage", &read).await;
        }
    }
}
