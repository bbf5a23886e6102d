//! Many payments at once on the local AWS, and many callbacks through one process: what is lost, and what grows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_local::environment::Environment;
use payment3_local::faults::caller;
use payment3_local::faults::scenario::{Begun, Flow, Stage as Scenario};
use payment3_local::faults::scope::Scopes;
use payment3_local::interrupt::Interrupt;
use payment3_local::{steps, workspace};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::figures::Case;
use crate::lambda::Start;
use crate::memory::Memory;
use crate::payment::{self, Shopfront, System};
use crate::programs::Shipped;
use crate::sandbox::Sandbox;
use crate::stage::{Stage, full_name, logs, options, short_name};

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
/// What a process may have more at the end than after its warm-up: what the kernel counts is rounded to batches of pages for
/// each thread.
const GROWTH_KIB: u64 = 512;

/// Both loads.
///
/// # Errors
/// Something is lost, grows, or fails.
pub async fn run(interrupt: &mut Interrupt) -> Result<()> {
    let shipped = interrupt.or(Shipped::build(&logs())).await?;
    callbacks(&shipped, interrupt).await?;
    burst(interrupt).await
}

/// Every callback through one process, with everything outside answering as it did once.
async fn callbacks(shipped: &Shipped, interrupt: &mut Interrupt) -> Result<()> {
    let stage = Stage::start(shipped, interrupt).await?;
    let work = async {
        let front = Shopfront::new(System::Saga, &stage.outputs, &stage.outputs.api_url);
        stage.lambda.starts(Start::Cold);
        let [played, _] = payment::play_both(&stage, &front).await?;
        let step = played.of("callback").next().context("a callback ran")?;
        let program = stage.lambda.program(&full_name("callback"))?;
        one_process(&stage, &Case::of(step, program)).await
    };
    let result = interrupt.or(work).await;
    let stopped = steps::step("Stopping", stage.stop()).await;
    result.and(stopped)
}

async fn one_process(stage: &Stage, case: &Case) -> Result<()> {
    println!("\n### {CALLBACKS} callbacks through one process\n");
    stage.world.replay(&case.calls);
    let begun = Instant::now();
    let mut sandbox = Sandbox::start(&case.program, &logs()).await?;
    let mut warm = None;
    for number in 1..=CALLBACKS {
        stage.world.rewind();
        let (outcome, _) = sandbox.invoke(case.event.clone()).await?;
        let status = &outcome.output()?["statusCode"];
        ensure!(
            status == 303,
            "callback {number} was answered {status}; calls without an answer: {:?}",
            stage.world.take_failures()
        );
        if number % (CALLBACKS / ROWS) == 0 {
            let memory = sandbox.memory()?;
            warm.get_or_insert(memory);
            println!(
                "{:5} s  {number:6} callbacks  {} MB, at most {} MB",
                begun.elapsed().as_secs(),
                mib(memory.now_kib),
                mib(memory.peak_kib)
            );
            // The calls are not needed, and would fill this process's memory.
            stage.world.take_calls();
        }
    }
    let last = sandbox.memory()?;
    sandbox.stop().await?;
    stage.world.forward();
    let warm = warm.context("there were callbacks")?;
    ensure!(
        last.now_kib <= warm.now_kib + GROWTH_KIB,
        "the process grows: {} KiB after a tenth, {} KiB in the end",
        warm.now_kib,
        last.now_kib
    );
    println!("All were answered 303; no growth after the first tenth.");
    Ok(())
}

