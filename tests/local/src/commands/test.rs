//! `cargo local test`.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use payment3_bank::Dialect;
use payment3_faults::matrix::{self, Report, Run, Selection};
use payment3_faults::mutants::{self, DIALECT_MUTANTS, DialectMutant, MUTANTS, Mutant};
use payment3_faults::outage;
use payment3_harness::endpoints::Endpoints;
use payment3_harness::outputs::Outputs;
use payment3_harness::{outputs, workspace};
use payment3_stack::cargo_programs::CARGO_DENY;
use payment3_stack::environment::{Between, Environment, Options, State};
use payment3_stack::interrupt::{Interrupt, Interrupted};
use payment3_stack::process::Tool;
use payment3_stack::provision::Notifications;
use payment3_stack::{deploy, functions, node, prerequisites, progress};

use crate::cli::{BenchPart, Part, Test};
use crate::commands::bench;
use crate::commands::lane::Lane;
use crate::commands::verdicts::Verdicts;
use crate::{browser, cargo_deny, cfn_lint, clients, processor, schemathesis};
use payment3_stack::lock::Lock;

/// The environment of the end-to-end tests.
const E2E: &str = "e2e";
/// Another one, for those that can run beside them.
const HOSTILE: &str = "hostile";
/// Every lint is an error.
const CLIPPY: [&str; 7] = [
    "clippy",
    "--keep-going",
    "--workspace",
    "--all-targets",
    "--",
    "-D",
    "warnings",
];
/// What compiles everything, before the lanes that need it.
const FIRST: [Part; 3] = [Part::Format, Part::Clippy, Part::Unit];
/// What runs beside that: it compiles nothing of ours, and mostly waits for the network.
const FROM_THE_START: Lane = Lane {
    parts: &[Part::Asl, Part::Deps],
    shown: false,
    gently: true,
};
/// What runs side by side when everything is compiled. Each lane has environments of its own, and mostly waits.
const LANES: [Lane; 4] = [
    Lane {
        parts: &[
            Part::E2e,
            Part::DialectsShort,
            Part::Api,
            Part::Clients,
            Part::Counts,
        ],
        shown: true,
        gently: false,
    },
    Lane {
        parts: &[Part::Runbook],
        shown: false,
        gently: false,
    },
    Lane {
        parts: &[Part::Hostile, Part::Races, Part::Outage],
        shown: false,
        gently: false,
    },
    Lane {
        parts: &[Part::Cdk, Part::Browser, Part::FaultsShort, Part::Model],
        shown: false,
        gently: true,
    },
];
/// How many end-to-end tests run side by side: each mostly waits.
const THREADS: &str = "4";

/// Tells them where this program is: they try its commands.
const PROGRAM_VARIABLE: &str = "PAYMENT3_LOCAL";

/// The end-to-end tests but for those that are a part of their own.
const OTHERS: [&str; 6] = [
    "--skip",
    "dialects::",
    "--skip",
    "hostile::",
    "--skip",
    "races::",
];
/// The table of dialects, printed.
const DIALECTS: [&str; 2] = ["dialects::", "--nocapture"];
/// Tells it which cells to try.
const DIALECTS_VARIABLE: &str = "PAYMENT3_DIALECTS";
/// The list of forgeries, printed.
const FORGERIES: [&str; 2] = ["hostile::", "--nocapture"];
/// The table of races, printed.
const RACES: [&str; 2] = ["races::", "--nocapture"];
/// Tells the races how many rounds to run.
const ROUNDS_VARIABLE: &str = "PAYMENT3_RACE_ROUNDS";
/// Tells them which of them to run.
const RACE_VARIABLE: &str = "PAYMENT3_RACE";
/// How many rounds of each race are run where all parts run: each race is tried.
const FEW_ROUNDS: u32 = 3;
/// How many are run by the part alone.
const MANY_ROUNDS: u32 = 100;

