//! `cargo local pay`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::Value;

use super::path;
use crate::aws::Aws;
use crate::cli::Pay;
use crate::executions::{ExecutionReport, Executions, seconds};
use crate::inspect::Inspector;
use crate::outputs::Outputs;
use crate::random;
use crate::shop::{NewOrder, Order};
use crate::shopper::{self, Next};

/// How long to wait for the execution.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pays an order and prints what came of it.
///
/// # Errors
/// Nothing runs here, or a step of the payment is refused.
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
    let (charge_id, landing) = pay(&outputs, &inspector, &arguments, &order, &journal).await?;
    let executions = Executions::of(&aws, &outputs.state_machine_arn);
    let execution = executions.wait_for(&charge_id, PATIENCE).await?;
    journal.line(&format!(
        "execution {} {}",
        execution.name, execution.status
    ));

    let aftermath = Aftermath::of(&inspector, &order).await?;
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

/// Everything, for `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    order: Order,
    charge_id: String,
    landing: String,
    execution: ExecutionReport,
    aftermath: Aftermath,
}

async fn order(outputs: &Outputs, arguments: &Pay) -> Result<Order> {
    match &arguments.order {
        Some(id) => shopper::read_order(outputs, id).await,
        None => {
            let new = NewOrder {
                owner_id: arguments.user.clone().unwrap_or_else(|| random::id("usr_")),
                grand_total: arguments.amount.clone(),
                order_id: None,
                email: None,
                recipient: None,
            };
            shopper::order(outputs, &new).await
        }
    }
}

/// Checkout, 3DS, return: the charge, and where the browser ended up.
async fn pay(
    outputs: &Outputs,
    inspector: &Inspector,
    arguments: &Pay,
    order: &Order,
    journal: &Journal,
) -> Result<(String, String)> {
    let token = shopper::card_token(outputs, &arguments.card).await?;
    journal.line("card token from the bank");
    let checkout = shopper::checkout_with(outputs, order, token).await?;
    let page = match checkout.next {
        Next::ThreeDs(page) => page,
        Next::Shop(landing) => {
            journal.line(&format!("POST /cardpayment → {landing} (no 3DS)"));
            let charge_id = charge_of(inspector, &checkout.token).await?;
            return Ok((charge_id, landing));
        }
    };
    journal.line(&format!("POST /cardpayment → {page}"));
    let mut form = shopper::authenticate(&page).await?;
    journal.line(&format!(
        "3DS done, the bank's page says status={}",
        form.field("status")?
    ));
    if let Some(claim) = arguments.status {
        form = form.with("status", &claim.to_string());
    }
    let answer = shopper::return_to_shop(&form).await?;
    let landing = answer.location.with_context(|| {
        format!(
            "POST /callback answered {} and no redirect: {}",
            answer.status, answer.body
        )
    })?;
    journal.line(&format!(
        "POST /callback status={} → {} {landing}",
        form.field("status")?,
        answer.status
    ));
    Ok((form.charge_id()?.to_owned(), landing))
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

/// What the payment left behind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Aftermath {
    order_paid_by: Option<String>,
    customer_id: Option<String>,
    cards: Option<usize>,
    events: Vec<String>,
}

impl Aftermath {
    async fn of(inspector: &Inspector, order: &Order) -> Result<Self> {
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
        let events = inspector.shop_events(&order.order_id).await?;
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
        println!(
            "failed with {}: {}",
            failure.error,
            path::explained(&failure.cause)
        );
    }
    if let Some(output) = &execution.output {
        println!("\nIts output:\n{}", serde_json::to_string_pretty(output)?);
    }
    println!("\nAfterwards:");
    match &aftermath.order_paid_by {
        Some(charge) => println!("  order          paid by {charge}"),
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

/// The steps with their times, if anybody is to see them.
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
