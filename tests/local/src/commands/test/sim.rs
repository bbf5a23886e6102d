//! The part that simulates. The simulator is no part of this program: it is compiled by itself, optimised.

use anyhow::Result;
use payment3_harness::workspace::SIMULATOR;
use payment3_stack::process::Tool;
use payment3_stack::{node, prerequisites, progress};

use super::environments::logs;
use crate::cli::Sim;

/// How it is compiled.
const PROFILE: &str = "simulating";
/// Measurements among its tests: they print something, and cannot fail.
const MEASUREMENTS: &str = "cost";

/// Tests the simulator, and lets it search for failures; or only does what is named.
pub(super) async fn run(arguments: &Sim) -> Result<()> {
    if arguments.seed.is_some() || arguments.mutants.is_some() {
        return simulate(arguments).await;
    }
    prerequisites::node()?;
    node::JSONATA.install(&logs()).await?;
    progress::every([
        // Among them is one that needs JSONata, the reference.
        test().await,
        simulate(arguments).await,
    ])
}

async fn test() -> Result<()> {
    cargo("test")
        .args(["--", "--include-ignored", "--skip", MEASUREMENTS])
        .shown()
        .await
}

/// Holds every call against the rights of its role.
pub(super) async fn rights() -> Result<()> {
    cargo("run").args(["--", "--rights"]).shown().await
}

async fn simulate(arguments: &Sim) -> Result<()> {
    cargo("run")
        .args(["--"])
        .args(passed_on(arguments))
        .shown()
        .await
}

fn cargo(command: &str) -> Tool {
    Tool::cargo().args([command, "--profile", PROFILE, "--package", SIMULATOR])
}

/// The arguments of the simulator's own command line.
fn passed_on(arguments: &Sim) -> Vec<String> {
    let Sim {
        seed,
        shoppers,
        faults,
        time,
        from,
        mutants,
    } = arguments;
    let mut passed = Vec::new();
    // With a `=`, also what is empty is a value.
    let mut pass = |name: &str, value: Option<String>| {
        passed.extend(value.map(|value| format!("--{name}={value}")));
    };
    pass("seed", seed.map(|seed| seed.to_string()));
    pass("shoppers", shoppers.clone());
    pass("faults", faults.clone());
    pass("for", time.clone());
    pass("from", from.map(|seed| seed.to_string()));
    pass("mutants", mutants.clone());
    passed
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_simulators_arguments_are_passed_on() {
        let passed = |line: &str| {
            let words = line.split(' ').map(|word| word.trim_matches('\''));
            match Cli::try_parse_from(words).expect("it is one").command {
                Command::Test(test) => passed_on(&test.sim),
                other => panic!("{other:?}"),
            }
        };
        for (line, expected) in [
            ("local test sim", &[][..]),
            (
                "local test sim --seed 7 --shoppers 3,7 --faults ''",
                &["--seed=7", "--shoppers=3,7", "--faults="],
            ),
            (
                "local test sim --for 1h --from 9",
                &["--for=1h", "--from=9"],
            ),
            ("local test sim --mutants", &["--mutants="]),
            ("local test sim --mutants wake", &["--mutants=wake"]),
        ] {
            assert_eq!(passed(line), expected, "{line}");
        }
    }
}