/// Runs the parts, each also after one that failed, and prints one line for each at the end.
///
/// # Errors
/// A part failed, or it was interrupted.
pub async fn run(arguments: Test) -> Result<()> {
    let all = match arguments.parts[..] {
        [] => every_part(),
        ref named => named.to_vec(),
    };
    if let (true, Err(error)) = (all.contains(&Part::Browser), prerequisites::chromium()) {
        // Told now, and not after an hour. Everything else can run.
        eprintln!("The part {} will fail: {error:#}", Part::Browser);
    }
    let begun = Instant::now();
    let mut interrupt = Interrupt::new()?;
    let mut verdicts = Verdicts::default();
    if arguments.parts.is_empty() {
        everything(&arguments, &mut verdicts, &mut interrupt).await;
    } else {
        one_after_the_other(&all, &arguments, &mut verdicts, &mut interrupt).await;
    }
    println!("\n{}", verdicts.table(&all).trim_end());
    println!(
        "{:.0} s, {:.0} s of processor time",
        begun.elapsed().as_secs_f64(),
        processor::time().as_secs_f64()
    );
    if let Some(file) = &arguments.verdicts {
        verdicts.write(file)?;
    }
    verdicts.all_passed(&all)
}

async fn one_after_the_other(
    parts: &[Part],
    arguments: &Test,
    verdicts: &mut Verdicts,
    interrupt: &mut Interrupt,
) {
    let mut shared = Environments::default();
    verdicts
        .run(parts, async |part| {
            println!("\n== {part} ==");
            run_part(part, arguments, &mut shared, interrupt).await
        })
        .await;
    verdicts.besides(shared.e2e.stop().await);
    verdicts.besides(shared.hostile.stop().await);
}

async fn everything(arguments: &Test, verdicts: &mut Verdicts, interrupt: &mut Interrupt) {
    // Asked now: a compilation may put another file in its place.
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            let error = anyhow::Error::new(error).context("this program's path is not known");
            return verdicts.besides(Err(error));
        }
    };
    let early = FROM_THE_START.start(&program, &[]);
    one_after_the_other(&FIRST, arguments, verdicts, interrupt).await;
    if verdicts.interrupted() {
        return;
    }
    // No part is named, so what follows `test` are settings.
    let mut settings: Vec<String> = std::env::args().skip(2).collect();
    if arguments.rounds.is_none() {
        settings.extend(["--rounds".to_owned(), FEW_ROUNDS.to_string()]);
    }
    let lanes = LANES.map(|lane| lane.start(&program, &settings));
    for lane in lanes.into_iter().chain([early]) {
        verdicts.add(interrupt.or(lane.end()).await);
        if verdicts.interrupted() {
            return;
        }
    }
}

/// What runs where no part is named.
fn every_part() -> Vec<Part> {
    let lanes = LANES.iter().chain([&FROM_THE_START]);
    let parts = lanes.flat_map(|lane| lane.parts);
    FIRST.iter().chain(parts).copied().collect()
}

async fn run_part(
    part: Part,
    arguments: &Test,
    shared: &mut Environments,
    interrupt: &mut Interrupt,
) -> Result<()> {
    match part {
        Part::Format => interrupt.or(cargo(&["fmt", "--all", "--check"])).await,
        Part::Asl => interrupt.or(asl()).await,
        Part::Clippy => interrupt.or(cargo(&CLIPPY)).await,
        Part::Unit => {
            interrupt
                .or(cargo(&["test", "--workspace", "--no-fail-fast"]))
                .await
        }
        Part::Model => interrupt.or(model()).await,
        Part::Deps => interrupt.or(deps()).await,
        Part::Cdk => interrupt.or(cdk()).await,
        Part::E2e => {
            shared
                .e2e
                .run(interrupt, |running| e2e(&OTHERS, running))
                .await
        }
        Part::Api => shared.e2e.run(interrupt, api).await,
        Part::Clients => shared.e2e.run(interrupt, real_clients).await,
        Part::FaultsShort => faults(chosen(Selection::short(), arguments), interrupt).await,
        Part::Faults => faults(chosen(Selection::everything(), arguments), interrupt).await,
        Part::Mutants => mutants(interrupt).await,
        Part::Outage => outage(interrupt).await,
        Part::Browser => browser(arguments.screenshots, interrupt).await,
        Part::Runbook => runbook(interrupt).await,
        Part::Counts => interrupt.or(bench::part(Some(BenchPart::Counts))).await,
        Part::Sizes => interrupt.or(bench::part(Some(BenchPart::Sizes))).await,
        Part::Flows => {
            shared
                .e2e
                .run(interrupt, |running| e2e(&["flows::"], running))
                .await
        }
        Part::DialectsShort => {
            shared
                .e2e
                .run(interrupt, |running| e2e(&DIALECTS, running))
                .await
        }
        Part::Dialects => {
            let which = match arguments.dialect.as_slice() {
                [] => "all".to_owned(),
                named => names_of(named),
            };
            shared
                .e2e
                .run(interrupt, |running| dialects(which, running))
                .await
        }
        Part::Races => {
            let rounds = arguments.rounds.unwrap_or(MANY_ROUNDS);
            let race = arguments.race.clone().unwrap_or_default();
            shared
                .hostile
                .run(interrupt, |running| races(rounds, race, running))
                .await
        }
        Part::Hostile => {
            shared
                .hostile
                .run(interrupt, |running| e2e(&FORGERIES, running))
                .await
        }
    }
}

