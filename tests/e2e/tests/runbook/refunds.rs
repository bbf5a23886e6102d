//! Refunds: how a person gives money back, stops it and lists it, and what is done about those that stand.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use payment3_harness::executions::{ExecutionReport, Executions};
use payment3_harness::fast_retries::shorten;
use payment3_harness::random;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::conditions::{Alarm, deployed_alarms};
use crate::document::promised;
use crate::helpers::{assert_failed, compact, started_by};
use crate::shell::Shell;
use crate::support::{Authenticated, TestApp, assert_closed};
use crate::tools::PATIENCE;

const DAY: i64 = 24 * 60 * 60;

/// Whoever gives money back: the shop's back office, and a person with the runbook.
struct Office {
    app: TestApp,
    executions: Executions,
}

impl Office {
    async fn open() -> Self {
        let app = TestApp::connect().await;
        let executions = Executions::of(&app.aws, &app.outputs.refund_state_machine_arn);
        Self { app, executions }
    }

    /// A paid order whose charge is not settled.
    async fn paid(&self) -> Authenticated {
        let paid = self.app.paying().await;
        self.app.return_with(&paid.form).await;
        let execution = self.app.execution(paid.charge_id()).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        paid
    }

    /// A paid order whose charge is settled.
    async fn settled(&self) -> Authenticated {
        let paid = self.paid().await;
        self.app.settle(paid.charge_id()).await;
        paid
    }

    /// A terminal in which everything that the sections speak of is set. The execution is the one of the refund's id.
    fn shell(&self, paid: &Authenticated, refund: &str) -> Shell {
        self.app
            .shell_for(paid.charge_id())
            .with("ORDER", &paid.order.order_id)
            .with("REFUND", refund)
            .with("NAME", refund)
    }

    /// Starts a refund as the runbook says, and waits for its end.
    async fn give_back(&self, paid: &Authenticated, refund: &str, amount: &str) -> ExecutionReport {
        self.start(paid, refund, amount);
        self.ended(refund).await
    }

    /// Starts a refund as the runbook says.
    fn start(&self, paid: &Authenticated, refund: &str, amount: &str) {
        let shell = self.shell(paid, refund).with("AMOUNT", amount);
        shell.run("Give money of a paid order back", "refund");
    }

    /// Waits for the end of the execution that a command started.
    async fn started(&self, printed: &str) -> ExecutionReport {
        self.ended(&started_by(printed)).await
    }

    /// Starts the execution of the shell's `NAME` again, and waits for the end of the new one.
    async fn start_again(&self, shell: &Shell) -> ExecutionReport {
        let printed = shell.run("Start a refund again", "restart");
        self.started(&printed).await
    }

    async fn ended(&self, name: &str) -> ExecutionReport {
        let ended = self.executions.wait_for(name, PATIENCE).await;
        ended.expect("an execution that ends")
    }

