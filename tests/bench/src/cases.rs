//! Every function with an event that it really had: taken from payments that are played with new processes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use payment3_harness::aws::Aws;
use payment3_harness::operator::Operator;
use payment3_harness::random;
use payment3_harness::shopper::{self, CARD_APPROVED, Next};

use crate::figures::Case;
use crate::payment::{self, FunctionRun, Played, Shopfront, System};
use crate::testbed::Testbed;

/// A case for each function that ran in these payments, and of ours for those that run beside them.
///
/// # Errors
/// A payment does not come to its end.
pub async fn of(testbed: &Testbed, shopfront: &Shopfront, played: &[Played]) -> Result<Vec<Case>> {
    let mut runs: BTreeMap<String, FunctionRun> = BTreeMap::new();
    let others = match shopfront.system {
        System::Saga => other_flows(testbed, shopfront).await?,
        System::Baseline => Vec::new(),
    };
    for run in played.iter().flat_map(|played| &played.runs).chain(&others) {
        runs.entry(run.function.clone())
            .or_insert_with(|| run.clone());
    }
    runs.values()
        .map(|run| {
            let program = testbed.lambda.program(&run.invocation.function)?;
            Ok(Case::of(run, program))
        })
        .collect()
}

/// What runs beside payments that go well: the app's polling, reconciliation of a payment that nobody called back for, and
/// the reversal of one whose order is gone.
///
/// # Errors
/// One of them does not come to its end.
pub async fn other_flows(testbed: &Testbed, shopfront: &Shopfront) -> Result<Vec<FunctionRun>> {
    let outputs = shopfront.outputs();
    let owner = random::id("usr_");
    payment::discard_runs(testbed);

    let order = payment::order_of(outputs, &owner).await?;
    let charge = check_out(shopfront, &order).await?;
    let url = format!("{}/checkstatus/{}", outputs.api_url, order.order_id);
    let answer = payment3_harness::http::client().get(url).send().await?;
    ensure!(answer.status() == 200, "the status is not told");
    let operator = Operator::of(&Aws::at(&outputs.aws_endpoint), outputs);
    operator.come_back_to(&charge).await?;
    let report = testbed
        .executions
        .wait_for(&charge, payment::PATIENCE)
        .await?;
    ensure!(report.has_succeeded(), "a reconciled payment is not paid");

    let order = payment::order_of(outputs, &owner).await?;
    let charge = check_out(shopfront, &order).await?;
    testbed.counterparties.delete_order(&order.order_id).await?;
    operator.come_back_to(&charge).await?;
    let report = testbed
        .executions
        .wait_for(&charge, payment::PATIENCE)
        .await?;
    ensure!(
        report.states().contains(&"ReverseCharge") && report.has_succeeded(),
        "a payment without an order was not reversed"
    );
    testbed.lambda.wait_until_idle().await?;
    payment::take_runs(testbed)
}

/// Pays as far as the bank's page, and does not come back.
async fn check_out(
    shopfront: &Shopfront,
    order: &payment3_harness::shop_api::Order,
) -> Result<String> {
    let checkout = shopper::checkout(shopfront.outputs(), order, CARD_APPROVED).await?;
    let Next::ThreeDs(page) = checkout.next else {
        anyhow::bail!("checkout did not lead to the bank's page");
    };
    let form = shopper::authenticate(&page).await?;
    form.charge_id()
        .map(str::to_owned)
        .context("the bank's form")
}
