//! The parts that inject faults: the matrix, the mutants, the outages.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use payment3_faults::matrix::{self, Report, Run, Selection};
use payment3_faults::mutants::{self, DIALECT_MUTANTS, DialectMutant, MUTANTS, Mutant};
use payment3_faults::outage;
use payment3_harness::workspace;
use payment3_stack::environment::{Between, Environment, Options, State};
use payment3_stack::interrupt::{Interrupt, Interrupted};
use payment3_stack::{functions, progress};

use super::environments::{Running, Shared, logs, options};
use super::stack::{DIALECTS, DIALECTS_VARIABLE, names_of};
use crate::cli::Test;

/// A selection of the matrix, narrowed by what the command line names.
pub(super) fn chosen(mut selection: Selection, arguments: &Test) -> Selection {
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
pub(super) async fn faults(selection: Selection, interrupt: &mut Interrupt) -> Result<()> {
    let functions = workspace::functions_dir();
    matrix(of_the_whole(selection), functions, interrupt)
        .await?
        .verdict()
}

/// Runs the short form of the matrix, and then takes rights away from the same functions.
pub(super) async fn faults_short(selection: Selection, interrupt: &mut Interrupt) -> Result<()> {
    let run = of_the_whole(selection);
    with_fault_proxy(workspace::functions_dir(), interrupt, |environment| {
        let cells = matrix_in(environment, run)?;
        let rights = outage::missing_rights(environment)?;
        Ok(async move {
            let verdict = cells.await.and_then(|report| report.verdict());
            progress::every(vec![verdict, rights.await])
        })
    })
    .await
}

/// Runs the matrix against every broken copy of the functions, until it finds what is broken.
pub(super) async fn mutants(interrupt: &mut Interrupt) -> Result<()> {
    let mut results = Vec::new();
    for mutant in &MUTANTS {
        let result = is_found(mutant, interrupt).await;
        match result {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            result => results.push(result.context(mutant.name())),
        }
    }
    for mutant in &DIALECT_MUTANTS {
        let result = mutant_in_dialects(mutant, interrupt).await;
        match result {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            result => results.push(result.context(mutant.mutant.name())),
        }
    }
    progress::every(results)
}

pub(super) async fn is_found(mutant: &Mutant, interrupt: &mut Interrupt) -> Result<()> {
    println!("\nBroken on purpose: {}", mutant.name());
    let functions = match mutant.definition() {
        // The functions stay as they are.
        Some(_) => workspace::functions_dir(),
        None => {
            let directory = mutants::directory();
            let functions = directory.join("lambda");
            let (copy, target) = (mutant.make()?, directory.join("target"));
            let logs = logs();
            let built = functions::build_copy(&copy, &target, &functions, &logs);
            interrupt.or(built).await?;
            functions
        }
    };
    let run = Run {
        selection: mutant.selection(),
        stop_at_first: true,
        broken_refunds: mutant.definition(),
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
pub(super) async fn mutant_in_dialects(
    mutant: &DialectMutant,
    interrupt: &mut Interrupt,
) -> Result<()> {
    println!("\nBroken on purpose: {}", mutant.mutant.name());
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
            mutant.mutant.name()
        );
    }
    println!("Found as it must be: {row}");
    Ok(())
}

/// Takes one service after the other away in the middle of payments, and all of AWS, in an environment of its own that
/// saves its state.
pub(super) async fn outage(interrupt: &mut Interrupt) -> Result<()> {
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
pub(super) async fn matrix(
    run: Run,
    functions: PathBuf,
    interrupt: &mut Interrupt,
) -> Result<Report> {
    with_fault_proxy(functions, interrupt, |environment| {
        matrix_in(environment, run)
    })
    .await
}

/// Every cell of a selection, against functions that nobody broke.
fn of_the_whole(selection: Selection) -> Run {
    Run {
        selection,
        stop_at_first: false,
        broken_refunds: None,
    }
}

/// The matrix in this environment.
fn matrix_in(
    environment: &Environment,
    run: Run,
) -> Result<impl Future<Output = Result<Report>> + use<>> {
    let outputs = environment.outputs().clone();
    let fault_plans = environment.fault_plans()?.clone();
    Ok(async move { matrix::run(&outputs, &fault_plans, &run).await })
}

/// Does this in an environment of its own, with the fault proxy in it.
async fn with_fault_proxy<T, Work: Future<Output = Result<T>>>(
    functions: PathBuf,
    interrupt: &mut Interrupt,
    work: impl FnOnce(&Environment) -> Result<Work>,
) -> Result<T> {
    let options = Options {
        between: Between::FaultProxy,
        functions,
        ..options("faults")
    };
    let mut environment = Environment::start(options, interrupt).await?;
    let work = work(&environment)?;
    let done = tokio::select! {
        done = interrupt.or(work) => done,
        error = environment.broken() => Err(error),
    };
    let stopped = progress::step("Stopping", environment.stop()).await;
    let done = done?;
    stopped.map(|()| done)
}
