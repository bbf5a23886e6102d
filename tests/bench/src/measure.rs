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
use crate::results::{Counts, Manner, Measured, Payments, Peaks, Sizes};
use crate::sandbox::Program;
use crate::testbed::{Testbed, logs};
use crate::{baseline, callgrind, cases, checks, tables};

/// How often each kind of payment is played.
const REPEATS: usize = 5;
/// What the bank takes for an answer, beyond the sandbox's own millisecond.
pub const BANK_TAKES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(300)];

/// Measures everything, prints it, and says what is over its limit.
///
/// # Errors
/// Something cannot be measured, or a payment does not come to its end.
pub async fn everything(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    let nothing = interrupt.or(programs::noop(&logs())).await?;
    let stage = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::new(System::Saga, &stage.outputs, &stage.outputs.api_url);
        let theirs = baseline::stand_beside(&stage, &programs).await?;
        let saga = measure(&stage, &ours).await?;
        let baseline = measure(&stage, &theirs).await?;
        let noop = measure_noop(&stage, nothing.clone()).await?;
        let (counts, peaks_kib) = count(&stage, &programs, &ours).await?;
        let sizes = Sizes::of(&programs, peaks_kib)?;
        let instructions = callgrind::of(&stage.world, &nothing, &saga.cases).await?;
        let verdict = checks::everything(&saga, &baseline, &noop, &counts, &sizes)?;
        tables::print_functions(&saga, &baseline, &noop);
        tables::print_sizes(&sizes);
        tables::print_counts(&counts)?;
        tables::print_payments(&saga, &baseline, instructions.as_deref())?;
        Ok(verdict)
    };
    finish(interrupt.or(work).await, stage).await
}

/// Looks at counts alone, with programs that are built for tests.
///
/// # Errors
/// As [`everything`].
pub async fn counts(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::for_tests(&logs())).await?;
    let stage = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::new(System::Saga, &stage.outputs, &stage.outputs.api_url);
        let (counts, _) = count(&stage, &programs, &ours).await?;
        tables::print_counts(&counts)?;
        checks::counts(&counts, None)
    };
    finish(interrupt.or(work).await, stage).await
}

/// Looks at counts and sizes alone, with the programs that are released.
///
/// # Errors
/// As [`everything`].
pub async fn sizes(interrupt: &mut Interrupt) -> Result<Verdict> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    let stage = Testbed::start(&programs, interrupt).await?;
    let work = async {
        let ours = Shopfront::new(System::Saga, &stage.outputs, &stage.outputs.api_url);
        let (counts, peaks_kib) = count(&stage, &programs, &ours).await?;
        let sizes = Sizes::of(&programs, peaks_kib)?;
        tables::print_sizes(&sizes);
        tables::print_counts(&counts)?;
        checks::counts(&counts, Some(&sizes))
    };
    finish(interrupt.or(work).await, stage).await
}

async fn finish(result: Result<Verdict>, stage: Testbed) -> Result<Verdict> {
    let stopped = progress::step("Stopping", stage.stop()).await;
    let verdict = result?;
    stopped.map(|()| verdict)
}

async fn measure(stage: &Testbed, front: &Shopfront) -> Result<Measured> {
    let name = match front.system {
        System::Saga => "The functions",
        System::Baseline => "The baseline",
    };
    let payments = progress::step(&format!("{name}: payments"), async {
        let mut payments = Payments::new();
        for cold in [true, false] {
            for bank in BANK_TAKES {
                play_often(stage, front, cold, bank, &mut payments).await?;
            }
        }
        Ok(payments)
    })
    .await?;
    let cases = cases_of(stage, front, &payments).await?;
    let functions = progress::step(&format!("{name}, each by itself"), async {
        let mut functions = Vec::new();
        for case in &cases {
            functions.push(figures::measure(&stage.world, case, &logs()).await?);
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
    stage: &Testbed,
    front: &Shopfront,
    cold: bool,
    bank: Duration,
    payments: &mut Payments,
) -> Result<()> {
    stage.world.let_the_bank_take(bank);
    stage
        .lambda
        .starts(if cold { Start::Cold } else { Start::Warm });
    if !cold {
        payment::play_both(stage, front).await?;
    }
    for _ in 0..REPEATS {
        for played in payment::play_both(stage, front).await? {
            let manner = Manner {
                flow: played.flow,
                cold,
                bank,
            };
            payments.entry(manner).or_default().push(played);
        }
    }
    stage.world.let_the_bank_take(Duration::ZERO);
    Ok(())
}

/// Each function with what it did when it was new.
async fn cases_of(stage: &Testbed, front: &Shopfront, payments: &Payments) -> Result<Vec<Case>> {
    let cold: Vec<Played> = payments
        .iter()
        .filter(|(manner, _)| manner.cold && manner.bank.is_zero())
        .flat_map(|(_, played)| played.first().cloned())
        .collect();
    stage.lambda.starts(Start::Cold);
    let cases = cases::of(stage, front, &cold).await;
    stage.lambda.starts(Start::Warm);
    cases
}

async fn measure_noop(stage: &Testbed, program: Program) -> Result<Figures> {
    let case = Case {
        function: "does nothing".to_owned(),
        program,
        event: Bytes::from_static(b"{}"),
        calls: Vec::new(),
    };
    figures::measure(&stage.world, &case, &logs()).await
}

async fn count(stage: &Testbed, programs: &Programs, front: &Shopfront) -> Result<(Counts, Peaks)> {
    progress::step("Counts", async {
        stage.lambda.starts(Start::Warm);
        payment::play_both(stage, front).await?;
        let warm = payment::play_both(stage, front).await?;
        let beside = cases::beside(stage, front).await?;
        let mut peaks_kib = BTreeMap::new();
        for step in warm.iter().flat_map(|played| &played.steps).chain(&beside) {
            let peak = peaks_kib.entry(step.function.clone()).or_insert(0);
            *peak = step.invocation.memory.peak_kib.max(*peak);
        }
        for name in programs.bootstraps.keys() {
            peaks_kib
                .get(name)
                .with_context(|| format!("{name} never ran"))?;
        }
        stage.lambda.starts(Start::Cold);
        let cold = payment::play_both(stage, front).await?;
        let beside = cases::beside(stage, front).await?;
        stage.lambda.starts(Start::Warm);
        let steps = cold.iter().flat_map(|played| &played.steps).chain(&beside);
        let counts = Counts {
            warm,
            openings: Preconnections::of(steps),
        };
        Ok((counts, peaks_kib))
    })
    .await
}
