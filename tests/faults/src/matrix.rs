//! Every call × every fault × every flow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use payment3_harness::audit::audit;
use payment3_harness::aws::Aws;
use payment3_harness::cells::{self, Cell};
use payment3_harness::definition_change::DefinitionChange;
use payment3_harness::expected::Expected;
use payment3_harness::expected::executions::Seen;
use payment3_harness::fast_retries::shorten;
use payment3_harness::fault_plan::{Fault, FaultPlans, Step};
use payment3_harness::flow::Flow;
use payment3_harness::outputs::Outputs;
use payment3_harness::player::{Player, Start};

use crate::scenario::{self, Played};
use crate::visible;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

/// How many payments run at the same time. They are mostly waiting, so there can be many.
const CONCURRENCY: usize = 18;
/// A progress line is printed after this many cells.
const PROGRESS_EVERY: usize = 100;
/// How often a cell is played at most, until the fault was injected.
const PLAYS: usize = 3;
/// How often a race is played without a fault, to learn which calls it makes each time.
const RACES: usize = 3;

/// Which part of the matrix to run.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Only these flows.
    pub flows: Vec<Flow>,
    /// Only these faults.
    pub faults: Vec<Fault>,
    /// Only calls whose name contains this text.
    pub calls: Option<String>,
    /// Whether to test new processes too. Their first call fetches a secret.
    pub cold: bool,
}

impl Selection {
    /// The complete matrix.
    pub fn everything() -> Self {
        Self {
            flows: Flow::ALL.to_vec(),
            faults: Fault::ALL.to_vec(),
            calls: None,
            cold: true,
        }
    }

    /// The short form for every run of the tests: the faults whose effect the caller cannot know, in a payment that saves
    /// its card and in a refund. It holds the local AWS against the simulator, which plays all cells.
    pub fn short() -> Self {
        Self {
            flows: vec![Flow::NewUser, Flow::RefundPart],
            faults: vec![Fault::Lost, Fault::KilledAfter],
            calls: None,
            cold: false,
        }
    }

    fn has(&self, step: &Step) -> bool {
        self.calls
            .as_ref()
            .is_none_or(|part| step.to_string().contains(part))
    }
}

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which part of the matrix to run.
    pub selection: Selection,
    /// Whether to stop at the first cell that fails.
    pub stop_at_first: bool,
    /// How the definition of refunds is broken on purpose.
    pub broken_refunds: Option<DefinitionChange>,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cells were run.
    pub cells: usize,
    /// The cells that failed, by name, with the reason.
    pub broken: Vec<String>,
    /// How many cells of races had no call for their fault, in any play.
    missed: usize,
    /// What is missing, or must not appear, in the logs, the histories and the list of executions.
    unwelcome: Vec<String>,
    took: BTreeMap<Cell, Duration>,
    executions: Vec<Seen>,
}

/// Shortens the waits of the deployed state machines.
///
/// # Errors
/// The local AWS refuses.
pub async fn use_fast_retries(outputs: &Outputs) -> Result<()> {
    let aws = Aws::at(&outputs.aws_endpoint);
    for arn in [
        &outputs.state_machine_arn,
        &outputs.refund_state_machine_arn,
    ] {
        change_deployed(&aws, arn, |definition| Ok(shorten(&definition))).await?;
    }
    Ok(())
}

async fn change_deployed(
    aws: &Aws,
    arn: &str,
    change: impl FnOnce(Value) -> Result<Value>,
) -> Result<()> {
    let machine = aws.sfn.describe_state_machine().state_machine_arn(arn);
    let machine = machine.send().await.context("cannot read the definition")?;
    let definition: Value =
        serde_json::from_str(machine.definition()).context("the definition is JSON")?;
    aws.sfn
        .update_state_machine()
        .state_machine_arn(arn)
        .definition(change(definition)?.to_string())
        .send()
        .await
        .map(drop)
        .context("cannot change the definition")
}

