//! Many payments at once on the local AWS, and many callbacks through one process: what is lost, and what grows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_harness::fault_plan::FaultPlans;
use payment3_harness::flow::Flow;
use payment3_harness::peer_process::{self, short_name};
use payment3_harness::player::{Begun, Player};
use payment3_harness::workspace;
use payment3_stack::environment::Environment;
use payment3_stack::interrupt::Interrupt;
use payment3_stack::progress;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::figures::Case;
use crate::lambda::{Start, lock};
use crate::memory::Memory;
use crate::payment::{self, Shopfront};
use crate::programs::Programs;
use crate::sandbox::Sandbox;
use crate::testbed::{Testbed, full_name, logs, options};
use crate::units::mb;

/// How many payments the burst has.
const PAYMENTS: usize = 2000;
/// How many shoppers pay at once.
const AT_ONCE: usize = 32;
/// What they do, in turn: most pay, as most do.
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
/// How many callbacks one process gets.
const CALLBACKS: usize = 200_000;
/// How many rows the tables over time have.
const ROWS: usize = 10;
/// Between two looks at the processes.
const LOOK: Duration = Duration::from_secs(2);
/// What a process may have more at the end than after its warm-up: the kernel counts pages in batches.
const GROWTH_KIB: u64 = 512;

/// Both loads.
///
/// # Errors
/// Something is lost, grows, or fails.
pub async fn run(interrupt: &mut Interrupt) -> Result<()> {
    let programs = interrupt.or(Programs::released(&logs())).await?;
    burst(interrupt).await?;
    callbacks(&programs, interrupt).await
}

/// Every callback through one process, with everything outside answering as it did once.
async fn callbacks(programs: &Programs, interrupt: &mut Interrupt) -> Result<()> {
    let testbed = Testbed::start(programs, interrupt).await?;
    let work = async {
        let shopfront = Shopfront::saga(&testbed);
        testbed.lambda.set_start(Start::Cold);
        let [played, _] = payment::play_both(&testbed, &shopfront).await?;
        let run = played.of("callback").next().context("a callback ran")?;
        let program = testbed.lambda.program(&full_name("callback"))?;
        one_process(&testbed, &Case::of(run, program)).await
    };
    let result = interrupt.or(work).await;
    let stopped = progress::step("Stopping", testbed.stop()).await;
    result.and(stopped)
}

async fn one_process(testbed: &Testbed, case: &Case) -> Result<()> {
    println!("\n### One callback, {CALLBACKS} times through one process\n");
    testbed.proxy.replay(&case.calls);
    testbed.proxy.take_unanswered();
    let begun = Instant::now();
    let mut sandbox = Sandbox::start(&case.program, &logs()).await?;
    let mut warm = None;
    let mut started = 0;
    for number in 1..=CALLBACKS {
        testbed.proxy.rewind();
        let (outcome, _) = sandbox.invoke(case.event.clone()).await?;
        let status = &outcome.output()?["statusCode"];
        ensure!(status == 303, "callback {number} was answered {status}");
        if number % (CALLBACKS / ROWS) == 0 {
            // A callback that starts nothing is answered 303 as well.
            let calls = testbed.proxy.take_calls();
            started += calls
                .iter()
                .filter(|call| call.operation == "StartExecution")
                .count();
            let memory = sandbox.memory()?;
            warm.get_or_insert(memory);
            println!(
                "{:5} s  {number:6} callbacks  {} MB, at most {} MB",
                begun.elapsed().as_secs(),
                mb(memory.now_kib),
                mb(memory.peak_kib)
            );
        }
    }
    let last = sandbox.memory()?;
    sandbox.stop().await?;
    let unanswered = testbed.proxy.take_unanswered();
    testbed.proxy.stop_replay();
    let warm = warm.context("there were callbacks")?;
    ensure!(unanswered.is_empty(), "calls got no answer: {unanswered:?}");
    ensure!(
        started == CALLBACKS,
        "{CALLBACKS} callbacks started {started} executions"
    );
    ensure!(
        last.now_kib <= warm.now_kib + GROWTH_KIB,
        "the process grows: {} KiB after a tenth, {} KiB in the end",
        warm.now_kib,
        last.now_kib
    );
    println!(
        "\nEach was answered 303 and started its execution; the process has {} KiB more than after the first tenth.",
        last.now_kib.saturating_sub(warm.now_kib)
    );
    Ok(())
}

