//! `cargo local pay`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use payment3_bank::{CARDS, Dialect, Manner};
use payment3_harness::aws::Aws;
use payment3_harness::executions::{ExecutionReport, Executions, seconds};
use payment3_harness::inspect::Inspector;
use payment3_harness::operator::Operator;
use payment3_harness::outputs::Outputs;
use payment3_harness::random;
use payment3_harness::shop_api::{NewOrder, Order, VERIFICATION};
use payment3_harness::shopper::{self, Next, ReturnForm};
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::path;
use crate::cli::{Pay, Spoil, ThreeDs};

/// How long to wait for the execution.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pays an order, or verifies a card, and prints the result.
///
/// # Errors
/// No environment is running, or a step of the payment is refused unexpectedly.
pub async fn run(arguments: Pay) -> Result<()> {
    let outputs = Outputs::of_running(&Outputs::file()).await?;
    let aws = Aws::at(&outputs.aws_endpoint);
    let inspector = Inspector::new(&aws, &outputs);
    let journal = Journal::new(!arguments.json);

    let order = order(&outputs, &arguments).await?;
    journal.line(&format!(
        "order {} of {}, {} THB",
        order.order_id, order.owner_id, order.grand_total
    ));
    let shopper = Shopper {
        outputs: &outputs,
        inspector: &inspector,
        arguments: &arguments,
        journal: &journal,
    };
    let (charge_id, landing) = match shopper.pay(&order).await? {
        Paid::Refused(answer) => return print_end(&arguments, "refused", &answer),
        Paid::Left => {
            return print_end(
                &arguments,
                "left",
                "the payment waits at the bank, which has not decided",
            );
        }
        Paid::Returned(charge_id, landing) => (charge_id, Some(landing)),
        Paid::Lost(charge_id) => {
            journal.line("the callback is lost: reconciliation will find the payment");
            let operator = Operator::of(&aws, &outputs);
            operator.come_back_to(&charge_id).await?;
            (charge_id, None)
        }
    };
    let executions = Executions::of(&aws, &outputs.state_machine_arn);
    let execution = executions.wait_for(&charge_id, PATIENCE).await?;
    journal.line(&format!(
        "execution {} {}",
        execution.name, execution.status
    ));

    let aftermath = Aftermath::of(&inspector, &order, &charge_id).await?;
    if arguments.json {
        let report = Report {
            order,
            charge_id,
            landing,
            execution,
            aftermath,
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
        return succeeded(&report.execution);
    }
    print(&execution, &aftermath)?;
    succeeded(&execution)
}

/// Prints how a payment without an execution ended.
fn print_end(arguments: &Pay, end: &str, why: &str) -> Result<()> {
    if arguments.json {
        println!("{}", serde_json::json!({"ended": end, "answer": why}));
    } else {
        println!("\n{end}: {why}");
    }
    Ok(())
}

fn succeeded(execution: &ExecutionReport) -> Result<()> {
    if execution.has_succeeded() {
        return Ok(());
    }
    bail!(
        "the execution {} ended {}",
        execution.name,
        execution.status
    )
}

/// The result for `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    order: Order,
    charge_id: String,
    /// The URL where the browser ended up; `None` if its callback was lost.
    landing: Option<String>,
    execution: ExecutionReport,
    aftermath: Aftermath,
}

async fn order(outputs: &Outputs, arguments: &Pay) -> Result<Order> {
    let owner_id = || arguments.user.clone().unwrap_or_else(|| random::id("usr_"));
    match &arguments.order {
        _ if arguments.add_card => Ok(Order::verification(&owner_id())),
        Some(id) => shopper::read_order(outputs, id).await,
        None => {
            let new = NewOrder {
                grand_total: arguments.amount.clone(),
                ..NewOrder::of(owner_id())
            };
            shopper::order(outputs, &new).await
        }
    }
}

