//! Runs the simulator: `payment3-sim` for a minute, `--seed N` for one run with its trace, `--for 1h` for longer.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use nix::time::{ClockId, clock_gettime};
use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_harness::player::Start;
use payment3_sim::mutants::{self, Search};
use payment3_sim::{
    Definitions, How, Options, Outcome, Uses, answers, calls, cells_of, play, problem, release,
    run, shrink, unused,
};

/// A fifth of the time went to the usual one: every call makes and drops hundreds of small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds that once failed, one in a line. They run first.
const ONCE_FAILED: &str = include_str!("../seeds.txt");

/// For how long it searches.
const SEARCHES_FOR: Duration = Duration::from_secs(60);

/// How many seeds are played for the rights: some are needed in a few of them only.
const SEEDS: u64 = 300;

/// A flow whose trace is wanted.
const TRACED: How = How {
    trace: true,
    definitions: Definitions::Current,
    afterwards: false,
};

/// For how long a failing run is made smaller.
const SHRINKS_WITHIN: Duration = Duration::from_secs(120);

/// Simulates payments with many faults at once, everything from one seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs one seed and prints its trace
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: only these shoppers, such as 3,7
    #[arg(long, value_delimiter = ',', requires = "seed")]
    shoppers: Option<Vec<usize>>,
    /// With --seed: only the faults at these calls, separated by ';'
    #[arg(long, value_delimiter = ';', requires = "seed")]
    faults: Option<Vec<String>>,
    /// For how long, such as 60s, 10m or 1h; by default a minute, and with --mutants 120s of processor time for each search
    #[arg(long = "for", value_parser = duration)]
    time: Option<Duration>,
    /// The first of the seeds, which follow one another
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Plays the fault matrix' cells of this flow instead, or of all; without --fault and --call, all of its cells
    #[arg(long, value_enum)]
    cells: Option<Option<Flow>>,
    /// With --cells: only this fault
    #[arg(long, value_enum, requires = "cells")]
    fault: Option<Fault>,
    /// With --cells: only calls whose name contains this text, with their traces where they fail
    #[arg(long, requires = "cells")]
    call: Option<String>,
    /// Prints the calls of each flow: the text of tests/harness/calls.txt
    #[arg(long)]
    calls: bool,
    /// Prints what the system answers: the text of tests/sim/answers.txt
    #[arg(long)]
    answers: bool,
    /// Makes the present definitions and functions the last release, for the tests of upgrades: once production has them
    #[arg(long, conflicts_with_all = ["seed", "cells"])]
    release: bool,
    /// Holds every call of functions and machines against the rights of its role, and tells which rights none needs
    #[arg(long, conflicts_with_all = ["seed", "cells", "time"])]
    rights: bool,
    /// Breaks the system on purpose, in every way whose name contains this text, and searches for each
    #[arg(long, num_args = 0..=1, default_missing_value = "", conflicts_with = "seed")]
    mutants: Option<String>,
    /// With --mutants: from how many starts each is searched for
    #[arg(long, default_value_t = 3, requires = "mutants")]
    searches: usize,
    /// For --mutants: stops at the first failure, and prints it as JSON. The time is that of the processor
    #[arg(long, conflicts_with = "seed")]
    quick: bool,
    /// For --mutants: makes the failing seed smaller, and prints the command and the trace of the smallest run
    #[arg(long, requires = "seed", conflicts_with_all = ["shoppers", "faults"])]
    smaller: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(seconds)
        });
    parsed
        .map(Duration::from_secs)
        .ok_or_else(|| "such as 60s, 10m or 1h".to_owned())
}

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn run(self) -> Result<bool> {
        if self.calls {
            print!("{}", calls()?);
            return Ok(true);
        }
        if self.answers {
            print!("{}", answers()?);
            return Ok(true);
        }
        if self.release {
            release()?;
            println!(
                "`git diff tests/sim/released` shows what changed: read it before you commit it."
            );
            return Ok(true);
        }
        if self.rights {
            return self.check_rights();
        }
        if let Some(flow) = self.cells {
            return self.play_cells(flow);
        }
        match (self.seed, &self.mutants) {
            (Some(seed), _) if self.smaller => smaller(seed),
            (Some(seed), _) => self.replay(seed),
            (None, Some(named)) => mutants::search(named, self.searches, self.time),
            (None, None) if self.quick => self.quick(),
            (None, None) => self.search(),
        }
    }

    /// Plays cells, and prints what is wrong with each; the trace, too, of calls that were asked for.
    fn play_cells(&self, flow: Option<Flow>) -> Result<bool> {
        let flows = flow.map_or_else(|| Flow::ALL.to_vec(), |flow| vec![flow]);
        let faults = self
            .fault
            .map_or_else(|| Fault::ALL.to_vec(), |fault| vec![fault]);
        if self.call.is_some()
            && let Some(flow) = flow
        {
            let played = play(flow, Start::Warm, None, TRACED)?;
            for line in &played.trace {
                println!("{line}");
            }
            println!("{}", played.findings);
            for step in &played.steps {
                println!("  {step}");
            }
        }
        let mut wrong = 0;
        let mut count = 0;
        for cell in cells_of(&flows, &faults)? {
            let call = self.call.as_ref();
            if call.is_some_and(|call| !cell.step.to_string().contains(call)) {
                continue;
            }
            count += 1;
            let problem = problem(&cell, Definitions::Current)
                .unwrap_or_else(|error| Some(format!("{error:#}")));
            let Some(problem) = problem else { continue };
            println!("{problem}");
            wrong += 1;
            if call.is_some() {
                let start = if cell.cold { Start::Cold } else { Start::Warm };
                for line in play(cell.flow, start, Some(cell.injected()), TRACED)?.trace {
                    println!("{line}");
                }
            }
        }
        println!("{count} cells, {wrong} failed");
        Ok(wrong == 0)
    }

    /// Plays every flow, and then seeds: what others do needs other rights. A fixed number of them: how fast the machine
    /// is must not change what is needed.
    fn check_rights(&self) -> Result<bool> {
        let mut uses = Uses::default();
        for flow in Flow::ALL {
            for start in [Start::Warm, Start::Cold] {
                uses.add(play(flow, start, None, How::default())?.rights);
            }
        }
        for seed in self.from..self.from + SEEDS {
            let options = Options {
                seed,
                ..Options::default()
            };
            uses.add(run(&options)?.rights);
        }
        let unused = unused(&uses.used)?;
        println!(
            "{} calls needed {} rights; {} were denied.",
            uses.calls,
            unused.rights - unused.unused.len(),
            uses.denied.len()
        );
        for denied in &uses.denied {
            println!("  denied: {denied}");
        }
        let mut in_order = uses.denied.is_empty() && unused.stale.is_empty();
        println!(
            "{} of {} rights were not needed:",
            unused.unused.len(),
            unused.rights
        );
        for (right, why) in &unused.unused {
            in_order &= why.is_some();
            println!("  {right}: {}", why.unwrap_or("NOBODY KNOWS WHY"));
        }
        for stale in &unused.stale {
            println!(
                "  needed after all, or gone: {stale}: take it out of tests/sim/src/rights.rs"
            );
        }
        Ok(in_order)
    }

    fn time(&self) -> Duration {
        self.time.unwrap_or(SEARCHES_FOR)
    }

    fn replay(&self, seed: u64) -> Result<bool> {
        let options = Options {
            seed,
            shoppers: self
                .shoppers
                .as_ref()
                .map(|some| some.iter().copied().collect()),
            faults: self.faults.as_ref().map(|some| {
                let named = some.iter().filter(|name| !name.is_empty());
                named.cloned().collect()
            }),
            trace: true,
            ..Options::default()
        };
        replay(&options)
    }

    /// Searches until something fails.
    fn quick(&self) -> Result<bool> {
        let begun = processor();
        let mut search = Search {
            seed: None,
            findings: Vec::new(),
            payments: 0,
            processor_seconds: 0.0,
        };
        for seed in self.from.. {
            let outcome = run(&Options {
                seed,
                ..Options::default()
            })?;
            let spent = processor().saturating_sub(begun);
            search.payments += outcome.payments;
            search.processor_seconds = spent.as_secs_f64();
            if !outcome.findings.is_empty() {
                search.seed = Some(seed);
                search.findings = outcome.findings;
            }
            if search.seed.is_some() || spent >= self.time() {
                break;
            }
        }
        println!("{}", serde_json::to_string(&search)?);
        Ok(search.seed.is_none())
    }

    fn search(&self) -> Result<bool> {
        let mut totals = Totals::default();
        let once_failed = ONCE_FAILED.lines().filter_map(|line| {
            let number = line.split_whitespace().next()?;
            number.parse().ok()
        });
        let seeds = once_failed.chain(self.from..);
        for seed in seeds {
            if totals.begun.elapsed() >= self.time() {
                break;
            }
            let options = Options {
                seed,
                ..Options::default()
            };
            let outcome = run(&options)?;
            totals.add(&outcome);
            if outcome.findings.is_empty() {
                continue;
            }
            println!("\nSeed {seed} fails:");
            for finding in &outcome.findings {
                println!("  {finding}");
            }
            println!(
                "Made smaller:\n  {}",
                command(&shrink(&outcome, SHRINKS_WITHIN)?)
            );
        }
        totals.print();
        Ok(totals.failed == 0)
    }
}

