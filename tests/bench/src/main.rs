//! `cargo local bench`: measures, prints, and ends unsuccessfully when a count or a size is over its limit.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use payment3_bench::{due, load, measure};
use payment3_stack::interrupt::Interrupt;

/// Measures what the functions cost.
#[derive(Debug, Parser)]
#[command(name = "cargo local bench", bin_name = "cargo local bench")]
struct Arguments {
    /// What to measure; everything but the load when absent
    part: Option<Part>,
    /// For due payments: functions that were built elsewhere, such as of an earlier commit
    #[arg(long)]
    functions: Option<PathBuf>,
    /// For due payments: one run of reconciliation looks at everything, as it did before there was one for each shard
    #[arg(long)]
    alone: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// Counts alone, of functions that are built for tests
    Counts,
    /// Counts and sizes alone, of the functions as they are released
    Sizes,
    /// Two thousand payments on the local AWS, and one callback two hundred thousand times through one process
    Load,
    /// Two thousand due payments, with a bank that is slow and with one that hangs
    Due,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let mut interrupt = Interrupt::new()?;
    let Arguments {
        part,
        functions,
        alone,
    } = arguments;
    let verdict = match part {
        None => measure::everything(&mut interrupt).await?,
        Some(Part::Counts) => measure::counts(&mut interrupt).await?,
        Some(Part::Sizes) => measure::sizes(&mut interrupt).await?,
        Some(Part::Load) => return load::run(&mut interrupt).await,
        Some(Part::Due) => return due::run(functions, alone, &mut interrupt).await,
    };
    println!("### What may not be exceeded\n\n{verdict}");
    match verdict.over()[..] {
        [] => Ok(()),
        ref over => bail!("over the limit: {}", over.join("; ")),
    }
}
