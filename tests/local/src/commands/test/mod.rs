//! `cargo local test`.

mod environments;
mod faults;
mod lane;
mod sim;
mod sources;
mod stack;
mod verdicts;

use std::time::Instant;

use anyhow::Result;
use payment3_faults::matrix::Selection;
use payment3_stack::interrupt::Interrupt;
use payment3_stack::prerequisites;

use self::environments::Environments;
use self::faults::{chosen, faults, faults_short, mutants, outage};
use self::lane::Lane;
use self::sources::{asl, cdk, clippy, deps, format, model, unit};
use self::stack::{
    FORGERIES, OTHERS, api, browser, dialects, e2e, names_of, races, real_clients, runbook,
};
use self::verdicts::Verdicts;
use crate::cli::{BenchPart, Part, Test};
use crate::commands::bench;
use crate::processor;

/// What compiles everything, before the lanes that need it.
const FIRST: [Part; 3] = [Part::Format, Part::Clippy, Part::Unit];
/// What runs beside that: it compiles nothing of ours, and mostly waits for the network.
const FROM_THE_START: Lane = Lane {
    parts: &[Part::Asl, Part::Deps],
    shown: false,
    gently: true,
};
/// What runs side by side when everything is compiled. Each lane has environments of its own, and mostly waits.
const LANES: [Lane; 5] = [
    Lane {
        parts: &[
            Part::E2e,
            Part::Api,
            Part::Clients,
            Part::Counts,
            Part::FaultsShort,
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
        parts: &[Part::Hostile],
        shown: false,
        gently: false,
    },
    Lane {
        parts: &[Part::Cdk, Part::Browser, Part::Model],
        shown: false,
        gently: true,
    },
    // It is compiled by itself, and needs nothing but the processor.
    Lane {
        parts: &[Part::Sim, Part::Iam],
        shown: false,
        gently: true,
    },
];
/// How many rounds of each race are run.
const ROUNDS: u32 = 100;

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
    let settings: Vec<String> = std::env::args().skip(2).collect();
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
        Part::Format => interrupt.or(format()).await,
        Part::Asl => interrupt.or(asl()).await,
        Part::Clippy => interrupt.or(clippy()).await,
        Part::Unit => interrupt.or(unit()).await,
        Part::Model => interrupt.or(model()).await,
        Part::Sim => interrupt.or(sim::run(&arguments.sim)).await,
        Part::Iam => interrupt.or(sim::rights()).await,
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
        Part::FaultsShort => faults_short(chosen(Selection::short(), arguments), interrupt).await,
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
            let rounds = arguments.rounds.unwrap_or(ROUNDS);
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::ValueEnum;
    use payment3_harness::workspace;

    use super::*;

    /// What runs only when it is named: a part of another, or too long for every run.
    const ON_DEMAND: [Part; 7] = [
        Part::Sizes,
        Part::Flows,
        Part::Dialects,
        Part::Races,
        Part::Outage,
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
    fn dependencies(selection: &[&str], edges: &str) -> Vec<String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let tree = Command::new(cargo)
            .args(["tree", "--offline", "--locked", "--edges", edges])
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
        // With what the tests need besides: it is compiled with them.
        let whole = dependencies(&workspace::TOGETHER, "normal,build,dev");
        for package in [env!("CARGO_PKG_NAME"), "payment3-bench"] {
            for dependency in dependencies(&["--package", package], "normal,build") {
                assert!(
                    whole.contains(&dependency),
                    "{package} has {dependency}, and the workspace has it with other features"
                );
            }
        }
    }
}