/// Runs the selected part of the matrix and prints a table of the results.
///
/// # Errors
/// A flow fails without a fault, or the environment breaks. A failed cell is no error here: it is in the report.
pub async fn run(outputs: &Outputs, fault_plans: &FaultPlans, run: &Run) -> Result<Report> {
    let Run {
        selection,
        stop_at_first,
        broken_refunds,
    } = run;
    let stop_at_first = *stop_at_first;
    let begun = Instant::now();
    use_fast_retries(outputs).await?;
    if let Some(broken) = broken_refunds {
        let aws = Aws::at(&outputs.aws_endpoint);
        let breaks = |mut definition| broken.apply(&mut definition).map(|()| definition);
        change_deployed(&aws, &outputs.refund_state_machine_arn, breaks).await?;
    }
    let player = Player::new(outputs, fault_plans);
    let mut report = Report::default();
    let mut cells = Vec::new();
    for &flow in &selection.flows {
        let steps = match steps(&player, flow, Start::Warm).await? {
            Ok(steps) => steps,
            Err(finding) => {
                report.broken.push(finding);
                if stop_at_first {
                    return Ok(report);
                }
                continue;
            }
        };
        // A broken function may make other calls; only how its payments end shall tell.
        if !stop_at_first && let Err(others) = cells::check_calls(flow, &steps) {
            report.unwelcome.push(others);
        }
        let all = cells::warm(flow, steps, &selection.faults);
        cells.extend(all.into_iter().filter(|cell| selection.has(&cell.step)));
    }
    println!(
        "{} flows, {} faults: {} cells",
        selection.flows.len(),
        selection.faults.len(),
        cells.len()
    );
    try_all(&player, cells, CONCURRENCY, stop_at_first, &mut report).await?;
    let found = stop_at_first && !report.broken.is_empty();
    if selection.cold && !found {
        let cells = cold_cells(&player, selection).await?;
        println!("new processes: {} more cells", cells.len());
        // One at a time, because the proxy cannot see for which payment a process fetches a secret.
        try_all(&player, cells, 1, stop_at_first, &mut report).await?;
    }
    report.print(&selection.faults, begun.elapsed());
    if !stop_at_first {
        let used = player.take_used();
        let uncertain = used.uncertain().clone();
        let audit = audit(outputs, used).await?;
        println!("{audit}");
        report.unwelcome.extend(audit.findings);
        let aws = Aws::at(&outputs.aws_endpoint);
        let shown = visible::check_all(&aws, outputs, &report.executions).await?;
        println!(
            "{} executions: {} are wrong in the list of executions, or alert a person",
            report.executions.len(),
            shown.len()
        );
        report.unwelcome.extend(shown);
        let told = visible::check_refunds(outputs, &uncertain).await?;
        println!(
            "{} refunds need a person: {} are told wrongly",
            uncertain.len(),
            told.len()
        );
        report.unwelcome.extend(told);
    }
    Ok(report)
}

/// The calls of a flow without a fault, or the findings if it fails even then.
async fn steps(player: &Player, flow: Flow, start: Start) -> Result<Result<Vec<Step>, String>> {
    let mut steps: Option<Vec<Step>> = None;
    for _ in 0..if flow.is_race() { RACES } else { 1 } {
        let played = scenario::play(player, flow, start, None).await?;
        if !played.findings.is_empty() {
            return Ok(Err(format!("[{flow} | no fault]: {}", played.findings)));
        }
        let steps = steps.get_or_insert_with(|| played.steps.clone());
        steps.retain(|step| played.steps.contains(step));
    }
    Ok(Ok(steps.unwrap_or_default()))
}

/// The cells for fetching secrets: one for every function, in the first flow that uses it.
async fn cold_cells(player: &Player, selection: &Selection) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    let mut seen = BTreeSet::new();
    for &flow in &selection.flows {
        let steps = steps(player, flow, Start::Cold).await?;
        let steps = steps.map_err(anyhow::Error::msg)?;
        let all = cells::cold(flow, steps, &selection.faults, &mut seen);
        cells.extend(all.into_iter().filter(|cell| selection.has(&cell.step)));
    }
    Ok(cells)
}

async fn try_all(
    player: &Player,
    cells: Vec<Cell>,
    concurrency: usize,
    stop_at_first: bool,
    report: &mut Report,
) -> Result<()> {
    let mut running = JoinSet::new();
    let mut waiting = cells.into_iter();
    let mut done = 0;
    loop {
        while running.len() < concurrency {
            let Some(cell) = waiting.next() else { break };
            let player = player.clone();
            running.spawn(async move {
                let played = play(&player, &cell).await;
                (cell, played)
            });
        }
        let Some(next) = running.join_next().await else {
            return Ok(());
        };
        let (cell, played) = next.context("a cell panicked")?;
        report.add(cell, played);
        done += 1;
        if done % PROGRESS_EVERY == 0 {
            println!("  {done} cells run, {} failed", report.broken.len());
        }
        if stop_at_first && !report.broken.is_empty() {
            return Ok(());
        }
    }
}