/// Runs the options, and prints the trace.
fn replay(options: &Options) -> Result<bool> {
    let mut totals = Totals::default();
    let outcome = run(options)?;
    for line in &outcome.trace {
        println!("{line}");
    }
    totals.add(&outcome);
    totals.print();
    Ok(outcome.findings.is_empty())
}

/// Makes a failing seed smaller, and replays what is left of it.
fn smaller(seed: u64) -> Result<bool> {
    let outcome = run(&Options {
        seed,
        ..Options::default()
    })?;
    let smallest = Options {
        trace: true,
        ..shrink(&outcome, SHRINKS_WITHIN)?
    };
    println!("{}", command(&smallest));
    replay(&smallest)
}

/// The command that runs these options again.
fn command(options: &Options) -> String {
    let mut command = format!("cargo local test sim --seed {}", options.seed);
    if let Some(shoppers) = &options.shoppers {
        let numbers: Vec<_> = shoppers.iter().map(ToString::to_string).collect();
        command += &format!(" --shoppers {}", numbers.join(","));
    }
    if let Some(faults) = &options.faults {
        let names: Vec<_> = faults.iter().map(String::as_str).collect();
        command += &format!(" --faults '{}'", names.join(";"));
    }
    command
}

/// What all runs together come to.
struct Totals {
    begun: Instant,
    processor: Duration,
    seeds: usize,
    failed: usize,
    payments: usize,
    paid: usize,
    reversed: usize,
    standing: usize,
    refunds: usize,
    calls: usize,
    passed: Duration,
    faults: BTreeMap<&'static str, usize>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            processor: processor(),
            seeds: 0,
            failed: 0,
            payments: 0,
            paid: 0,
            reversed: 0,
            standing: 0,
            refunds: 0,
            calls: 0,
            passed: Duration::ZERO,
            faults: BTreeMap::new(),
        }
    }
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.failed += usize::from(!outcome.findings.is_empty());
        self.payments += outcome.payments;
        self.paid += outcome.paid;
        self.reversed += outcome.reversed;
        self.standing += outcome.standing;
        self.refunds += outcome.refunds;
        self.calls += outcome.calls;
        self.passed += outcome.passed;
        for (fault, times) in outcome.faults() {
            *self.faults.entry(fault).or_default() += times;
        }
    }

    fn print(&self) {
        let seconds = processor().saturating_sub(self.processor).as_secs_f64();
        let days = self.passed.as_secs_f64() / 86_400.0;
        println!(
            "\n{} seeds, {} failed. {} payments: {} orders paid, {} reversed, {} stand for a person; {} refunds.",
            self.seeds,
            self.failed,
            self.payments,
            self.paid,
            self.reversed,
            self.standing,
            self.refunds
        );
        println!(
            "{days:.0} virtual days in {seconds:.1} s of processor time. A second: {:.0} payments, {:.0} refunds, {:.0} calls, \
             {:.1} days.",
            self.payments as f64 / seconds,
            self.refunds as f64 / seconds,
            self.calls as f64 / seconds,
            days / seconds
        );
        let faults: usize = self.faults.values().sum();
        let kinds: Vec<_> = self
            .faults
            .iter()
            .map(|(kind, times)| format!("{times} {kind}"))
            .collect();
        println!("{faults} faults: {}.", kinds.join(", "));
    }
}

/// The processor time of this process.
fn processor() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(Duration::from)
        .unwrap_or_default()
}
