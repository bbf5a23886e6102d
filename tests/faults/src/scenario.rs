//! Plays one flow, with a fault in one call or without a fault, and checks how it ended.

use std::time::{Duration, Instant};

use anyhow::Result;
use payment3_harness::aws::Aws;
use payment3_harness::fault_plan::{Fault, Step};
use payment3_harness::flow::Flow;
use payment3_harness::invariants::{End, Findings};
use payment3_harness::peer_process;
use payment3_harness::player::{Begun, Player, Shopper, Start};

use crate::expected::{Expected, Injected};
use crate::refunds;
use crate::visible::{self, Seen};

/// The update of ensure-kbank-user that saves the customer. The first one is the lease.
const NOTES_CUSTOMER: usize = 2;

/// How long a service stays away while a refund runs, which waits for it in place: longer than a function itself tries.
const OUTAGE: Duration = Duration::from_secs(8);

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
        if may_orphan_a_customer(injected) {
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
    judge(&begun, &Expected::of(flow, injected), &mut findings);
    if flow.is_refund() {
        let ended = player.refunds_ended(&begun).await?;
        let uncertain = refunds::judge(&begun, &ended, injected, &mut findings);
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

/// Checks how all payments of a flow ended. `expected` is for the payment that is played.
pub fn judge(begun: &Begun, expected: &Expected, findings: &mut Findings) {
    let earlier = Expected::of(Flow::NewUser, None);
    let rival = Expected::of_rival();
    for ended in findings.ended.clone() {
        let token = Some(ended.token.as_str());
        let expected = if token == begun.earlier_token() {
            &earlier
        } else if token == begun.rival_token() {
            &rival
        } else {
            expected
        };
        expected.judge(&ended, findings);
    }
    if begun.rival_token().is_some() {
        let ended = findings.ended.iter();
        let paid = ended.filter(|ended| ended.end == Some(End::Paid)).count();
        findings.check(paid == 1, || format!("{paid} of two cards paid the order"));
    }
}

/// Whether the fault may leave a customer at the bank that we do not know. That happens when the bank's answer is
/// lost, or when the process dies, or cannot write, before it has saved the answer: the bank has no request to find
/// the customer again. The owner's next payment reports it, because nobody has taken over the lease.
fn may_orphan_a_customer(injected: Injected<'_>) -> bool {
    let Injected { step, fault, .. } = injected;
    let is = |operation, nth| {
        step.call.function == "ensure-kbank-user"
            && step.call.operation == operation
            && step.nth == nth
    };
    (is("POST customer", 1) && fault.loses_the_answer())
        || (is("UpdateItem", NOTES_CUSTOMER) && matches!(fault, Fault::KilledBefore | Fault::Away))
}