/// Plays a cell until its fault was injected. On a slow machine a shopper may see only time-outs and leave. Then the
/// cell tested nothing, and it is played again.
async fn play(player: &Player, cell: &Cell) -> Result<Played> {
    let start = if cell.cold { Start::Cold } else { Start::Warm };
    let injected = Some(cell.injected());
    let may_leave = Expected::of(cell.flow, injected).lets_the_shopper_leave();
    let mut played = scenario::play(player, cell.flow, start, injected).await?;
    for _ in 1..PLAYS {
        let is_conclusive = played.struck && (may_leave || !played.left);
        if is_conclusive || (!played.left && !played.findings.is_empty()) {
            break;
        }
        println!("  {cell}: the call was not made, or the shopper left; trying again");
        played = scenario::play(player, cell.flow, start, injected).await?;
    }
    Ok(played)
}

impl Report {
    fn add(&mut self, cell: Cell, played: Result<Played>) {
        self.cells += 1;
        let problem = match played {
            Ok(mut played) => {
                self.executions.append(&mut played.executions);
                self.took.insert(cell.clone(), played.took);
                if !played.struck && cell.flow.is_race() && played.findings.is_empty() {
                    self.missed += 1;
                    None
                } else if !played.struck {
                    let made: Vec<_> = played.steps.iter().map(Step::to_string).collect();
                    Some(format!("the call was not made, only: {}", made.join(", ")))
                } else if !played.findings.is_empty() {
                    Some(played.findings.to_string())
                } else {
                    None
                }
            }
            Err(error) => Some(format!("it did not end: {error:#}")),
        };
        if let Some(problem) = problem {
            println!("  FAILED {cell}: {problem}");
            self.broken.push(format!("{cell}: {problem}"));
        }
    }

    /// Prints the seconds from the fault to the end, for every call and fault.
    fn print(&self, faults: &[Fault], took: Duration) {
        let mut rows: BTreeMap<(Flow, bool, usize, &Step), BTreeMap<Fault, Duration>> =
            BTreeMap::new();
        for (cell, took) in &self.took {
            rows.entry((cell.flow, cell.cold, cell.place, &cell.step))
                .or_default()
                .insert(cell.fault, *took);
        }
        let mut flow = None;
        for ((of, cold, _, step), cells) in rows {
            if flow != Some((of, cold)) {
                flow = Some((of, cold));
                let new = if cold { ", new processes" } else { "" };
                print!("\n{:52}", format!("{of}{new}"));
                faults.iter().for_each(|fault| print!(" {fault:>13}"));
                println!();
            }
            print!("  {:50}", step.to_string());
            for fault in faults {
                match cells.get(fault) {
                    Some(took) => print!(" {:>11.1} s", took.as_secs_f64()),
                    None => print!(" {:>13}", "-"),
                }
            }
            println!();
        }
        println!();
        for broken in &self.broken {
            println!("FAILED {broken}");
        }
        let longest = self.took.iter().max_by_key(|(_, took)| **took);
        println!(
            "{} cells, {} passed ({} of races without their call), in {:.0} s; the slowest recovery: {}",
            self.cells,
            self.cells.saturating_sub(self.broken.len()),
            self.missed,
            took.as_secs_f64(),
            longest.map_or_else(
                || "none".to_owned(),
                |(cell, took)| format!("{:.1} s, {cell}", took.as_secs_f64())
            )
        );
    }

    /// Fails unless every cell passed, and the logs, histories and executions are as expected.
    ///
    /// # Errors
    /// A cell failed, or none was run; or something is missing, or must not appear, in logs, histories or executions.
    pub fn verdict(&self) -> Result<()> {
        ensure!(
            self.cells > 0,
            "no cell was run: the selection matches nothing"
        );
        if !self.broken.is_empty() {
            bail!("{} cells failed", self.broken.len());
        }
        if !self.unwelcome.is_empty() {
            bail!(
                "logs, histories or executions are wrong: {}",
                self.unwelcome.join("\n")
            );
        }
        Ok(())
    }
}
