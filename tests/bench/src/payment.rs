//! Whole payments, played as a shopper does and taken apart into what each step cost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use payment3_harness::call::Service;
use payment3_harness::inspect::Inspector;
use payment3_harness::outputs::Outputs;
use payment3_harness::peer_process::short_name;
use payment3_harness::random;
use payment3_harness::shop_api::{NewOrder, Order};
use payment3_harness::shopper::{self, CARD_APPROVED, Next, OTHER_CARD_APPROVED};
use serde_json::Value;

use crate::lambda::Invocation;
use crate::recording_proxy::{CONNECT, Call};
use crate::testbed::Testbed;

/// How long an execution may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Baht, as forms have them.
const TOTAL: &str = "1500.00";

/// Whose functions are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Ours.
    Saga,
    /// The five functions that invoke each other.
    Baseline,
}

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// Flow 1: somebody's first payment.
    NewUser,
    /// Flow 2: another card of somebody who is known at the bank.
    KnownUser,
}

impl Flow {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewUser => "Flow 1",
            Self::KnownUser => "Flow 2",
        }
    }
}

/// A function's run in a payment, with what it called.
#[derive(Debug, Clone)]
pub struct FunctionRun {
    /// The function's short name.
    pub function: String,
    /// What the invocations says.
    pub invocation: Invocation,
    /// What it called, in order.
    pub calls: Vec<Call>,
}

#[cfg(test)]
impl FunctionRun {
    /// A run of a function; its process was started for it and took this many milliseconds, half of them on a processor, or was
    /// there before.
    pub(crate) fn example(function: &str, start: Option<u64>, calls: Vec<Call>) -> Self {
        let begun = calls
            .first()
            .map_or_else(std::time::Instant::now, |call| call.begun);
        let start = start.map(Duration::from_millis);
        let given = begun + start.unwrap_or_default();
        let invocation = Invocation {
            function: format!("payment3-{function}-bench"),
            pid: 1,
            event: axum::body::Bytes::new(),
            init: start.map(|wall| crate::sandbox::Cost {
                wall,
                cpu: wall / 2,
            }),
            cost: crate::sandbox::Cost::default(),
            begun,
            given,
            ended: given,
            memory: crate::memory::Memory {
                peak_kib: 0,
                now_kib: 0,
            },
        };
        Self {
            function: function.to_owned(),
            invocation,
            calls,
        }
    }
}

/// A payment that was played to its end.
#[derive(Debug, Clone)]
pub struct Played {
    /// Whose functions.
    pub system: System,
    /// What was played.
    pub flow: Flow,
    /// Every run of a function, in the order in which they began.
    pub runs: Vec<FunctionRun>,
    /// The states that its execution entered; none where there is no execution.
    pub states: Vec<String>,
}

impl Played {
    /// How many items were written, those that the state machine writes itself among them.
    pub fn items_written(&self) -> usize {
        let calls = self.runs.iter().flat_map(|run| &run.calls);
        let by_functions: usize = calls.map(|call| call.items_written).sum();
        let updates = self.states.iter().filter(|state| *state == "CloseRecord");
        by_functions + updates.count()
    }

    /// How many calls the functions made to some of the services, beside opening connections.
    pub fn calls_to(&self, which: impl Fn(Service) -> bool) -> usize {
        let calls = self.runs.iter().flat_map(|run| &run.calls);
        calls
            .filter(|call| which(call.service) && call.operation != CONNECT)
            .count()
    }

    /// The runs of one function.
    pub fn of<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a FunctionRun> {
        self.runs.iter().filter(move |run| run.function == function)
    }
}

/// Where a system's checkout and callback are.
#[derive(Debug, Clone)]
pub struct Shopfront {
    /// Whose.
    pub system: System,
    /// With the API's address in it.
    outputs: Outputs,
}

impl Shopfront {
    /// A system whose API is at `api_url`.
    pub fn new(system: System, outputs: &Outputs, api_url: &str) -> Self {
        Self {
            system,
            outputs: Outputs {
                api_url: api_url.to_owned(),
                ..outputs.clone()
            },
        }
    }

    /// Addresses and names, with this system's API.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }
}

/// Plays Flow 1, and Flow 2 for the same customer; both are at their end afterwards, as the tables, the bank and the shop
/// tell.
///
/// # Errors
/// A payment does not come to its end.
pub async fn play_both(testbed: &Testbed, shopfront: &Shopfront) -> Result<[Played; 2]> {
    let owner = random::id("usr_");
    let first = play(testbed, shopfront, Flow::NewUser, &owner, CARD_APPROVED).await?;
    let second = play(
        testbed,
        shopfront,
        Flow::KnownUser,
        &owner,
        OTHER_CARD_APPROVED,
    )
    .await?;
    Ok([first, second])
}

async fn play(
    testbed: &Testbed,
    shopfront: &Shopfront,
    flow: Flow,
    owner: &str,
    card: &str,
) -> Result<Played> {
    let order = order_of(&shopfront.outputs, owner).await?;
    discard_runs(testbed);
    let charge = pay(&shopfront.outputs, &order, card).await?;
    let mut states = Vec::new();
    if shopfront.system == System::Saga {
        let report = testbed.executions.wait_for(&charge, PATIENCE).await?;
        ensure!(
            report.has_succeeded(),
            "the execution {charge} ended as {} in {:?}",
            report.status,
            report.states().last()
        );
        states.extend(report.states().into_iter().map(str::to_owned));
    }
    testbed.lambda.wait_until_idle().await?;
    let mut runs = take_runs(testbed)?;
    // The schedule's, and no part of the payment.
    runs.retain(|run| run.function != "reconcile");
    let cards = match flow {
        Flow::NewUser => 1,
        Flow::KnownUser => 2,
    };
    ensure_paid(&testbed.inspector, &order, &charge, cards)
        .await
        .with_context(|| format!("{} of {:?}, charge {charge}", flow.name(), shopfront.system))?;
    Ok(Played {
        system: shopfront.system,
        flow,
        runs,
        states,
    })
}

