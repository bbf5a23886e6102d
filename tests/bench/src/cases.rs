//! Every function with an event that it had in a real payment.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use payment3_harness::aws::Aws;
use payment3_harness::http;
use payment3_harness::operator::Operator;
use payment3_harness::random;
use payment3_harness::shop_api::Order;
use payment3_harness::shopper::CARD_APPROVED;

use crate::figures::Case;
use crate::payment::{self, Played, Shopfront, System};
use crate::refund;
use crate::runs::{FunctionRun, discard_runs, take_runs};
use crate::testbed::Testbed;

/// A case for each function that ran in these payments; for ours, also for those that run in other flows.
///
/// # Errors
/// A payment does not come to its end.
pub async fn of(testbed: &Testbed, shopfront: &Shopfront, played: &[Played]) -> Result<Vec<Case>> {
    let others = match shopfront.system {
        System::Saga => {
            let mut runs = other_flows(testbed, shopfront).await?;
            for played in refund::play_both(testbed, shopfront).await? {
                runs.extend(played.runs);
            }
            runs
        }
        System::Baseline => Vec::new(),
    };
    let mut first: BTreeMap<&str, &FunctionRun> = BTreeMap::new();
    for run in played.iter().flat_map(|played| &played.runs).chain(&others) {
        first.entry(&run.function).or_insert(run);
    }
    let case = |run: &FunctionRun| {
        let program = testbed.lambda.program(&run.invocation.function)?;
        Ok(Case::of(run, program))
    };
    first.into_values().map(case).collect()
}

/// The runs that a payment which goes well does not have: an app asks for the status, reconciliation finds a payment
/// without a callback, a payment is reversed because its order is gone, and refunds that do not go well.
///
/// # Errors
/// One of them does not come to its end.
pub async fn other_flows(testbed: &Testbed, shopfront: &Shopfront) -> Result<Vec<FunctionRun>> {
    let owner = random::id("usr_");
    discard_runs(testbed);

    let (order, charge) = leave_at_the_bank(shopfront, &owner).await?;
    ask_for_status(shopfront, &order).await?;
    reconcile(testbed, &charge, "PayOrder").await?;

    let (order, charge) = leave_at_the_bank(shopfront, &owner).await?;
    testbed.counterparties.delete_order(&order.order_id).await?;
    reconcile(testbed, &charge, "ReverseCharge").await?;

    testbed.lambda.wait_until_idle().await?;
    let mut runs = take_runs(testbed)?;
    runs.extend(refund::other_flows(testbed, shopfront).await?);
    Ok(runs)
}

/// Passes 3-D Secure, and does not come back to the shop. Returns the order and the charge's id.
async fn leave_at_the_bank(shopfront: &Shopfront, owner: &str) -> Result<(Order, String)> {
    let order = payment::new_order(shopfront, owner).await?;
    let form = payment::pass_three_ds(shopfront, &order, CARD_APPROVED).await?;
    Ok((order, form.charge_id()?.to_owned()))
}

async fn ask_for_status(shopfront: &Shopfront, order: &Order) -> Result<()> {
    let api = &shopfront.outputs().api_url;
    let url = format!("{api}/checkstatus/{}", order.order_id);
    let answer = http::client().get(url).send().await?;
    ensure!(answer.status() == 200, "the status is not answered");
    Ok(())
}

/// Lets reconciliation find a payment, whose execution then enters `state` and succeeds.
async fn reconcile(testbed: &Testbed, charge: &str, state: &str) -> Result<()> {
    let outputs = &testbed.outputs;
    let operator = Operator::of(&Aws::at(&outputs.aws_endpoint), outputs);
    operator.come_back_to(charge).await?;
    let executions = &testbed.executions;
    let report = executions.wait_for(charge, payment::PATIENCE).await?;
    ensure!(
        report.has_succeeded() && report.states().contains(&state),
        "a reconciled payment did not get to {state}"
    );
    Ok(())
}