async fn cargo(arguments: &[&str]) -> Result<()> {
    Tool::cargo().args(arguments).shown().await
}

async fn asl() -> Result<()> {
    install_node_packages().await?;
    node::tool("asl-validator")
        .args(["--json-path"])
        .args([workspace::state_machine_file()])
        .shown()
        .await
}

async fn model() -> Result<()> {
    prerequisites::node()?;
    node::JSONATA.install(&logs()).await?;
    Tool::cargo()
        .args(["test", "--workspace", "--test", "model", "--", "--ignored"])
        // One after another, with what they found: how much was walked, and how every error is treated.
        .args(["--test-threads", "1", "--nocapture"])
        .shown()
        .await
}

async fn cdk() -> Result<()> {
    install_node_packages().await?;
    {
        let _shared = Lock::wait(&workspace::local_dir()).await?;
        functions::build(&logs()).await?;
    }
    let npm = async |script| {
        Tool::new("npm")
            .args(["run", script])
            .current_dir(workspace::cdk_dir())
            .shown()
            .await
    };
    // The types, by `tsc --noEmit`; then the tests, which run without them.
    progress::every([npm("check").await, npm("unit").await, templates().await])
}

/// What the app synthesises with few settings and with all of them, and what a person deploys beside it.
async fn templates() -> Result<()> {
    cfn_lint::install(&logs()).await?;
    let endpoints = Endpoints {
        aws: "http://127.0.0.1:4566".into(),
        bank: "http://127.0.0.1:4600".into(),
        shop: "http://127.0.0.1:4601".into(),
    };
    let functions = workspace::functions_dir();
    let here = deploy::context(E2E, &endpoints, &endpoints.shop, &functions);
    // The roles of the pipelines, which a person deploys once.
    let roles = workspace::root().join(".github/aws-roles.yaml");
    progress::every([
        template("local", &here).await,
        template("production", &production()).await,
        cfn_lint::run(&roles).await,
    ])
}

async fn template(name: &str, context: &[(&str, String)]) -> Result<()> {
    let output = directory("cdk").join(format!("{name}.out"));
    synthesise(&output, context).await?;
    cfn_lint::run(&output.join("*.template.json")).await
}

/// Runs the whole app, which holds itself against cdk-nag.
async fn synthesise(output: &Path, context: &[(&str, String)]) -> Result<()> {
    node::tool("cdk")
        .args(["synth", "--quiet", "--strict", "--output"])
        .args([output])
        .args(deploy::context_arguments(context))
        .shown()
        .await
}

/// A deployment that uses every setting there is.
fn production() -> Vec<(&'static str, String)> {
    let assets = workspace::functions_dir().display().to_string();
    let rest = [
        ("branch", "main"),
        ("masterBranch", "main"),
        ("architecture", "arm64"),
        ("orderTable", "shop-orders"),
        ("shopWebhookUrl", "https://shop.example/payment-events"),
        ("merchantIds", "401000000000001"),
        ("saveCardPolicy", "consented"),
        ("alarmEmail", "oncall@shop.example"),
        ("runbook", "https://git.example/payment3/docs/runbook.md"),
        ("reservedConcurrency", "50"),
        ("domainName", "api.shop.example"),
        (
            "certificateArn",
            "arn:aws:acm:ap-southeast-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
        ),
        ("edgeDomainName", "pay.shop.example"),
        (
            "edgeCertificateArn",
            "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
        ),
        ("edgeOrigin", "api.shop.example"),
        (
            "executionKeyArn",
            "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
        ),
    ];
    std::iter::once(("assets", assets))
        .chain(rest.map(|(key, value)| (key, value.to_owned())))
        .collect()
}