/// Many shoppers at once.
async fn burst(interrupt: &mut Interrupt) -> Result<()> {
    let options = payment3_stack::environment::Options {
        directory: workspace::local_dir().join("bench-load"),
        branch: "load".to_owned(),
        ..options()
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs = environment.outputs().clone();
    let player = Player::new(&outputs, &FaultPlans::default());
    let work = pay_all(&player, &outputs.branch);
    let result = tokio::select! {
        result = interrupt.or(work) => result,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    result.and(stopped)
}

async fn pay_all(player: &Player, branch: &str) -> Result<()> {
    println!("\n### {PAYMENTS} payments, {AT_ONCE} at a time\n");
    let done = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = tokio::spawn(watch(branch.to_owned(), done.clone(), seen.clone()));
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut shoppers = JoinSet::new();
    for flow in FLOWS.iter().copied().cycle().take(PAYMENTS) {
        let (player, turn, done) = (player.clone(), turn.clone(), done.clone());
        shoppers.spawn(async move {
            let _turn = turn.acquire_owned().await.context("nobody closes it")?;
            let payment = player.begin(flow).await?;
            player.pay(&payment).await?;
            done.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok((flow, payment))
        });
    }
    let mut payments = Vec::new();
    while let Some(payment) = shoppers.join_next().await {
        payments.push(payment.context("a shopper broke")??);
    }
    let paid = begun.elapsed();
    println!(
        "\nThe shoppers were done after {:.0} s: {:.1} payments a second.",
        paid.as_secs_f64(),
        rate(payments.len(), paid)
    );
    let open = finish_all(player, &payments).await?;
    println!(
        "{open} payments were open then, and came to their end by their executions, by reconciliation or by hand."
    );
    // The last look at the processes is after the last payment.
    while lock(&seen).len() < ROWS {
        ensure!(
            !watching.is_finished(),
            "nobody looks at the processes any more"
        );
        sleep(LOOK).await;
    }
    watching.abort();
    let ends = ends(player, &payments).await?;
    for ((flow, end), count) in &ends {
        println!("{count:6} × {flow}: {end}");
    }
    let lost: usize = ends
        .iter()
        .filter(|((flow, end), _)| *end != wanted(*flow))
        .map(|(_, count)| count)
        .sum();
    println!(
        "{} payments, told by the tables, the bank and the shop: {lost} lost.",
        payments.len()
    );
    ensure!(lost == 0, "{lost} payments are lost");
    let seen = lock(&seen);
    let grown = grown(&seen)?;
    ensure!(grown.is_empty(), "processes grow: {}", grown.join("; "));
    println!(
        "No function's largest process had {GROWTH_KIB} KiB more in the end than after a fifth of the payments."
    );
    Ok(())
}

/// Brings what is still open to its end, as executions, the schedule and the person on call do; how many that were.
async fn finish_all(player: &Player, payments: &[(Flow, Begun)]) -> Result<usize> {
    let mut open = Vec::new();
    for (_, payment) in payments {
        if !player.is_over(payment).await? {
            open.push(payment);
        }
    }
    for payment in &open {
        player.finish(payment).await?;
    }
    Ok(open.len())
}

/// How many payments of each flow came to which end; what is not whole is an end of its own, and printed.
async fn ends(
    player: &Player,
    payments: &[(Flow, Begun)],
) -> Result<BTreeMap<(Flow, String), usize>> {
    let mut ends = BTreeMap::new();
    for (flow, payment) in payments {
        let findings = player.examine(payment).await?;
        let end = if findings.is_empty() {
            player.end_of(payment).await?
        } else {
            println!("  NOT WHOLE {findings}");
            "not whole".to_owned()
        };
        *ends.entry((*flow, end)).or_insert(0) += 1;
    }
    Ok(ends)
}

/// The end that a payment must come to.
fn wanted(flow: Flow) -> &'static str {
    match flow {
        Flow::Declined => "declined",
        Flow::OrderGone => "reversed",
        _ => "orderPaid",
    }
}

/// The processes of each function at one moment: how many, and the largest one's memory in KiB.
type Processes = BTreeMap<String, (usize, u64)>;

/// Looks at the processes each time another part of the payments is done.
async fn watch(branch: String, done: Arc<AtomicUsize>, seen: Arc<Mutex<Vec<Processes>>>) {
    let begun = Instant::now();
    loop {
        let done = done.load(Ordering::Relaxed);
        let rows = lock(&seen).len();
        if done * ROWS / PAYMENTS > rows {
            let processes = processes(&branch);
            let (seconds, line) = (begun.elapsed().as_secs(), line(&processes));
            println!("{seconds:5} s  {done:5} payments  {line}");
            lock(&seen).push(processes);
        }
        sleep(LOOK).await;
    }
}

fn processes(branch: &str) -> Processes {
    let mut functions = Processes::new();
    for process in peer_process::running(branch) {
        // One that ended meanwhile has no memory.
        let Ok(memory) = Memory::of(process.pid()) else {
            continue;
        };
        let name = short_name(&process.function).to_owned();
        let (processes, largest) = functions.entry(name).or_default();
        *processes += 1;
        *largest = memory.now_kib.max(*largest);
    }
    functions
}

/// `function processes × the largest in MB`, for every function that runs.
fn line(processes: &Processes) -> String {
    let cells = processes
        .iter()
        .map(|(name, (processes, largest))| format!("{name} {processes}×{}", mb(*largest)));
    cells.collect::<Vec<_>>().join(", ")
}

/// The functions whose largest process is larger in the end than it was after a fifth of the payments.
fn grown(seen: &[Processes]) -> Result<Vec<String>> {
    let warm = seen
        .get(ROWS / 5 - 1)
        .context("nobody looked at the processes")?;
    let last = seen.last().context("nobody looked at the processes")?;
    ensure!(
        seen.len() >= ROWS && !last.is_empty(),
        "the processes were not seen to the end"
    );
    let mut grown = Vec::new();
    // The schedule's, which has five minutes until it runs first.
    for (name, (_, now)) in last.iter().filter(|(name, _)| *name != "reconcile") {
        let (_, then) = warm
            .get(name)
            .with_context(|| format!("{name} did not run after a fifth of the payments"))?;
        if *now > then + GROWTH_KIB {
            grown.push(format!("{name}: {then} KiB, {now} KiB in the end"));
        }
    }
    Ok(grown)
}

fn rate(payments: usize, time: Duration) -> f64 {
    u32::try_from(payments).map_or(f64::NAN, f64::from) / time.as_secs_f64()
}
