//! Plays whole payments, as a shopper does, and keeps what each function did for them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use payment3_harness::call::Service;
use payment3_harness::outputs::Outputs;
use payment3_harness::random;
use payment3_harness::shop_api::{NewOrder, Order};
use payment3_harness::shopper::{self, CARD_APPROVED, OTHER_CARD_APPROVED, ReturnForm};

use crate::paid::ensure_paid;
use crate::recording_proxy::CONNECT;
use crate::runs::{FunctionRun, discard_runs, take_runs};
use crate::testbed::Testbed;

/// How long an execution may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Flow 1: the first payment of a customer.
    NewUser,
    /// Flow 2: a payment with another card, of a customer whom the bank knows.
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

/// A payment that was played to its end.
#[derive(Debug, Clone)]
pub struct Played {
    /// Whose functions.
    pub system: System,
    /// What was played.
    pub flow: Flow,
    /// Every run of a function, in the order of their starts.
    pub runs: Vec<FunctionRun>,
    /// The states that its execution entered. The baseline has no execution.
    pub states: Vec<String>,
}

impl Played {
    /// How many items were written, by functions and by the state machine itself.
    pub fn items_written(&self) -> usize {
        let calls = self.runs.iter().flat_map(|run| &run.calls);
        let by_functions: usize = calls.map(|call| call.items_written).sum();
        let updates = self.states.iter().filter(|state| *state == "CloseRecord");
        by_functions + updates.count()
    }

    /// How many calls the functions made to some of the services. Opening a connection is none.
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

/// Where a shopper finds a system's checkout and callback.
#[derive(Debug, Clone)]
pub struct Shopfront {
    /// Whose they are.
    pub system: System,
    /// With the address of this system's API.
    outputs: Outputs,
}

impl Shopfront {
    /// Ours.
    pub fn saga(testbed: &Testbed) -> Self {
        Self::new(System::Saga, &testbed.outputs, &testbed.outputs.api_url)
    }

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

/// Plays Flow 1, and Flow 2 for the same customer. Both orders are paid afterwards, as the tables, the bank and the
/// shop tell.
///
/// # Errors
/// A payment does not come to its end.
pub async fn play_both(testbed: &Testbed, shopfront: &Shopfront) -> Result<[Played; 2]> {
    let owner = random::id("usr_");
    let first = play(testbed, shopfront, Flow::NewUser, &owner).await?;
    let second = play(testbed, shopfront, Flow::KnownUser, &owner).await?;
    Ok([first, second])
}

async fn play(testbed: &Testbed, shopfront: &Shopfront, flow: Flow, owner: &str) -> Result<Played> {
    let (card, saved_cards) = match flow {
        Flow::NewUser => (CARD_APPROVED, 1),
        Flow::KnownUser => (OTHER_CARD_APPROVED, 2),
    };
    let order = new_order(shopfront, owner).await?;
    discard_runs(testbed);
    let charge = pay(shopfront, &order, card).await?;
    let states = match shopfront.system {
        System::Saga => states_of(testbed, &charge).await?,
        System::Baseline => Vec::new(),
    };
    testbed.lambda.wait_until_idle().await?;
    let mut runs = take_runs(testbed)?;
    // It runs by its schedule, and for no payment.
    runs.retain(|run| run.function != "reconcile");
    ensure_paid(&testbed.inspector, &order, &charge, saved_cards)
        .await
        .with_context(|| format!("{} of {:?}, charge {charge}", flow.name(), shopfront.system))?;
    Ok(Played {
        system: shopfront.system,
        flow,
        runs,
        states,
    })
}

/// The states that the execution of a charge entered, once it has succeeded.
async fn states_of(testbed: &Testbed, charge: &str) -> Result<Vec<String>> {
    let report = testbed.executions.wait_for(charge, PATIENCE).await?;
    ensure!(
        report.has_succeeded(),
        "the execution {charge} ended as {} in {:?}",
        report.status,
        report.states().last()
    );
    Ok(report.states().into_iter().map(str::to_owned).collect())
}

/// Makes an order in the shop.
///
/// # Errors
/// The shop refuses.
pub async fn new_order(shopfront: &Shopfront, owner: &str) -> Result<Order> {
    shopper::order(&shopfront.outputs, &NewOrder::of(owner)).await
}

/// Pays an order with a card, until the browser is back in the shop. Returns the charge's id.
///
/// # Errors
/// The shopper does not get to the shop's last page.
async fn pay(shopfront: &Shopfront, order: &Order, card: &str) -> Result<String> {
    let form = pass_three_ds(shopfront, order, card).await?;
    let answer = shopper::return_to_shop(&form).await?;
    ensure!(
        answer.status == 303,
        "the callback answered {}: {}",
        answer.status,
        answer.body
    );
    form.charge_id().map(str::to_owned)
}

/// Pays an order with a card until the bank sends the browser back. Returns the form that the browser would post then.
///
/// # Errors
/// The checkout does not lead to the bank, or the bank refuses.
pub async fn pass_three_ds(shopfront: &Shopfront, order: &Order, card: &str) -> Result<ReturnForm> {
    let outputs = &shopfront.outputs;
    let token = shopper::card_token(outputs, card).await?;
    let mut form = shopper::pass_three_ds(outputs, order, &token).await?;
    // The bank knows one address. Each system has its own.
    form.action = format!("{}/callback", outputs.api_url);
    Ok(form)
}