async fn deps() -> Result<()> {
    CARGO_DENY.install(&logs()).await?;
    cargo_deny::run().await
}

async fn install_node_packages() -> Result<()> {
    prerequisites::node()?;
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    node::CDK.install(&logs()).await
}

/// Runs the end-to-end tests that `which` picks.
async fn e2e(which: &[&str], running: Running) -> Result<()> {
    let arguments = [&["--test-threads", THREADS], which].concat();
    running.tests("e2e", &arguments).shown().await
}

/// Runs the table of dialects: all of it, or those that are named.
async fn dialects(which: String, running: Running) -> Result<()> {
    let tests = running.tests("e2e", &DIALECTS);
    tests.env(DIALECTS_VARIABLE, which).shown().await
}

fn names_of(dialects: &[Dialect]) -> String {
    let names: Vec<_> = dialects.iter().map(|dialect| dialect.name()).collect();
    names.join(",")
}

/// Runs every race whose name contains `race`, as often as asked.
async fn races(rounds: u32, race: String, running: Running) -> Result<()> {
    running
        .tests("e2e", &RACES)
        .env(ROUNDS_VARIABLE, rounds.to_string())
        .env(RACE_VARIABLE, race)
        .shown()
        .await
}

/// Provokes every documented answer, then has schemathesis send what nobody thought of.
async fn api(running: Running) -> Result<()> {
    let contract = running.tests("contract", &[]).shown().await;
    let unthought_of = async {
        schemathesis::install(&logs()).await?;
        schemathesis::run(&running.outputs, &directory(E2E).join("api")).await
    };
    progress::every([contract, unthought_of.await])
}

/// Has the merchant's own programs play every flow.
async fn real_clients(running: Running) -> Result<()> {
    clients::install(&logs()).await?;
    clients::run(&running.outputs_file).await
}

/// One after the other: they stop and starve what the others need. In an environment of their own: what other tests left open
/// or broken, the runbook's commands would find, too.
async fn runbook(interrupt: &mut Interrupt) -> Result<()> {
    // First whether every promise and every command of the page has its test: that needs no environment.
    let page = [
        "test",
        "--workspace",
        "--test",
        "runbook",
        "--",
        "document::",
    ];
    interrupt.or(cargo(&page)).await?;
    let mut own = Shared::new("runbook");
    let tests = |running: Running| async move {
        running
            .tests("runbook", &["--test-threads", "1"])
            .shown()
            .await
    };
    let result = own.run(interrupt, tests).await;
    result.and(own.stop().await)
}

/// A selection of the matrix, narrowed by what the command line names.
fn chosen(mut selection: Selection, arguments: &Test) -> Selection {
    if !arguments.flow.is_empty() {
        selection.flows.clone_from(&arguments.flow);
    }
    if !arguments.fault.is_empty() {
        selection.faults.clone_from(&arguments.fault);
    }
    selection.calls.clone_from(&arguments.call);
    selection
}

/// Runs a part of the matrix against the functions.
async fn faults(selection: Selection, interrupt: &mut Interrupt) -> Result<()> {
    let functions = workspace::functions_dir();
    let run = Run {
        selection,
        stop_at_first: false,
    };
    matrix(run, functions, interrupt).await?.verdict()
}

/// Runs the matrix against every broken copy of the functions, until it finds what is broken.
async fn mutants(interrupt: &mut Interrupt) -> Result<()> {
    let mut results = Vec::new();
    for mutant in &MUTANTS {
        let result = is_found(mutant, interrupt).await;
        match result {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            result => results.push(result.context(mutant.name)),
        }
    }
    for mutant in &DIALECT_MUTANTS {
        let result = mutant_in_dialects(mutant, interrupt).await;
        match result {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            result => results.push(result.context(mutant.mutant.name)),
        }
    }
    progress::every(results)
}

