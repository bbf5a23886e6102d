//! One callback many times through one process: every one must be answered, and the process must not grow.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;

use crate::figures::Case;
use crate::lambda::Start;
use crate::memory::{GROWTH_KIB, Memory};
use crate::payment::{self, Shopfront};
use crate::programs::Programs;
use crate::recording_proxy::RecordingProxy;
use crate::sandbox::Sandbox;
use crate::testbed::{Testbed, full_name, logs};
use crate::units::mb;

/// How many callbacks the process gets.
const CALLBACKS: usize = 200_000;
/// How many rows are printed.
const ROWS: usize = 10;

/// Plays one payment, and repeats its callback. Every service answers as it did in the payment.
///
/// # Errors
/// A callback is not answered as it must be, or the process grows.
pub async fn run(programs: &Programs, interrupt: &mut Interrupt) -> Result<()> {
    let testbed = Testbed::start(programs, interrupt).await?;
    let work = async {
        testbed.lambda.set_start(Start::Cold);
        let [played, _] = payment::play_both(&testbed, &Shopfront::saga(&testbed)).await?;
        let run = played.of("callback").next().context("a callback ran")?;
        let program = testbed.lambda.program(&full_name("callback"))?;
        repeat(&testbed.proxy, &Case::of(run, program)).await
    };
    let result = interrupt.or(work).await;
    let stopped = progress::step("Stopping", testbed.stop()).await;
    result.and(stopped)
}

async fn repeat(proxy: &RecordingProxy, case: &Case) -> Result<()> {
    println!("\n### One callback, {CALLBACKS} times through one process\n");
    proxy.replay(&case.calls);
    proxy.take_unanswered();
    let begun = Instant::now();
    let mut sandbox = Sandbox::start(&case.program, &logs()).await?;
    let mut warm = None;
    let mut executions = 0;
    for number in 1..=CALLBACKS {
        call_back(proxy, &mut sandbox, case, number).await?;
        if number % (CALLBACKS / ROWS) == 0 {
            executions += take_executions(proxy);
            let memory = sandbox.memory()?;
            warm.get_or_insert(memory);
            print_row(begun, number, memory);
        }
    }
    let last = sandbox.memory()?;
    sandbox.stop().await?;
    let unanswered = proxy.take_unanswered();
    proxy.stop_replay();
    ensure!(unanswered.is_empty(), "calls got no answer: {unanswered:?}");
    // A callback that starts no execution is answered 303 as well.
    ensure!(
        executions == CALLBACKS,
        "{CALLBACKS} callbacks started {executions} executions"
    );
    ensure_not_grown(warm.context("there were callbacks")?, last)?;
    Ok(())
}

async fn call_back(
    proxy: &RecordingProxy,
    sandbox: &mut Sandbox,
    case: &Case,
    number: usize,
) -> Result<()> {
    proxy.rewind();
    let (outcome, _) = sandbox.invoke(case.event.clone()).await?;
    let status = &outcome.output()?["statusCode"];
    ensure!(status == 303, "callback {number} was answered {status}");
    Ok(())
}

/// How many executions were started since the last time.
fn take_executions(proxy: &RecordingProxy) -> usize {
    let calls = proxy.take_calls();
    let starts = calls
        .iter()
        .filter(|call| call.operation == "StartExecution");
    starts.count()
}

fn print_row(begun: Instant, number: usize, memory: Memory) {
    println!(
        "{:5} s  {number:6} callbacks  {} MB, at most {} MB",
        begun.elapsed().as_secs(),
        mb(memory.now_kib),
        mb(memory.peak_kib)
    );
}

/// Compares the memory after the first row with that after the last.
fn ensure_not_grown(warm: Memory, last: Memory) -> Result<()> {
    ensure!(
        last.now_kib <= warm.now_kib + GROWTH_KIB,
        "the process grows: {} KiB after a tenth, {} KiB in the end",
        warm.now_kib,
        last.now_kib
    );
    println!(
        "\nEach was answered 303 and started its execution. The process has {} KiB more than after the first tenth.",
        last.now_kib.saturating_sub(warm.now_kib)
    );
    Ok(())
}
