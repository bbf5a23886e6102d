//! The whole of AWS goes away in the middle of payments, and comes back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::scenario::{Begun, Flow, Stage};
use super::scope::Scopes;
use crate::aws::Aws;
use crate::environment::Environment;
use crate::executions::Executions;

/// How many payments are on their way.
const PAYMENTS: usize = 20;
/// How many executions must be running when the outage comes.
const RUNNING: usize = 4;
/// How long to wait for so many.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between the starts of two payments, so that the outage meets them at different states.
const APART: Duration = Duration::from_millis(80);
/// More executions than there are.
const ALL: usize = 1000;

/// Pays, stops the local AWS in the middle, starts it again, and brings everything to its end as the runbook says.
///
/// # Errors
/// The world is not whole, or the environment does not come back. The environment is lost then.
pub async fn run(environment: Environment) -> Result<Environment> {
    let begun = Instant::now();
    let outputs = environment.outputs().clone();
    let stage = Stage::new(&outputs, &Scopes::default());
    let flows = [
        Flow::NewUser,
        Flow::KnownUser,
        Flow::Verification,
        Flow::Declined,
        Flow::WithoutThreeDs,
    ];
    let mut payments = Vec::new();
    for flow in flows.iter().cycle().take(PAYMENTS) {
        payments.push(stage.begin(*flow).await?);
    }
    let paying = pay_all(&stage, payments);

    let executions = Executions::of(&Aws::at(&outputs.aws_endpoint), &outputs.state_machine_arn);
    let deadline = Instant::now() + PATIENCE;
    let running = || executions.list(Some(ExecutionStatus::Running), ALL);
    while running().await?.len() < RUNNING {
        ensure!(
            Instant::now() < deadline,
            "the payments are too quick: never {RUNNING} executions at once"
        );
        sleep(Duration::from_millis(20)).await;
    }
    println!("{PAYMENTS} payments on their way: the local AWS is stopped");
    let environment = environment.restart_aws().await?;
    let cut = executions.list(Some(ExecutionStatus::Failed), ALL).await?;
    println!("started again: {} executions were cut off", cut.len());
    ensure!(!cut.is_empty(), "no execution was cut off by the outage");

    let payments = paying.await?;
    let mut broken = 0;
    for payment in &payments {
        stage.finish(payment).await?;
        let findings = stage.examine(payment).await?;
        if !findings.is_whole() {
            println!("  NOT WHOLE {findings}");
            broken += 1;
        }
    }
    println!(
        "{} payments, {} whole, in {:.0} s",
        payments.len(),
        payments.len() - broken,
        begun.elapsed().as_secs_f64()
    );
    ensure!(
        broken == 0,
        "{broken} payments are not whole after the outage"
    );
    Ok(environment)
}

/// Has every shopper pay, whatever they get for an answer.
fn pay_all(
    stage: &Stage,
    payments: Vec<Begun>,
) -> impl Future<Output = Result<Vec<Begun>>> + use<> {
    let mut tasks = JoinSet::new();
    for (place, payment) in payments.into_iter().enumerate() {
        let stage = stage.clone();
        tasks.spawn(async move {
            sleep(APART * u32::try_from(place).unwrap_or(u32::MAX)).await;
            // In the outage a shopper sees an error page, and leaves.
            let _ = stage.pay(&payment).await;
            payment
        });
    }
    async move {
        let mut paid = Vec::new();
        while let Some(payment) = tasks.join_next().await {
            paid.push(payment.context("a payment broke")?);
        }
        Ok(paid)
    }
}