async fn is_found(mutant: &Mutant, interrupt: &mut Interrupt) -> Result<()> {
    let directory = mutants::directory();
    let functions = directory.join("lambda");
    println!("\nBroken on purpose: {}", mutant.name);
    let copy = mutant.make()?;
    let target = directory.join("target");
    let logs = logs();
    let built = functions::build_copy(&copy, &target, &functions, &logs);
    interrupt.or(built).await?;
    let run = Run {
        selection: mutant.selection(),
        stop_at_first: true,
    };
    let report = matrix(run, functions, interrupt).await?;
    match report.broken.first() {
        Some(cell) if cell.starts_with(mutant.shows_in) => {
            println!("Found as it must be: {cell}");
            Ok(())
        }
        Some(cell) => bail!(
            "the matrix finds something else, and not in {}: {cell}",
            mutant.shows_in
        ),
        None => bail!("the matrix does not find this in {}", mutant.shows_in),
    }
}

/// Runs the table of dialects against a broken copy of the functions: it must name the row in which it shows.
async fn mutant_in_dialects(mutant: &DialectMutant, interrupt: &mut Interrupt) -> Result<()> {
    println!("\nBroken on purpose: {}", mutant.mutant.name);
    let (directory, logs) = (mutants::directory(), logs());
    let functions = directory.join("lambda");
    let copy = mutant.mutant.make()?;
    let target = directory.join("target");
    let built = functions::build_copy(&copy, &target, &functions, &logs);
    interrupt.or(built).await?;
    let options = Options {
        functions,
        ..options("mutants")
    };
    let mut own = Shared::new("mutants");
    own.running = Some(Environment::start(options, interrupt).await?);
    let log = logs.join("mutants-dialects.log");
    let tests = |running: Running| {
        let log = log.clone();
        async move {
            let tests = running.tests("e2e", &DIALECTS);
            let which = names_of(mutant.dialects);
            tests.env(DIALECTS_VARIABLE, which).captured(&log).await
        }
    };
    let passed = own.run(interrupt, tests).await.is_ok();
    own.stop().await?;
    let told = std::fs::read_to_string(&log).context("what the table said")?;
    let row = mutant.mutant.shows_in;
    if passed || !told.contains(row) {
        bail!(
            "the table of dialects does not find this: {}",
            mutant.mutant.name
        );
    }
    println!("Found as it must be: {row}");
    Ok(())
}

