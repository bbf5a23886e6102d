//! Plays refunds of paid orders, and keeps what each function did for them.

use anyhow::{Context, Result, ensure};
use payment3_harness::aws::Aws;
use payment3_harness::fast_retries::shorten;
use payment3_harness::refund_machine::RefundMachine;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::{self, CARD_APPROVED};
use payment3_harness::{items, random};
use serde_json::{Value, json};

use crate::payment::{self, PATIENCE, Shopfront};
use crate::runs::{FunctionRun, discard_runs, latency_calls, take_runs};
use crate::testbed::Testbed;

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All of it, before settlement.
    Void,
    /// All of it, after settlement.
    Refund,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Void, Self::Refund];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Refund => "refund after settlement",
        }
    }

    /// The decisions on its path through the definition.
    pub fn decisions(self) -> &'static [&'static str] {
        match self {
            Self::Void => &["whole, Authorized"],
            Self::Refund => &["Settled"],
        }
    }
}

/// The calls of a refund that must follow each other, whoever makes them, and why each cannot be made together with the
/// one before.
pub const ONE_AFTER_THE_OTHER: [(&str, &str); 14] = [
    (
        "find the refund among the order's payments",
        "started again, it stays with the charge that it was for",
    ),
    (
        "find the charge that paid the order",
        "the shop names the order",
    ),
    ("find the record by its charge", "its key is in the index"),
    ("read the ledger", "an index may lag behind"),
    (
        "open the ledger",
        "an entry needs a map to be in; the first refund of a payment only",
    ),
    (
        "reserve the amount",
        "nothing is asked for that is not reserved",
    ),
    ("ask the bank for the charge", "its word decides the way"),
    (
        "write that the bank is asked",
        "a request of which nobody knows must not exist",
    ),
    ("ask the bank for the money", "it is what all this is for"),
    (
        "write what it answered",
        "an answer must not be lost with the execution",
    ),
    (
        "read the ledger",
        "the execution may have been started again",
    ),
    ("read the order", "its log gets one more line"),
    (
        "write ledger, order and check status",
        "in one transaction with what was read",
    ),
    ("send the event", "it tells what is written"),
];

/// A refund that was played to its end.
#[derive(Debug, Clone)]
pub struct PlayedRefund {
    /// What was played.
    pub way: Way,
    /// Every run of a function, in the order of their starts.
    pub runs: Vec<FunctionRun>,
    /// The states that its execution entered.
    pub states: Vec<String>,
}

impl PlayedRefund {
    /// The calls that followed each other, as `function: operation`. The functions run one after the other, and so do
    /// the calls of each but for what it fetches beside.
    pub fn calls(&self) -> Vec<String> {
        let calls = self
            .runs
            .iter()
            .flat_map(|run| latency_calls(&run.calls).map(move |call| (run, call)));
        calls
            .map(|(run, call)| format!("{}: {}", run.function, call.operation))
            .collect()
    }
}

/// Gives all of a paid order back, before settlement and after it.
///
/// # Errors
/// A refund does not come to its end.
pub async fn play_both(testbed: &Testbed, shopfront: &Shopfront) -> Result<[PlayedRefund; 2]> {
    let [void, refund] = Way::ALL;
    Ok([
        play(testbed, shopfront, void).await?,
        play(testbed, shopfront, refund).await?,
    ])
}

async fn play(testbed: &Testbed, shopfront: &Shopfront, way: Way) -> Result<PlayedRefund> {
    let (order, charge) = paid(testbed, shopfront).await?;
    if way == Way::Refund {
        testbed.counterparties.settle(&charge).await?;
    }
    discard_runs(testbed);
    let states = give_back(testbed, &order, "refunded").await?;
    let runs = take(testbed).await?;
    let shown = testbed.inspector.shown_status(&order.order_id).await?;
    let shown = shown.context("no status for apps")?;
    ensure!(shown["status"] == "refunded", "apps are told {shown}");
    Ok(PlayedRefund { way, runs, states })
}