    /// Waits until an execution is in a state.
    async fn until_in(&self, name: &str, state: &str) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let found = self.executions.find(name).await.expect("Step Functions");
            let states = found.map(|execution| execution.states().join(" "));
            if states
                .as_ref()
                .is_some_and(|states| states.ends_with(state))
            {
                return;
            }
            assert!(
                Instant::now() < give_up,
                "{name} is not in {state}: {states:?}"
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// An entry of the ledger of a charge's record.
    async fn entry(&self, paid: &Authenticated, refund: &str) -> Value {
        self.app.record(paid.charge_id()).await["refunds"][refund].clone()
    }

    /// How much of a charge is counted as given back, in satang.
    async fn counted(&self, paid: &Authenticated) -> i64 {
        let record = self.app.record(paid.charge_id()).await;
        record["refundedSatang"].as_i64().unwrap_or_default()
    }

    /// What the bank has given back of a charge by refunds, in baht.
    async fn at_the_bank(&self, paid: &Authenticated) -> Vec<String> {
        let charge = self.app.inspector.bank_charge(paid.charge_id()).await;
        let charge = charge.expect("the bank");
        let refunds = charge["refunds"].as_array().expect("refunds");
        let amount = |refund: &Value| format!("{:.2}", refund["amount"].as_f64().expect("baht"));
        refunds.iter().map(amount).collect()
    }

    /// Every event of a refund that the shop has received about a charge: type, refund, amount and what is left.
    async fn told(&self, paid: &Authenticated) -> Vec<String> {
        let events = self.app.inspector.shop_events_of_charge(paid.charge_id());
        let events = events.await.expect("the shop").into_iter();
        let refunds = events.filter(|event| event.kind().starts_with("refund."));
        refunds
            .map(|event| {
                assert!(event.verified && event.answered == 204, "{event:?}");
                let data = &event.body["data"];
                let text = |field: &str| data[field].as_str().unwrap_or("unknown").to_owned();
                let (kind, refund) = (event.kind().to_owned(), text("refundId"));
                assert_eq!(event.id, format!("{}:{kind}:{refund}", paid.charge_id()));
                [kind, refund, text("amount"), text("left")].join(" ")
            })
            .collect()
    }

    /// What apps are shown for an order: status, amount that went back, and whether a part of it is unknown.
    async fn shown(&self, paid: &Authenticated) -> (String, String, bool) {
        let printed = self.shell(paid, "-").run("refund-elsewhere", "check");
        let shown: Value = serde_json::from_str(&printed).expect("JSON");
        let text = |field: &str| shown[field].as_str().expect("text").to_owned();
        (
            text("status"),
            text("refunded"),
            shown["refundedElsewhere"] == true,
        )
    }

    /// Deploys the definition with waits of a second. Returns the former one, to restore it.
    async fn with_short_waits(&self) -> String {
        let machine = self.app.aws.sfn.describe_state_machine();
        let machine = machine.state_machine_arn(&self.app.outputs.refund_state_machine_arn);
        let deployed = machine.send().await.expect("the definition");
        let deployed = deployed.definition().to_owned();
        let definition = serde_json::from_str(&deployed).expect("JSON");
        self.define(shorten(&definition).to_string()).await;
        deployed
    }

    /// Deploys a definition.
    async fn define(&self, definition: String) {
        let update = self.app.aws.sfn.update_state_machine();
        let update = update.state_machine_arn(&self.app.outputs.refund_state_machine_arn);
        update
            .definition(definition)
            .send()
            .await
            .expect("deployed");
    }

    /// Makes an entry of the ledger older.
    async fn make_older(&self, paid: &Authenticated, refund: &str, seconds: i64) {
        let at = jiff::Timestamp::now().as_second() - seconds;
        let update = self.app.aws.dynamodb.update_item();
        let update = update
            .table_name(self.app.table("card-payment-record"))
            .key(
                "tokenId",
                AttributeValue::S(self.app.key_of(paid.charge_id()).await),
            )
            .update_expression("SET refunds.#id.reservedAt = :at")
            .expression_attribute_names("#id", refund)
            .expression_attribute_values(":at", AttributeValue::N(at.to_string()));
        update.send().await.expect("changed");
    }

    /// Has the bank lose the answer to the next refund of a charge: `lost_answer` after it took effect, `timeout`
    /// before.
    async fn lose_the_answer(&self, paid: &Authenticated, kind: &str) {
        let fault =
            json!({"operation": "refund", "kind": kind, "token": paid.token(), "delayMs": 0});
        self.app.plan_bank_fault(&fault).await;
    }

    /// Somebody gives money back in the bank's portal, and the bank notifies us. Returns the execution that finds it.
    async fn by_hand(&self, paid: &Authenticated, what: &str, body: Value) -> ExecutionReport {
        let charge = paid.charge_id();
        self.app.in_the_portal(charge, what, body).await;
        self.app.assert_notification_answered(charge, 200).await;
        self.ended(&format!("elsewhere-{charge}")).await
    }
}

/// An id of its own for a refund.
fn id() -> String {
    random::id("rf_")
}

/// The lines of a listing that are about an order, each as its columns.
fn lines_of(printed: &str, paid: &Authenticated) -> Vec<Vec<String>> {
    let lines = printed
        .lines()
        .map(|line| line.split('\t').map(str::to_owned));
    let lines = lines.map(Iterator::collect::<Vec<_>>);
    lines
        .filter(|line| line[0] == paid.order.order_id)
        .collect()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn money_of_a_paid_order_goes_back_in_parts() {
    promised(&[
        "A refund counts once for each id.",
        "A refund's is named after its id.",
        "The same id again is the same refund; two equal refunds under two ids are two.",
        "Never more goes back than was paid.",
        "Goes on from where its entry in the ledger stands, under a new name.",
        "It gives nothing back a second time, and sends its event again,",
    ]);
    let office = Office::open().await;
    let paid = office.settled().await;
    let ids = [id(), id(), id()];
    for (refund, amount) in ids.iter().zip(["120.50", "120.50", "all"]) {
        let execution = office.give_back(&paid, refund, amount).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    }
    let more = office.give_back(&paid, &id(), "0.01").await;
    assert_failed(&more, "RefundTooLarge");
    let amounts = ["120.50", "120.50", "1259.00"];
    assert_eq!(office.at_the_bank(&paid).await, amounts);

    let shell = office.shell(&paid, &ids[0]);
    let seen = shell.run("Look at an execution", "refund-execution");
    assert!(
        seen.contains("SUCCEEDED") && seen.contains("RefundDone"),
        "{seen}"
    );
    let again = office.start_again(&shell).await;
    assert_eq!(again.status, "SUCCEEDED", "{again:?}");
    assert_eq!(office.at_the_bank(&paid).await, amounts);
    let told = office.told(&paid).await;
    let event =
        |at: usize, left: &str| format!("refund.succeeded {} {} {left}", ids[at], amounts[at]);
    assert_eq!(
        told,
        [
            event(0, "1379.50"),
            event(1, "1259.00"),
            event(2, "0.00"),
            event(0, "0.00")
        ]
    );

    let ledger = lines_of(
        &shell.run("Look at the refunds of an order", "ledger"),
        &paid,
    );
    assert_eq!(ledger.len(), 3, "{ledger:?}");
    for (refund, amount) in ids.iter().zip(amounts) {
        let line = ledger
            .iter()
            .find(|line| line[2] == *refund)
            .expect("a line");
        assert_eq!(
            line[1..6],
            [paid.charge_id(), refund, "sent", amount, "refunded"]
        );
        assert!(line[6] != "None" && line[7].starts_with('2'), "{line:?}");
    }
    let finance = shell.run("List refunds", "finance");
    assert_eq!(lines_of(&finance, &paid).len(), 3, "{finance}");
    let before = shell
        .with("MONTH", "2001-01")
        .run("List refunds", "finance");
    assert_eq!(before, "");
    assert_eq!(
        office.shown(&paid).await,
        ("refunded".into(), "1500.00".into(), false)
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn what_cannot_begin_reserves_nothing_and_asks_nothing_of_the_bank() {
    promised(&["It has reserved nothing and asked nothing of the bank."]);
    let office = Office::open().await;
    let paid = office.settled().await;
    let refund = id();
    let first = office.give_back(&paid, &refund, "100").await;
    assert_eq!(first.status, "SUCCEEDED", "{first:?}");
    let record = office.app.record(paid.charge_id()).await;
    // Paid in cash at the door.
    let otherwise = office.app.order().await;
    let payment = json!({"isPaid": true, "paymentId": "cash", "grandTotal": 1500});
    office
        .app
        .change_order(&otherwise.order_id, "payment", &payment)
        .await;

    let nobodys = random::digits(12);
    let order = &paid.order.order_id;
    let fresh = id();
    for (refund, order, amount, error) in [
        (&fresh, order, "0", "InvalidRefund"),
        (&fresh, &nobodys, "all", "OrderNotPaid"),
        (&fresh, &otherwise.order_id, "all", "PaidOtherwise"),
        (&fresh, order, "1400.01", "RefundTooLarge"),
        (&refund, order, "100.01", "RefundMismatch"),
    ] {
        // As the block does it, under a name that no execution has yet.
        let input = match amount {
            "all" => json!({"refundId": refund, "orderId": order}),
            _ => json!({"refundId": refund, "orderId": order, "amount": amount}),
        };
        let name = id();
        let start = format!("refund_as {name} '{input}'");
        let printed = office.app.shell().script(&start, error);
        let failed = office.started(&printed).await;
        assert_failed(&failed, error);
        assert_eq!(failed.states(), ["CheckRefund"], "{failed:?}");
    }
    assert_eq!(office.app.record(paid.charge_id()).await, record);
    assert_eq!(office.at_the_bank(&paid).await, ["100.00"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_refund_that_waits_is_stopped_and_given_up() {
    promised(&[
        "The alarm refund-stuck rings: the execution is over, and the amount is still set aside.",
        "Started again, it only tells the shop (`refund.failed`).",
        "An id that was given up gives nothing back any more.",
        "It is refused, and nothing changes, unless the entry is `reserved`:",
    ]);
    let office = Office::open().await;
    let paid = office.paid().await;
    let refund = id();
    office.start(&paid, &refund, "100");
    office.until_in(&refund, "AwaitSettlement").await;
    let shell = office.shell(&paid, &refund);
    let seen = shell.run("Look at an execution", "refund-execution");
    assert!(
        seen.contains("RUNNING") && seen.contains("AwaitSettlement"),
        "{seen}"
    );
    let open = lines_of(&shell.run("List refunds", "open"), &paid);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0][2..5], [refund.as_str(), "reserved", "100.00"]);

    shell.run("Stop a refund", "stop");
    assert_eq!(office.ended(&refund).await.status, "ABORTED");
    assert_eq!(office.counted(&paid).await, 10_000);
    // The local AWS counts no executions: the deployed alarm counts those that were stopped.
    let alarms = deployed_alarms(&office.app.outputs).await;
    let alarm = alarms.iter().find(|alarm| {
        let name = alarm["AlarmName"].as_str().expect("a name");
        name.starts_with("payment3-refund-aborted-")
    });
    let alarm = alarm.expect("an alarm of stopped executions");
    let machine = &office.app.outputs.refund_state_machine_arn;
    assert_eq!(
        (&alarm["MetricName"], &alarm["Dimensions"]),
        (
            &json!("ExecutionsAborted"),
            &json!([{"Name": "StateMachineArn", "Value": machine}])
        )
    );
    let seen = shell.run("refund-stuck", "see");
    assert!(seen.contains(&format!("ABORTED\t{refund}")), "{seen}");

    let released = office.started(&shell.run("Stop a refund", "release")).await;
    assert_eq!(released.status, "SUCCEEDED", "{released:?}");
    assert_eq!(released.output.expect("output")["result"], "failed");
    assert_eq!(office.entry(&paid, &refund).await["state"], "failed");
    assert_eq!(office.counted(&paid).await, 0);
    assert_eq!(
        office.told(&paid).await,
        [format!("refund.failed {refund} 100.00 1500.00")]
    );
    assert_eq!(lines_of(&shell.run("List refunds", "open"), &paid).len(), 0);
    // Its amount can be given back under another id.
    let all = id();
    let execution = office.give_back(&paid, &all, "1500").await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(office.entry(&paid, &all).await["way"], "voided");

    // Neither of them can be given up now.
    let after = office.app.record(paid.charge_id()).await;
    for refund in [&refund, &all] {
        let shell = office.shell(&paid, refund);
        let printed = shell.script("release_refund || echo refused", "giving up what is over");
        assert!(printed.ends_with("refused\n"), "{printed}");
    }
    let asked = id();
    let key = office.app.key_of(paid.charge_id()).await;
    let entry = json!({"state": "asked", "satang": 100, "reservedAt": 1});
    let update = format!("SET refunds.{asked} = :entry");
    office
        .app
        .change_record(&key, &update, &[(":entry", entry)])
        .await;
    let shell = office.shell(&paid, &asked);
    let printed = shell.script("release_refund || echo refused", "giving up what was asked");
    assert!(printed.ends_with("refused\n"), "{printed}");
    let update = format!("REMOVE refunds.{asked}");
    office.app.change_record(&key, &update, &[]).await;
    assert_eq!(office.app.record(paid.charge_id()).await, after);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_refund_that_the_bank_does_not_accept_in_time_is_given_up() {
    promised(&[
        "A refund that the bank does not accept in time is given up: its amount is free again, and the shop gets \
         `refund.failed`.",
        "also that of a refund that was given up.",
    ]);
    let office = Office::open().await;
    let paid = office.paid().await;
    let refund = id();
    office.start(&paid, &refund, "100");
    office.until_in(&refund, "AwaitSettlement").await;
    let shell = office.shell(&paid, &refund);
    shell.run("Stop a refund", "stop");
    // The bank has not settled the charge for a week.
    office.make_older(&paid, &refund, 7 * DAY + 60).await;
    let execution = office.start_again(&shell).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert!(
        execution.states().contains(&"ReleaseRefund"),
        "{execution:?}"
    );
    assert_eq!(office.entry(&paid, &refund).await["state"], "failed");
    assert_eq!(office.counted(&paid).await, 0);
    let event = format!("refund.failed {refund} 100.00 1500.00");
    assert_eq!(office.told(&paid).await, std::slice::from_ref(&event));
    let again = office.start_again(&shell).await;
    assert_eq!(again.status, "SUCCEEDED", "{again:?}");
    assert_eq!(office.told(&paid).await, [event.clone(), event]);
    let all = id();
    office.app.settle(paid.charge_id()).await;
    let execution = office.give_back(&paid, &all, "all").await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(office.at_the_bank(&paid).await, ["1500.00"]);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_refund_waits_for_what_is_down_and_goes_on() {
    promised(&["So does every refund, by itself, unless the outage lasts for 14 days."]);
    let office = Office::open().await;
    let definition = office.with_short_waits().await;
    let paid = office.settled().await;
    let refund = id();
    for function in ["inquire-charge", "refund-charge", "record-refund"] {
        office.app.starve(function).await;
    }
    office.start(&paid, &refund, "100");
    for (function, state) in [
        ("inquire-charge", "InquireCharge"),
        ("refund-charge", "AwaitAnswer"),
        ("record-refund", "RecordRefund"),
    ] {
        office.until_in(&refund, state).await;
        office.app.feed(function).await;
    }
    let execution = office.ended(&refund).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(office.at_the_bank(&paid).await, ["100.00"]);
    office.define(definition.clone()).await;

    // As deployed, no pause is longer than an hour, and the pauses of each state make 14 days: of a pause with jitter
    // half counts.
    let definition: Value = serde_json::from_str(&definition).expect("JSON");
    for (name, state) in definition["States"].as_object().expect("states") {
        if let Some(seconds) = state["Seconds"].as_i64() {
            assert!(seconds <= 3600, "{name}");
        }
        for retrier in state["Retry"].as_array().into_iter().flatten() {
            let longest = retrier["MaxDelaySeconds"].as_i64().unwrap_or_default();
            assert!(longest <= 3600, "{name}: {retrier}");
        }
        let down = state["Retry"]
            .as_array()
            .and_then(|retriers| retriers.last());
        if let Some(down) = down.filter(|down| down["MaxAttempts"] != 0 && name != "ReportStuck") {
            let attempts = down["MaxAttempts"].as_i64().expect("attempts");
            let longest = down["MaxDelaySeconds"].as_i64().expect("a pause");
            assert!(attempts * longest / 2 >= 14 * DAY, "{name}: {down}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn refund_uncertain() {
    promised(&[
        "It is not asked for again, and its amount stays set aside, until you have said what the portal shows.",
        "The order's other refunds go on meanwhile.",
        "The ledger, the order and the check status say so, and the shop gets `refund.succeeded`.",
        "The bank is asked once more.",
        "Both are refused, and change nothing, unless the entry is `uncertain`: two people cannot decide twice.",
    ]);
    let office = Office::open().await;
    let definition = office.with_short_waits().await;
    for (kind, end) in [("lost_answer", "took-effect"), ("timeout", "no-effect")] {
        let alarm = Alarm::watch(&office.app.outputs, "refund-uncertain").await;
        let paid = office.settled().await;
        let (known, refund) = (id(), id());
        let first = office.give_back(&paid, &known, "100").await;
        assert_eq!(first.status, "SUCCEEDED", "{first:?}");
        office.lose_the_answer(&paid, kind).await;
        let execution = office.give_back(&paid, &refund, "100").await;
        assert_failed(&execution, "RefundUncertain");
        alarm.assert_met_in_the_logs().await;
        let bank = office.at_the_bank(&paid).await;
        assert_eq!(bank.len(), if kind == "lost_answer" { 2 } else { 1 });

        let shell = office.shell(&paid, &refund);
        let seen = shell.run("refund-uncertain", "see");
        let line = seen
            .lines()
            .find(|line| line.contains(&refund))
            .expect("a line");
        for part in [&paid.order.order_id, "RefundUncertain", "FindRefund"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(
            compact(line).contains(&format!("\"execution\":\"{refund}\"")),
            "{line}"
        );
        // Nothing changes by itself, nor by a restart.
        assert_failed(&office.start_again(&shell).await, "RefundUncertain");
        assert_eq!(office.at_the_bank(&paid).await, bank);
        assert_eq!(office.counted(&paid).await, 20_000);
        assert_eq!(office.entry(&paid, &refund).await["state"], "uncertain");
        let other = id();
        let execution = office.give_back(&paid, &other, "200").await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");

        let printed = match end {
            "took-effect" => shell.run("refund-uncertain", "took-effect"),
            _ => shell.run("refund-uncertain", "no-effect"),
        };
        let execution = office.started(&printed).await;
        assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        let asked = execution.states().contains(&"RefundCharge");
        assert_eq!(asked, end == "no-effect", "{execution:?}");
        let mut bank = office.at_the_bank(&paid).await;
        bank.sort();
        assert_eq!(bank, ["100.00", "100.00", "200.00"]);
        let ledger = lines_of(
            &shell.run("Look at the refunds of an order", "ledger"),
            &paid,
        );
        let line = ledger
            .iter()
            .find(|line| line[2] == refund)
            .expect("a line");
        assert_eq!(line[3..6], ["sent", "100.00", "refunded"]);
        assert!(line[7].starts_with('2'), "{line:?}");
        let log = office.app.payment_of(&paid.order).await["paymentLog"].to_string();
        assert!(log.contains(&refund), "{log}");
        assert_eq!(
            office.shown(&paid).await,
            ("paid".into(), "400.00".into(), false)
        );
        let event = format!("refund.succeeded {refund} 100.00 1100.00");
        assert!(office.told(&paid).await.contains(&event), "{event}");

        // Whoever comes second decides nothing.
        let decided = office.app.record(paid.charge_id()).await;
        for again in ["took-effect", "no-effect"] {
            let commands = crate::document::block("refund-uncertain", again);
            let (change, _) = commands.split_once("restart_refund").expect("two commands");
            let change = change.trim_end();
            let printed = shell.script(&format!("{change} || echo refused"), "deciding twice");
            assert!(printed.ends_with("refused\n"), "{printed}");
        }
        assert_eq!(office.app.record(paid.charge_id()).await, decided);
    }
    office.define(definition).await;
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn refund_stuck() {
    promised(&[
        "Nothing is lost: its amount stays set aside.",
        "Start it again: it goes on.",
    ]);
    let office = Office::open().await;
    let alarm = Alarm::watch(&office.app.outputs, "refund-stuck").await;
    let paid = office.settled().await;
    let key = office.app.key_of(paid.charge_id()).await;
    let reference = office.app.record(paid.charge_id()).await["referenceOrder"].clone();
    let refers = |to: Value| [(":reference", to)];
    let update = "SET referenceOrder = :reference";
    office
        .app
        .change_record(&key, update, &refers(json!("another")))
        .await;
    let refund = id();
    let execution = office.give_back(&paid, &refund, "100").await;
    assert_failed(&execution, "RefundStuck");
    alarm.assert_met_in_the_logs().await;
    assert_eq!(office.counted(&paid).await, 10_000);
    assert_eq!(office.at_the_bank(&paid).await, [""; 0]);
    let shell = office.shell(&paid, &refund);
    let seen = shell.run("refund-stuck", "see");
    let line = seen.lines().find(|line| line.contains(&refund));
    let line = compact(line.expect("a line"));
    for part in [
        "\"because\":\"ChargeMismatch\"",
        &paid.order.order_id,
        &format!("\"execution\":\"{refund}\""),
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let seen = shell.run("Look at an execution", "refund-execution");
    for part in ["RefundStuck", &paid.order.order_id, "\"amount\": \"100\""] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }

    office
        .app
        .change_record(&key, update, &refers(reference))
        .await;
    let execution = office.start_again(&shell).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(office.at_the_bank(&paid).await, ["100.00"]);
    assert_eq!(office.entry(&paid, &refund).await["state"], "sent");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn refund_elsewhere() {
    promised(&[
        "The shop has been told by `refund.elsewhere`.",
        "A voided charge needs nothing more: all of it went back.",
        "Until you state it, it counts as everything that was left, and every further refund of the order is refused.",
        "The shop is told the amount, and what is left can be given back again.",
        "Have the system look, and tell the shop if it finds something:",
        "It asks for an hour, because the bank's copies may lag behind.",
    ]);
    let office = Office::open().await;
    let alarm = Alarm::watch(&office.app.outputs, "refund-elsewhere").await;
    let voided = office.paid().await;
    let execution = office
        .by_hand(&voided, "void", json!({"reason": "by hand"}))
        .await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(
        office.told(&voided).await,
        ["refund.elsewhere elsewhere-1500.00 1500.00 0.00"]
    );
    assert_eq!(
        office.shown(&voided).await,
        ("refunded".into(), "1500.00".into(), false)
    );
    alarm.assert_met_in_the_logs().await;

    let paid = office.settled().await;
    let by_hand = json!({"amount": "100.00", "reason": "by hand"});
    let execution = office.by_hand(&paid, "refund", by_hand.clone()).await;
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    assert_eq!(
        office.told(&paid).await,
        ["refund.elsewhere elsewhere unknown 0.00"]
    );
    assert_eq!(
        office.shown(&paid).await,
        ("paid".into(), "0.00".into(), true)
    );
    let refused = office.give_back(&paid, &id(), "1").await;
    assert_failed(&refused, "RefundTooLarge");
    let shell = office.shell(&paid, "-").with("AMOUNT", "100.00");
    let seen = shell.run("refund-elsewhere", "see");
    for payment in [&voided, &paid] {
        assert!(seen.contains(payment.charge_id()), "{seen}");
    }
    let ledger = lines_of(
        &shell.run("Look at the refunds of an order", "ledger"),
        &paid,
    );
    assert_eq!(ledger[0][2..5], ["elsewhere", "sent", "unknown"]);

    let stated = office
        .started(&shell.run("refund-elsewhere", "repair"))
        .await;
    assert_eq!(stated.status, "SUCCEEDED", "{stated:?}");
    let told = office.told(&paid).await;
    assert_eq!(
        told[1..],
        ["refund.elsewhere elsewhere-100.00 100.00 1400.00"]
    );
    assert_eq!(
        office.shown(&paid).await,
        ("paid".into(), "100.00".into(), false)
    );
    let rest = office.give_back(&paid, &id(), "all").await;
    assert_eq!(rest.status, "SUCCEEDED", "{rest:?}");
    assert_eq!(office.at_the_bank(&paid).await, ["100.00", "1400.00"]);
    assert_eq!(
        office.shown(&paid).await,
        ("refunded".into(), "1500.00".into(), false)
    );

    // The bank has notified nobody, and says so late.
    let definition = office.with_short_waits().await;
    let silent = office.settled().await;
    let looked = office.shell(&silent, "-").run("refund-elsewhere", "look");
    let name = started_by(&looked);
    office.until_in(&name, "AwaitAnswer").await;
    assert_eq!(office.told(&silent).await, [""; 0]);
    office
        .app
        .in_the_portal(silent.charge_id(), "refund", by_hand)
        .await;
    let looked = office.ended(&name).await;
    assert_eq!(looked.status, "SUCCEEDED", "{looked:?}");
    assert_eq!(
        office.told(&silent).await,
        ["refund.elsewhere elsewhere unknown 0.00"]
    );
    office.define(definition.clone()).await;
    let definition: Value = serde_json::from_str(&definition).expect("JSON");
    let ways = definition["States"]["RefundWay"]["Choices"].as_array();
    let again = ways.expect("ways").iter().find(|way| {
        let condition = way["Condition"].as_str().expect("a condition");
        way["Next"] == "AwaitAnswer" && condition.contains("$refund.elsewhere")
    });
    let again = again.expect("a way back")["Condition"].to_string();
    assert!(
        again.contains("$refund.reservedAt * 1000 < 3600000"),
        "{again}"
    );
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_payment_whose_money_went_back_after_it_paid_goes_on_to_its_end() {
    promised(&["The payment goes on to its end."]);
    let office = Office::open().await;
    let app = &office.app;
    let alarm = Alarm::watch(&app.outputs, "outcome-conflict").await;
    let paid = app.paying().await;
    let charge = paid.charge_id();
    app.fails_to_be_told(&paid).await;
    app.settle(charge).await;
    let part = json!({"amount": "1.00", "reason": "a part"});
    app.in_the_portal(charge, "refund", part).await;
    let shell = app.shell_for(charge);
    app.restarted(&shell.run("Restart under a new name", "restart"))
        .await;
    alarm.assert_met_in_the_logs().await;
    let checked = shell.run("See whether it is repaired", "check");
    assert!(checked.starts_with("paid\torderPaid\t2"), "{checked}");
    let record = app.record(charge).await;
    assert_closed(&record);
    assert!(record.get("token").is_none(), "{record}");
    let events = app.inspector.shop_events_of_charge(charge).await;
    let events = events.expect("the shop");
    let told = events.last().expect("an event");
    assert_eq!((told.kind(), told.answered), ("payment.succeeded", 204));
    assert_eq!(app.shown(&paid.order).await, "paid");
    let looked = shell.run("refund-elsewhere", "look");
    let looked = office.started(&looked).await;
    assert_eq!(looked.output.expect("output")["result"], "elsewhere");
}
