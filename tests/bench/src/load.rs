//! Many shoppers at once on the local AWS: no payment may be lost, and no function may grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_harness::fault_plan::FaultPlans;
use payment3_harness::flow::Flow;
use payment3_harness::player::{Begun, Player};
use payment3_harness::workspace;
use payment3_stack::environment::{Environment, Options};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::process_watch::ProcessWatch;
use crate::programs::Programs;
use crate::soak;
use crate::testbed::{logs, options};

/// How many payments are made.
const PAYMENTS: usize = 2000;
/// How many shoppers pay at once.
const AT_ONCE: usize = 32;
/// What they do, in turn. Most pay.
const FLOWS: [Flow; 10] = [
    Flow::NewUser,
    Flow::NewUser,
    Flow::NewUser,
    Flow::WithoutThreeDs,
    Flow::NewUser,
    Flow::NewUser,
    Flow::Declined,
    Flow::NewUser,
    Flow::NewUser,
    Flow::OrderGone,
];

/// Many payments at once, and then many callbacks through one process.
///
/// # Errors
/// A payment is lost, a process grows, or something fails.
pub async fn run(interrupt: &mut Interrupt) -> Result<()> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    burst(interrupt).await?;
    soak::run(&programs, interrupt).await
}

async fn burst(interrupt: &mut Interrupt) -> Result<()> {
    let options = Options {
        directory: workspace::local_dir().join("bench-load"),
        branch: "load".to_owned(),
        ..options()
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs = environment.outputs().clone();
    let player = Player::new(&outputs, &FaultPlans::default());
    let work = pay_and_check(&player, &outputs.branch);
    let result = tokio::select! {
        result = interrupt.or(work) => result,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    result.and(stopped)
}

async fn pay_and_check(player: &Player, branch: &str) -> Result<()> {
    println!("\n### {PAYMENTS} payments, {AT_ONCE} at a time\n");
    let watch = Arc::new(ProcessWatch::start(branch, PAYMENTS));
    let payments = pay_all(player, &watch).await?;
    finish_all(player, &payments).await?;
    // After the last payment.
    let memory = watch.finish().await?;
    ensure_none_is_lost(player, &payments).await?;
    memory.ensure_not_grown()
}

async fn pay_all(player: &Player, watch: &Arc<ProcessWatch>) -> Result<Vec<(Flow, Begun)>> {
    let begun = Instant::now();
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut shoppers = JoinSet::new();
    for flow in FLOWS.iter().copied().cycle().take(PAYMENTS) {
        let (player, turn, watch) = (player.clone(), turn.clone(), watch.clone());
        shoppers.spawn(async move {
            let _turn = turn.acquire_owned().await.context("nobody closes it")?;
            let payment = player.begin(flow).await?;
            player.pay(&payment).await?;
            watch.payment_is_done();
            anyhow::Ok((flow, payment))
        });
    }
    let mut payments = Vec::new();
    while let Some(payment) = shoppers.join_next().await {
        payments.push(payment.context("a shopper panicked")??);
    }
    let took = begun.elapsed();
    println!(
        "\nThe shoppers were done after {:.0} s: {:.1} payments a second.",
        took.as_secs_f64(),
        rate(payments.len(), took)
    );
    Ok(payments)
}

/// Brings open payments to their end, as executions, the schedule and the person on call do.
async fn finish_all(player: &Player, payments: &[(Flow, Begun)]) -> Result<()> {
    let mut open = Vec::new();
    for (_, payment) in payments {
        if !player.is_over(payment).await? {
            open.push(payment);
        }
    }
    for payment in &open {
        player.finish(payment).await?;
    }
    println!(
        "{} payments were open then, and came to their end by their executions, by reconciliation or by hand.",
        open.len()
    );
    Ok(())
}

/// Compares the end of each payment with its flow, as the tables, the bank and the shop tell it.
async fn ensure_none_is_lost(player: &Player, payments: &[(Flow, Begun)]) -> Result<()> {
    let mut ends = BTreeMap::new();
    for (flow, payment) in payments {
        let end = end_of(player, payment).await?;
        *ends.entry((*flow, end)).or_insert(0) += 1;
    }
    let mut lost = 0;
    for ((flow, end), count) in &ends {
        println!("{count:6} × {flow}: {end}");
        if *end != expected_end(*flow) {
            lost += count;
        }
    }
    println!(
        "{} payments, as the tables, the bank and the shop tell: {lost} lost.",
        payments.len()
    );
    ensure!(lost == 0, "{lost} payments are lost");
    Ok(())
}

/// What a payment was closed as. A payment that breaks an invariant has an end of its own, and is printed.
async fn end_of(player: &Player, payment: &Begun) -> Result<String> {
    let findings = player.examine(payment).await?;
    if findings.is_empty() {
        return player.end_of(payment).await;
    }
    println!("  BROKEN {findings}");
    Ok("broken".to_owned())
}

fn expected_end(flow: Flow) -> &'static str {
    match flow {
        Flow::Declined => "declined",
        Flow::OrderGone => "reversed",
        _ => "orderPaid",
    }
}

fn rate(payments: usize, time: Duration) -> f64 {
    u32::try_from(payments).map_or(f64::NAN, f64::from) / time.as_secs_f64()
}