/// How far a payment got.
enum Paid {
    /// The API refused the form, with this answer.
    Refused(String),
    /// The shopper left the bank's page.
    Left,
    /// The charge, and the URL where the browser ended up.
    Returned(String, String),
    /// The charge, when the browser never returned.
    Lost(String),
}

/// A shopper who pays as the command line says.
struct Shopper<'a> {
    outputs: &'a Outputs,
    inspector: &'a Inspector,
    arguments: &'a Pay,
    journal: &'a Journal,
}

impl Shopper<'_> {
    /// Checkout, 3-D Secure, return.
    async fn pay(&self, order: &Order) -> Result<Paid> {
        let (card, dialect) = (&self.arguments.card, self.arguments.dialect);
        let token = shopper::card_token_in(self.outputs, card, dialect).await?;
        self.journal.line("card token from the bank");
        if dialect != Dialect::Usual {
            let meaning = dialect.meaning();
            self.journal.line(&format!("the bank's dialect: {meaning}"));
        }
        let form = self.form(order, &token);
        if self.arguments.spoil.is_some() {
            let answer = shopper::post_checkout(self.outputs, &form).await?;
            if answer.status < 400 {
                bail!(
                    "POST /cardpayment accepted a form that it should refuse ({})",
                    answer.status
                );
            }
            return Ok(Paid::Refused(format!("{} {}", answer.status, answer.body)));
        }
        let page = match shopper::submit_checkout(self.outputs, &form).await? {
            Next::ThreeDs(page) => page,
            Next::Shop(landing) => {
                self.journal
                    .line(&format!("POST /cardpayment → {landing} (no 3DS)"));
                let charge_id = charge_of(self.inspector, &token).await?;
                return Ok(Paid::Returned(charge_id, landing));
            }
        };
        self.journal.line(&format!("POST /cardpayment → {page}"));
        if self.arguments.three_ds == ThreeDs::Leave {
            shopper::leave(&page).await?;
            return Ok(Paid::Left);
        }
        let mut form = shopper::authenticate_by(&page, self.arguments.three_ds.action()).await?;
        self.journal.line(&format!(
            "3DS done, the bank's page says status={}",
            form.field("status")?
        ));
        if let Some(claim) = self.arguments.status {
            form = form.with("status", &claim.to_string());
        }
        self.come_back(&form).await
    }

    fn form(&self, order: &Order, token: &str) -> BTreeMap<String, String> {
        let mut form = shopper::checkout_form(self.outputs, order, token);
        if self.arguments.no_save_card {
            form.insert("saveCard".into(), "false".into());
        }
        match self.arguments.spoil {
            None => None,
            Some(Spoil::Total) => form.insert("grandTotal".into(), "0.01".into()),
            Some(Spoil::User) => form.insert("userId".into(), random::id("usr_")),
            Some(Spoil::Merchant) => form.insert("mid".into(), "000000000000000".into()),
        };
        form
    }

    /// The return of the browser: once, several times, late, or never.
    async fn come_back(&self, form: &ReturnForm) -> Result<Paid> {
        let charge_id = form.charge_id()?.to_owned();
        let is_lost = CARDS
            .iter()
            .any(|card| card.number == self.arguments.card && card.manner == Manner::CallbackLost);
        if is_lost || self.arguments.callbacks == 0 {
            return Ok(Paid::Lost(charge_id));
        }
        if self.arguments.late > 0 {
            self.journal
                .line(&format!("the browser is late by {} s", self.arguments.late));
            sleep(Duration::from_secs(self.arguments.late)).await;
        }
        let returns: Vec<_> = (0..self.arguments.callbacks)
            .map(|_| {
                let form = form.clone();
                tokio::spawn(async move { shopper::return_to_shop(&form).await })
            })
            .collect();
        let mut landing = None;
        for answer in returns {
            let answer = answer.await.context("a return panicked")??;
            let location = answer.location.with_context(|| {
                format!(
                    "POST /callback answered {} and no redirect: {}",
                    answer.status, answer.body
                )
            })?;
            self.journal.line(&format!(
                "POST /callback status={} → {} {location}",
                form.field("status")?,
                answer.status
            ));
            landing = Some(location);
        }
        let landing = landing.context("the browser returned at least once")?;
        Ok(Paid::Returned(charge_id, landing))
    }
}