/// Many shoppers at once.
async fn burst(interrupt: &mut Interrupt) -> Result<()> {
    let options = payment3_local::environment::Options {
        directory: workspace::local_dir().join("bench-load"),
        branch: "load".to_owned(),
        ..options()
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs = environment.outputs().clone();
    let scenario = Scenario::new(&outputs, &Scopes::default());
    let work = pay_all(&scenario, &outputs.branch);
    let result = tokio::select! {
        result = interrupt.or(work) => result,
        error = environment.broken() => Err(error),
    };
    let stopped = steps::step("Stopping", environment.stop()).await;
    result.and(stopped)
}

async fn pay_all(scenario: &Scenario, branch: &str) -> Result<()> {
    println!("\n### {PAYMENTS} payments, {AT_ONCE} shoppers at once\n");
    let done = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = tokio::spawn(watch(branch.to_owned(), done.clone(), seen.clone()));
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut shoppers = JoinSet::new();
    for flow in FLOWS.iter().copied().cycle().take(PAYMENTS) {
        let (scenario, turn, done) = (scenario.clone(), turn.clone(), done.clone());
        shoppers.spawn(async move {
            let _turn = turn.acquire_owned().await.context("nobody closes it")?;
            let payment = scenario.begin(flow).await?;
            scenario.pay(&payment).await?;
            done.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok(payment)
        });
    }
    let mut payments = Vec::new();
    while let Some(payment) = shoppers.join_next().await {
        payments.push(payment.context("a shopper broke")??);
    }
    let paid = begun.elapsed();
    let late = finish_all(scenario, &payments).await?;
    let settled = begun.elapsed();
    watching.abort();
    let lost = lost(scenario, &payments).await?;
    println!(
        "\nThe shoppers were done after {:.0} s ({:.1} payments a second), the last payment after {:.0} s.",
        paid.as_secs_f64(),
        rate(payments.len(), paid),
        settled.as_secs_f64()
    );
    println!(
        "{late} payments were open when their shoppers had gone, and came to their end by themselves or by reconciliation."
    );
    println!(
        "{} payments, told by the tables, the bank and the shop: {} whole, {lost} lost.",
        payments.len(),
        payments.len() - lost
    );
    ensure!(lost == 0, "{lost} payments are lost");
    let grown = grown(&lock(&seen));
    ensure!(grown.is_empty(), "processes grow: {}", grown.join("; "));
    println!(
        "No function's largest process was larger in the end than after a fifth of the payments."
    );
    ensure!(payments.len() == PAYMENTS, "not every shopper paid");
    Ok(())
}

/// Brings what is still open to its end, as executions and the schedule do; how many that were.
async fn finish_all(scenario: &Scenario, payments: &[Begun]) -> Result<usize> {
    let mut late = 0;
    for payment in payments {
        if !scenario.is_over(payment).await? {
            late += 1;
            scenario.finish(payment).await?;
        }
    }
    Ok(late)
}

/// How many payments are not whole; each is told.
async fn lost(scenario: &Scenario, payments: &[Begun]) -> Result<usize> {
    let mut lost = 0;
    for payment in payments {
        let findings = scenario.examine(payment).await?;
        if !findings.is_whole() {
            println!("  NOT WHOLE {findings}");
            lost += 1;
        }
    }
    Ok(lost)
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
    for process in caller::running(branch) {
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
        .map(|(name, (processes, largest))| format!("{name} {processes}×{}", mib(*largest)));
    cells.collect::<Vec<_>>().join(", ")
}

/// The functions whose largest process is larger in the end than it was after a fifth of the payments.
fn grown(seen: &[Processes]) -> Vec<String> {
    let (Some(warm), Some(last)) = (seen.get(ROWS / 5), seen.last()) else {
        return vec!["nothing was seen".to_owned()];
    };
    let grown = last.iter().filter_map(|(name, (_, now))| {
        let (_, then) = warm.get(name)?;
        (*now > then + GROWTH_KIB).then(|| format!("{name}: {then} KiB, {now} KiB in the end"))
    });
    grown.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under the lock is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rate(payments: usize, time: Duration) -> f64 {
    u32::try_from(payments).map_or(f64::NAN, f64::from) / time.as_secs_f64()
}

fn mib(kib: u64) -> String {
    format!(
        "{:.1}",
        u32::try_from(kib).map_or(f64::NAN, f64::from) / 1024.0
    )
}