/// Has the shop make an order.
///
/// # Errors
/// The shop does not.
pub async fn order_of(outputs: &Outputs, owner: &str) -> Result<Order> {
    let new = NewOrder {
        owner_id: owner.to_owned(),
        grand_total: TOTAL.to_owned(),
        order_id: None,
        email: None,
        recipient: None,
    };
    shopper::order(outputs, &new).await
}

/// Pays an order with a card, as far as the shopper sees it; the charge.
///
/// # Errors
/// The shopper does not get to the shop's last page.
pub async fn pay(outputs: &Outputs, order: &Order, card: &str) -> Result<String> {
    let checkout = shopper::checkout(outputs, order, card).await?;
    let Next::ThreeDs(page) = checkout.next else {
        anyhow::bail!("checkout did not lead to the bank's page");
    };
    let mut form = shopper::authenticate(&page).await?;
    // The bank knows one address; each system has its own.
    form.action = format!("{}/callback", outputs.api_url);
    let answer = shopper::return_to_shop(&form).await?;
    ensure!(
        answer.status == 303,
        "the callback answered {}: {}",
        answer.status,
        answer.body
    );
    form.charge_id().map(str::to_owned)
}

/// Leaves out what was done until now.
pub fn discard_runs(testbed: &Testbed) {
    testbed.lambda.take_invocations();
    testbed.proxy.take_calls();
}

/// Every run since the last time, with its calls. A process has one event at a time, so process and time tell whose call it
/// was.
///
/// # Errors
/// A call was made while no function ran.
pub fn take_runs(testbed: &Testbed) -> Result<Vec<FunctionRun>> {
    let (mut invocations, mut calls) = (
        testbed.lambda.take_invocations(),
        testbed.proxy.take_calls(),
    );
    invocations.sort_by_key(|invocation| invocation.begun);
    calls.sort_by_key(|call| call.begun);
    let all = calls.len();
    let runs: Vec<FunctionRun> = invocations
        .into_iter()
        .map(|invocation| {
            let during = |call: &&Call| {
                call.pid == invocation.pid
                    && call.begun >= invocation.begun
                    && call.begun <= invocation.ended
            };
            FunctionRun {
                function: short_name(&invocation.function).to_owned(),
                calls: calls.iter().filter(during).cloned().collect(),
                invocation,
            }
        })
        .collect();
    let told: usize = runs.iter().map(|run| run.calls.len()).sum();
    ensure!(
        told == all,
        "{} calls belong to no run of a function",
        all - told
    );
    Ok(runs)
}

/// The end of a payment, in whichever system: the order is paid by this charge, apps are told so, the shop has heard of it
/// once, and the customer at the bank has the card. Told by the tables, the bank and the shop.
///
/// # Errors
/// What is not so.
pub async fn ensure_paid(
    inspector: &Inspector,
    order: &Order,
    charge_id: &str,
    cards: usize,
) -> Result<()> {
    let charge = inspector.bank_charge(charge_id).await?;
    ensure!(
        charge["transaction_state"] == "Authorized",
        "the bank says {}",
        charge["transaction_state"]
    );
    let item = inspector
        .order(&order.order_id)
        .await?
        .context("no order")?;
    let payment = &item["data"]["payment"];
    let wanted = [
        ("isPaid", Value::Bool(true)),
        ("paymentId", charge_id.into()),
        ("status", "paid".into()),
    ];
    for (field, value) in wanted {
        ensure!(
            payment[field] == value,
            "the order's payment has {field} = {}",
            payment[field]
        );
    }
    for field in ["grandTotal", "totalPaid"] {
        ensure!(
            same_amount(&payment[field], TOTAL),
            "the order's payment has {field} = {}",
            payment[field]
        );
    }
    let log = payment["paymentLog"].as_array().map_or(0, Vec::len);
    ensure!(log == 1, "the order's payment log has {log} entries");
    let status = inspector.check_status(&order.order_id).await?;
    let status = status.context("no status for apps")?;
    ensure!(
        status["status"] == "paid" && status["chargeId"] == charge_id,
        "apps are told {}",
        status["status"]
    );
    let events = inspector.shop_events_of_charge(charge_id).await?;
    ensure!(
        matches!(&events[..], [event] if event.verified && event.kind() == "payment.succeeded"),
        "the shop has heard of it {} times",
        events.len()
    );
    let mapping = inspector
        .mapping(&order.owner_id)
        .await?
        .context("no mapping")?;
    let customer = mapping["kbank_id"].as_str().context("an empty mapping")?;
    let customer = inspector.bank_customer(customer).await?;
    let held = customer["cards"].as_array().map_or(0, Vec::len);
    ensure!(held == cards, "the customer has {held} cards, not {cards}");
    Ok(())
}

/// Amounts are decimal strings or numbers in the order table.
fn same_amount(value: &Value, wanted: &str) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = |text: &str| match text.split_once('.') {
        Some((whole, part)) if part.trim_end_matches('0').is_empty() => whole.to_owned(),
        _ => text.to_owned(),
    };
    plain(&text) == plain(wanted)
}

/// A step's calls that count for latency: those for the bank's key are made once in five minutes, and connections are opened
/// before the first event.
pub fn latency_calls(calls: &[Call]) -> impl Iterator<Item = &Call> {
    calls
        .iter()
        .filter(|call| call.service != Service::SecretsManager && call.operation != CONNECT)
}
