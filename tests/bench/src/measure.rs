//! Measures everything, or only counts, or only counts and sizes.

use std::time::Duration;

use anyhow::{Context, Result};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;

use crate::figures::{self, Case};
use crate::lambda::Start;
use crate::limits::Verdict;
use crate::payment::{self, Played, Shopfront, System};
use crate::preconnect::Preconnections;
use crate::programs::{self, Programs};
use crate::results::{Conditions, Counts, Measured, Others, Payments, Peaks, Sizes};
use crate::testbed::{Testbed, logs};
use crate::{baseline, callgrind, cases, checks, refund, tables};

/// How often each kind of payment is played.
const REPEATS: usize = 5;
/// How long the bank takes for an answer, beyond the sandbox's own millisecond.
const BANK_DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(300)];

/// Measures everything, prints it, and compares it with the limits.
///
/// # Errors
/// Something cannot be measured, or a payment does not come to its end.
pub async fn everything(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    let noop = Case::noop(interrupt.or(programs::noop(&logs())).await?);
    let testbed = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::saga(&testbed);
        let theirs = baseline::add_functions(&testbed, &programs).await?;
        let saga = measure(&testbed, &ours).await?;
        let others = Others {
            baseline: measure(&testbed, &theirs).await?,
            noop: figures::measure(&testbed.proxy, &noop, &logs()).await?,
        };
        let (counts, peaks_kib) = count(&testbed, &programs, &ours).await?;
        let sizes = Sizes::of(&programs, peaks_kib)?;
        let instructions = callgrind::of(&testbed.proxy, &noop, &saga.cases).await?;
        tables::print_functions(&saga, &others);
        tables::print_sizes(&sizes);
        tables::print_counts(&counts)?;
        tables::print_instructions(instructions.as_deref());
        tables::print_payments(&saga, &others)?;
        checks::everything(&saga, &others, &counts, &sizes)
    };
    finish(interrupt.or(work).await, testbed).await
}

/// Measures counts alone, with programs that are built for tests.
///
/// # Errors
/// As [`everything`].
pub async fn counts(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::for_tests(&logs())).await?;
    let testbed = Testbed::start(&programs, interrupt).await?;
    testbed.lambda.wait_for_aws();
    let work = async {
        let (counts, _) = count(&testbed, &programs, &Shopfront::saga(&testbed)).await?;
        tables::print_counts(&counts)?;
        checks::counts(&counts, None)
    };
    finish(interrupt.or(work).await, testbed).await
}

/// Measures counts and sizes, with the programs that are released.
///
/// # Errors
/// As [`everything`].
pub async fn sizes(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    let testbed = Testbed::start(&programs, interrupt).await?;
    testbed.lambda.wait_for_aws();
    let work = async {
        let (counts, peaks_kib) = count(&testbed, &programs, &Shopfront::saga(&testbed)).await?;
        let sizes = Sizes::of(&programs, peaks_kib)?;
        tables::print_sizes(&sizes);
        tables::print_counts(&counts)?;
        checks::counts(&counts, Some(&sizes))
    };
    finish(interrupt.or(work).await, testbed).await
}

async fn finish(result: Result<Verdict>, testbed: Testbed) -> Result<Verdict> {
    let stopped = progress::step("Stopping", testbed.stop()).await;
    let verdict = result?;
    stopped.map(|()| verdict)
}

async fn measure(testbed: &Testbed, shopfront: &Shopfront) -> Result<Measured> {
    let name = match shopfront.system {
        System::Saga => "The functions",
        System::Baseline => "The baseline",
    };
    let payments = progress::step(&format!("{name}: payments"), async {
        let mut payments = Payments::new();
        for cold in [true, false] {
            for bank in BANK_DELAYS {
                play_often(testbed, shopfront, cold, bank, &mut payments).await?;
            }
        }
        Ok(payments)
    })
    .await?;
    let cases = cases_of(testbed, shopfront, &payments).await?;
    let functions = progress::step(&format!("{name}, each by itself"), async {
        let mut functions = Vec::new();
        for case in &cases {
            functions.push(figures::measure(&testbed.proxy, case, &logs()).await?);
        }
        Ok(functions)
    })
    .await?;
    Ok(Measured {
        functions,
        payments,
        cases,
    })
}

async fn play_often(
    testbed: &Testbed,
    shopfront: &Shopfront,
    cold: bool,
    bank: Duration,
    payments: &mut Payments,
) -> Result<()> {
    testbed.proxy.set_bank_delay(bank);
    testbed
        .lambda
        .set_start(if cold { Start::Cold } else { Start::Warm });
    if !cold {
        payment::play_both(testbed, shopfront).await?;
    }
    for _ in 0..REPEATS {
        for played in payment::play_both(testbed, shopfront).await? {
            let conditions = Conditions {
                flow: played.flow,
                cold,
                bank,
            };
            payments.entry(conditions).or_default().push(played);
        }
    }
    testbed.proxy.set_bank_delay(Duration::ZERO);
    Ok(())
}

/// Each function with what it did in a new process.
async fn cases_of(
    testbed: &Testbed,
    shopfront: &Shopfront,
    payments: &Payments,
) -> Result<Vec<Case>> {
    let cold: Vec<Played> = payments
        .iter()
        .filter(|(conditions, _)| conditions.cold && conditions.bank.is_zero())
        .flat_map(|(_, played)| played.first().cloned())
        .collect();
    testbed.lambda.set_start(Start::Cold);
    let cases = cases::of(testbed, shopfront, &cold).await;
    testbed.lambda.set_start(Start::Warm);
    cases
}

async fn count(
    testbed: &Testbed,
    programs: &Programs,
    shopfront: &Shopfront,
) -> Result<(Counts, Peaks)> {
    progress::step("Counts", async {
        testbed.lambda.set_start(Start::Warm);
        payment::play_both(testbed, shopfront).await?;
        let warm = payment::play_both(testbed, shopfront).await?;
        let others = cases::other_flows(testbed, shopfront).await?;
        let refunds = refund::play_both(testbed, shopfront).await?;
        let mut peaks_kib = Peaks::new();
        let of_payments = warm.iter().flat_map(|played| &played.runs);
        let of_refunds = refunds.iter().flat_map(|played| &played.runs);
        for run in of_payments.chain(of_refunds).chain(&others) {
            let peak = peaks_kib.entry(run.function.clone()).or_insert(0);
            *peak = run.invocation.memory.peak_kib.max(*peak);
        }
        for name in programs.bootstraps.keys() {
            peaks_kib
                .get(name)
                .with_context(|| format!("{name} never ran"))?;
        }
        testbed.lambda.set_start(Start::Cold);
        let cold = payment::play_both(testbed, shopfront).await?;
        let others = cases::other_flows(testbed, shopfront).await?;
        let cold_refunds = refund::play_both(testbed, shopfront).await?;
        testbed.lambda.set_start(Start::Warm);
        let of_payments = cold.iter().flat_map(|played| &played.runs);
        let of_refunds = cold_refunds.iter().flat_map(|played| &played.runs);
        let runs = of_payments.chain(of_refunds).chain(&others);
        let counts = Counts {
            warm,
            refunds,
            preconnections: Preconnections::of(runs),
        };
        Ok((counts, peaks_kib))
    })
    .await
}