/// The runs that a refund which goes well does not have: an answer of the bank is lost, money is given back by hand, and
/// an execution needs a person.
///
/// # Errors
/// One of them does not come to its end.
pub async fn other_flows(testbed: &Testbed, shopfront: &Shopfront) -> Result<Vec<FunctionRun>> {
    shorten_waits(testbed).await?;
    let (order, charge) = paid(testbed, shopfront).await?;
    let token = testbed.inspector.bank_charge(&charge).await?["token"].clone();
    discard_runs(testbed);
    let mut fault = json!({"operation": "void", "kind": "lost_answer", "delayMs": 0});
    if token.is_string() {
        fault["token"] = token;
    }
    testbed.counterparties.plan_fault(&fault).await?;
    give_back(testbed, &order, "refunded").await?;
    let mut runs = take(testbed).await?;

    let (_, charge) = paid(testbed, shopfront).await?;
    discard_runs(testbed);
    testbed.counterparties.void_by_hand(&charge).await?;
    let sent = testbed.counterparties.notify(&charge).await?;
    ensure!(sent["answer"] == 200, "the notification is not taken");
    let name = format!("elsewhere-{charge}");
    let found = machine(testbed).end_of(&name, PATIENCE).await?;
    ensure!(
        found.has_succeeded(),
        "what was given back by hand: {found:?}"
    );
    runs.extend(take(testbed).await?);

    // The bank's charge is not the record's: for a person.
    let (order, charge) = paid(testbed, shopfront).await?;
    spoil(testbed, &charge).await?;
    discard_runs(testbed);
    give_back(testbed, &order, "RefundStuck").await?;
    runs.extend(take(testbed).await?);
    Ok(runs)
}

fn machine(testbed: &Testbed) -> RefundMachine {
    let outputs = &testbed.outputs;
    RefundMachine::at(
        &Aws::at(&outputs.aws_endpoint),
        &outputs.refund_state_machine_arn,
    )
}

/// Pays a new order of a new customer. Returns it with its charge's id.
async fn paid(testbed: &Testbed, shopfront: &Shopfront) -> Result<(Order, String)> {
    let order = payment::new_order(shopfront, &random::id("usr_")).await?;
    let form = payment::pass_three_ds(shopfront, &order, CARD_APPROVED).await?;
    shopper::return_to_shop(&form).await?;
    let charge = form.charge_id()?.to_owned();
    let paid = testbed.executions.wait_for(&charge, PATIENCE).await?;
    ensure!(paid.has_succeeded(), "the payment is {}", paid.status);
    Ok((order, charge))
}

/// Gives all of an order back. Its execution must end with this result, or with this error. Returns the states that it
/// entered.
async fn give_back(testbed: &Testbed, order: &Order, end: &str) -> Result<Vec<String>> {
    let (machine, id) = (machine(testbed), random::id("rf_"));
    let input = json!({"refundId": id, "orderId": order.order_id});
    machine.start(&id, &input).await?;
    let report = machine.end_of(&id, PATIENCE).await?;
    let result = report.output.as_ref().map(|output| &output["result"]);
    let error = report.failure.as_ref().map(|failure| &failure.error);
    let ended = result.is_some_and(|result| result == end) || error.is_some_and(|is| is == end);
    ensure!(
        ended,
        "a refund ended with {result:?} {error:?}, in {:?}",
        report.states().last()
    );
    Ok(report.states().into_iter().map(str::to_owned).collect())
}

async fn take(testbed: &Testbed) -> Result<Vec<FunctionRun>> {
    testbed.lambda.wait_until_idle().await?;
    let mut runs = take_runs(testbed)?;
    // It runs by its schedule, and for no payment.
    runs.retain(|run| run.function != "reconcile");
    Ok(runs)
}

/// Shortens the waits of the refund machine, which change no call.
async fn shorten_waits(testbed: &Testbed) -> Result<()> {
    let aws = Aws::at(&testbed.outputs.aws_endpoint);
    let arn = &testbed.outputs.refund_state_machine_arn;
    let machine = aws.sfn.describe_state_machine().state_machine_arn(arn);
    let machine = machine.send().await.context("cannot read the definition")?;
    let definition: Value = serde_json::from_str(machine.definition())?;
    let update = aws.sfn.update_state_machine().state_machine_arn(arn);
    let update = update.definition(shorten(&definition).to_string());
    update.send().await.context("cannot shorten the waits")?;
    Ok(())
}

/// Makes a record name another reference than its charge has.
async fn spoil(testbed: &Testbed, charge: &str) -> Result<()> {
    let record = testbed.inspector.record_by_charge(charge).await?;
    let record = record.context("no record")?;
    let update = Aws::at(&testbed.outputs.aws_endpoint)
        .dynamodb
        .update_item();
    update
        .table_name(testbed.outputs.table("card-payment-record")?)
        .key("tokenId", items::from_json(&record["tokenId"]))
        .update_expression("SET referenceOrder = :other")
        .expression_attribute_values(":other", items::from_json(&json!("another-one")))
        .send()
        .await
        .map(drop)
        .context("the record cannot be changed")
}
