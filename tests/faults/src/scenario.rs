//! Plays one flow, with a fault in one call or without a fault, and checks how it ended.

use std::time::Duration;

use anyhow::Result;
use payment3_harness::aws::Aws;
use payment3_harness::cells::OUTAGE;
use payment3_harness::expected::executions::Seen;
use payment3_harness::expected::{self, Expected, Injected, refunds};
use payment3_harness::fault_plan::{Fault, Step};
use payment3_harness::flow::Flow;
use payment3_harness::invariants::Findings;
use payment3_harness::peer_process;
use payment3_harness::player::{Player, Shopper, Start};

use tokio::time::Instant;

use crate::visible;

/// The result of a played flow.
#[derive(Debug)]
pub struct Played {
    /// The calls that were made.
    pub steps: Vec<Step>,
    /// Whether the planned fault was injected.
    pub struck: bool,
    /// Whether the shopper saw only errors, and left.
    pub left: bool,
    /// What is wrong in the end.
    pub findings: Findings,
    /// The executions of all its payments.
    pub executions: Vec<Seen>,
    /// The time from the fault (from the start, if no fault was planned) until all payments had ended.
    pub took: Duration,
}

/// Plays a flow to its end, with one fault or none, and checks how it ended.
///
/// # Errors
/// The environment does not answer, or an execution does not end. Everything else that is wrong is a finding.
pub async fn play(
    player: &Player,
    flow: Flow,
    start: Start,
    injected: Option<Injected<'_>>,
) -> Result<Played> {
    let outputs = player.outputs();
    let mut begun = player.begin(flow).await?;
    let plan = player.watch(&begun, start);
    if start == Start::Cold {
        for function in peer_process::running(&outputs.branch) {
            function.kill()?;
        }
    }
    let started = Instant::now();
    if let Some(injected) = injected {
        plan.plan(injected.step.clone(), injected.fault);
        if injected.may_orphan_a_customer() {
            begun.allow_orphan(injected.fault == Fault::Away);
        }
    }
    // An unavailable service comes back once nothing is running. Then the next run of reconciliation must be enough.
    let heal = || {
        let lasted = |since: Instant| since.elapsed() >= OUTAGE;
        if !flow.is_refund() || plan.struck().is_some_and(lasted) {
            plan.heal();
        }
    };
    let shopper = player.pay_to_the_end(&begun, heal).await?;
    let (steps, struck) = (plan.steps(), plan.struck());
    let took = struck.unwrap_or(started).elapsed();
    let mut findings = player.examine(&begun).await?;
    let expected = Expected::of(flow, injected);
    let (earlier, rival) = (begun.earlier_token(), begun.rival_token());
    expected::judge(&expected, earlier, rival, &mut findings);
    if flow.is_refund() {
        let ended = player.refunds_ended(&begun).await?;
        let uncertain = refunds::judge(flow, begun.refunds(), &ended, injected, &mut findings);
        player.note_uncertain(uncertain);
    }
    let aws = Aws::at(&outputs.aws_endpoint);
    let mut executions = Vec::new();
    for ended in findings.ended.clone() {
        let seen = visible::check(&aws, outputs, &ended, &mut findings).await?;
        executions.extend(seen);
    }
    Ok(Played {
        steps,
        struck: struck.is_some(),
        left: shopper == Shopper::Left,
        findings,
        executions,
        took,
    })
}