async fn charge_of(inspector: &Inspector, token: &str) -> Result<String> {
    let record = inspector
        .record_by_token(token)
        .await?
        .ok_or_else(|| anyhow!("the checkout left no payment record"))?;
    let charge = record["chargeId"]
        .as_str()
        .ok_or_else(|| anyhow!("the payment record has no charge id"))?;
    Ok(charge.to_owned())
}

/// The effects of the payment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Aftermath {
    order_paid_by: Option<String>,
    customer_id: Option<String>,
    cards: Option<usize>,
    events: Vec<String>,
}

impl Aftermath {
    async fn of(inspector: &Inspector, order: &Order, charge_id: &str) -> Result<Self> {
        let stored = inspector.order(&order.order_id).await?.unwrap_or_default();
        let payment = &stored["data"]["payment"];
        let paid = payment["isPaid"] == Value::Bool(true);
        let mapping = inspector
            .mapping(&order.owner_id)
            .await?
            .unwrap_or_default();
        let customer_id = mapping["kbank_id"].as_str().map(str::to_owned);
        let cards = match &customer_id {
            Some(id) => inspector.bank_customer(id).await?["cards"]
                .as_array()
                .map(Vec::len),
            None => None,
        };
        let events = inspector.shop_events_of_charge(charge_id).await?;
        Ok(Self {
            order_paid_by: paid
                .then(|| payment["paymentId"].as_str().unwrap_or_default().to_owned()),
            customer_id,
            cards,
            events: events
                .iter()
                .map(|event| {
                    let verdict = if event.verified {
                        "verified"
                    } else {
                        "not verified"
                    };
                    format!("{} ({verdict}, answered {})", event.kind(), event.answered)
                })
                .collect(),
        })
    }
}

fn verified_a_card(execution: &ExecutionReport) -> bool {
    execution
        .output
        .as_ref()
        .is_some_and(|output| output["orderId"] == VERIFICATION)
}

fn print(execution: &ExecutionReport, aftermath: &Aftermath) -> Result<()> {
    let duration = execution
        .stopped
        .map(|stopped| seconds(execution.started, stopped))
        .unwrap_or_default();
    println!("\nThe execution's path ({duration}):");
    for line in path::lines(execution) {
        println!("  {line}");
    }
    if let Some(failure) = &execution.failure {
        println!("failed with {}: {}", failure.error, failure.message());
    }
    if let Some(output) = &execution.output {
        println!("\nIts output:\n{}", serde_json::to_string_pretty(output)?);
    }
    println!("\nAfterwards:");
    match &aftermath.order_paid_by {
        Some(charge) => println!("  order          paid by {charge}"),
        None if verified_a_card(execution) => {
            println!("  order          none: a card was verified")
        }
        None => println!("  order          not paid"),
    }
    match (&aftermath.customer_id, aftermath.cards) {
        (Some(id), Some(cards)) => println!("  bank customer  {id} with {cards} saved card(s)"),
        _ => println!("  bank customer  none"),
    }
    if aftermath.events.is_empty() {
        println!("  shop           was told nothing");
    }
    for event in &aftermath.events {
        println!("  shop           was told {event}");
    }
    Ok(())
}

/// Prints the steps with their times, unless the output is JSON.
struct Journal {
    start: Instant,
    shown: bool,
}

impl Journal {
    fn new(shown: bool) -> Self {
        Self {
            start: Instant::now(),
            shown,
        }
    }

    fn line(&self, text: &str) {
        if self.shown {
            println!("{:7.3} s  {text}", self.start.elapsed().as_secs_f64());
        }
    }
}