/// Runs the browser tests in an environment as `cargo local up` starts it: the bank notifies by itself.
async fn browser(screenshots: bool, interrupt: &mut Interrupt) -> Result<()> {
    let chromium = prerequisites::chromium()?;
    let options = Options {
        notifications: Notifications::Automatic,
        ..options("browser")
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs_file = environment.outputs_file().clone();
    let pictures = screenshots.then(browser::pictures);
    let logs = logs();
    let tests = browser::run(&chromium, &outputs_file, pictures.as_deref(), &logs);
    let result = tokio::select! {
        result = interrupt.or(tests) => result,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    result.and(stopped)
}

/// Takes one service after the other away in the middle of payments, and all of AWS, in an environment of its own that saves its
/// state.
async fn outage(interrupt: &mut Interrupt) -> Result<()> {
    let options = Options {
        state: State::Renewed,
        between: Between::FaultProxy,
        ..options("outage")
    };
    let environment = Environment::start(options, interrupt).await?;
    let environment = interrupt.or(outage::run(environment)).await?;
    progress::step("Stopping", environment.stop()).await
}

/// Runs the matrix in an environment of its own, with the fault proxy in it.
async fn matrix(run: Run, functions: PathBuf, interrupt: &mut Interrupt) -> Result<Report> {
    let options = Options {
        between: Between::FaultProxy,
        functions,
        ..options("faults")
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let outputs = environment.outputs().clone();
    let fault_plans = environment.fault_plans()?.clone();
    let cells = matrix::run(&outputs, &fault_plans, &run);
    let report = tokio::select! {
        report = interrupt.or(cells) => report,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    let report = report?;
    stopped.map(|()| report)
}

/// What a part is told about the environment.
struct Running {
    outputs: Outputs,
    outputs_file: PathBuf,
}

impl Running {
    /// The tests in `tests/<target>` that need an environment.
    fn tests(&self, target: &str, arguments: &[&str]) -> Tool {
        Tool::cargo()
            .args(["test", "--workspace", "--test"])
            .args([target, "--", "--ignored"])
            .args(arguments)
            .env(outputs::FILE_VARIABLE, &self.outputs_file)
            .env(
                PROGRAM_VARIABLE,
                std::env::current_exe().unwrap_or_default(),
            )
            // The assertions say what was wrong; a backtrace through the runtime would bury that.
            .env("RUST_BACKTRACE", "0")
    }
}

/// The environments that several parts have in common.
struct Environments {
    e2e: Shared,
    hostile: Shared,
}

impl Default for Environments {
    fn default() -> Self {
        Self {
            e2e: Shared::new(E2E),
            hostile: Shared::new(HOSTILE),
        }
    }
}

/// The environment of the parts that need one: the first of them starts it, and it is stopped in the end, or when a part fails in it.
struct Shared {
    name: &'static str,
    running: Option<Environment>,
}

impl Shared {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            running: None,
        }
    }

    /// Runs a part in the environment, as long as that stands.
    async fn run<T, W: Future<Output = Result<T>>>(
        &mut self,
        interrupt: &mut Interrupt,
        part: impl FnOnce(Running) -> W,
    ) -> Result<T> {
        let environment = match &mut self.running {
            Some(environment) => environment,
            none => none.insert(Environment::start(options(self.name), interrupt).await?),
        };
        let work = part(Running {
            outputs: environment.outputs().clone(),
            outputs_file: environment.outputs_file().clone(),
        });
        let outputs_file = environment.outputs_file();
        let logs = workspace::shown(outputs_file.parent().unwrap_or(outputs_file));
        let result = tokio::select! {
            result = interrupt.or(work) => result,
            error = environment.broken() => Err(error),
        };
        if result.is_err()
            && let Some(environment) = self.running.take()
        {
            // What failed may have left something behind or have broken it. The next part starts another one. The first error is
            // the one to tell.
            let _ = progress::step("Stopping", environment.stop()).await;
        }
        result.with_context(|| format!("a test failed (logs are in {logs})"))
    }

    async fn stop(self) -> Result<()> {
        match self.running {
            Some(environment) => progress::step("Stopping", environment.stop()).await,
            None => Ok(()),
        }
    }
}

/// An environment for tests by its name, which is its branch, too.
fn options(name: &str) -> Options {
    Options::for_tests("cargo local test", directory(name), name)
}

fn directory(name: &str) -> PathBuf {
    workspace::local_dir().join(format!("test-{name}"))
}

fn logs() -> PathBuf {
    workspace::local_dir().join("logs")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::ValueEnum;

    use super::*;

    /// What runs only when it is named: a part of another, or too long for every run.
    const ON_DEMAND: [Part; 5] = [
        Part::Sizes,
        Part::Flows,
        Part::Dialects,
        Part::Faults,
        Part::Mutants,
    ];

    #[test]
    fn a_run_of_everything_runs_each_part_once_but_those_that_must_be_named() {
        let run = every_part();
        for part in Part::value_variants() {
            let times = run.iter().filter(|other| *other == part).count();
            let expected = usize::from(!ON_DEMAND.contains(part));
            assert_eq!(times, expected, "{part}");
        }
    }

    /// Every dependency of these packages with its version and features, as cargo would build it.
    fn dependencies(selection: &[&str]) -> Vec<String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let tree = Command::new(cargo)
            .args(["tree", "--offline", "--locked", "--edges", "normal,build"])
            .args(["--prefix", "none", "--format", "{p} {f}"])
            .args(selection)
            .current_dir(workspace::root())
            .output()
            .expect("cargo runs");
        assert!(tree.status.success(), "{tree:?}");
        let text = String::from_utf8(tree.stdout).expect("text");
        // A package that was shown before is marked.
        let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn this_tool_is_built_from_the_same_dependencies_as_the_whole_workspace() {
        // Else all of them are compiled twice: minutes.
        let whole = dependencies(&["--workspace"]);
        for package in [env!("CARGO_PKG_NAME"), "payment3-bench"] {
            for dependency in dependencies(&["--package", package]) {
                assert!(
                    whole.contains(&dependency),
                    "{package} has {dependency}, and the workspace has it with other features"
                );
            }
        }
    }
}
