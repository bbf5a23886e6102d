//! The whole measurement, and the short ones that look at counts, or at counts and sizes, alone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;

use crate::figures::{self, Case, Figures};
use crate::lambda::Start;
use crate::limits::Verdict;
use crate::payment::{self, Played, Shopfront, System};
use crate::preconnect::Preconnections;
use crate::programs::{self, Programs};
use crate::results::{Conditions, Counts, Measured, Payments, Peaks, Sizes};
use crate::sandbox::Program;
use crate::testbed::{Testbed, logs};
use crate::{baseline, callgrind, cases, checks, tables};

/// How often each kind of payment is played.
const REPEATS: usize = 5;
/// What the bank takes for an answer, beyond the sandbox's own millisecond.
pub const BANK_DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(300)];

/// Measures everything, prints it, and says what is over its limit.
///
/// # Errors
/// Something cannot be measured, or a payment does not come to its end.
pub async fn everything(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    let nothing = interrupt.or(programs::noop(&logs())).await?;
    let testbed = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::new(System::Saga, &testbed.outputs, &testbed.outputs.api_url);
        let theirs = baseline::add_functions(&testbed, &programs).await?;
        let saga = measure(&testbed, &ours).await?;
        let baseline = measure(&testbed, &theirs).await?;
        let noop = measure_noop(&testbed, nothing.clone()).await?;
        let (counts, peaks_kib) = count(&testbed, &programs, &ours).await?;
        let sizes = Sizes::of(&programs, peaks_kib)?;
        let instructions = callgrind::of(&testbed.proxy, &nothing, &saga.cases).await?;
        let verdict = checks::everything(&saga, &baseline, &noop, &counts, &sizes)?;
        tables::print_functions(&saga, &baseline, &noop);
        tables::print_sizes(&sizes);
        tables::print_counts(&counts)?;
        tables::print_payments(&saga, &baseline, instructions.as_deref())?;
        Ok(verdict)
    };
    finish(interrupt.or(work).await, testbed).await
}

/// Looks at counts alone, with programs that are built for tests.
///
/// # Errors
/// As [`everything`].
pub async fn counts(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::for_tests(&logs())).await?;
    let testbed = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::new(System::Saga, &testbed.outputs, &testbed.outputs.api_url);
        let (counts, _) = count(&testbed, &programs, &ours).await?;
        tables::print_counts(&counts)?;
        checks::counts(&counts, None)
    };
    finish(interrupt.or(work).await, testbed).await
}

/// Looks at counts and sizes alone, with the programs that are released.
///
/// # Errors
/// As [`everything`].
pub async fn sizes(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    let testbed = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::new(System::Saga, &testbed.outputs, &testbed.outputs.api_url);
        let (counts, peaks_kib) = count(&testbed, &programs, &ours).await?;
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

/// Each function with what it did when it was new.
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

async fn measure_noop(testbed: &Testbed, program: Program) -> Result<Figures> {
    let case = Case {
        function: "does nothing".to_owned(),
        program,
        event: Bytes::from_static(b"{}"),
        calls: Vec::new(),
    };
    figures::measure(&testbed.proxy, &case, &logs()).await
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
        let mut peaks_kib = BTreeMap::new();
        for run in warm.iter().flat_map(|played| &played.runs).chain(&others) {
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
        testbed.lambda.set_start(Start::Warm);
        let runs = cold.iter().flat_map(|played| &played.runs).chain(&others);
        let counts = Counts {
            warm,
            preconnections: Preconnections::of(runs),
        };
        Ok((counts, peaks_kib))
    })
    .await
}
