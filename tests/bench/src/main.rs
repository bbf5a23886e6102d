//! `cargo local bench`: measures, prints, and ends unsuccessfully when a count or a size is over its limit.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use payment3_bench::{load, measure};
use payment3_local::interrupt::Interrupt;

/// Measures what the functions cost.
#[derive(Debug, Parser)]
#[command(name = "cargo local bench", bin_name = "cargo local bench")]
struct Arguments {
    /// What to measure; everything but the load when absent
    part: Option<Part>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// Counts and sizes alone, as `cargo local test` does
    Counts,
    /// Two thousand payments on the local AWS, and one callback two hundred thousand times through one process
    Load,
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
    let verdict = match arguments.part {
        None => measure::everything(&mut interrupt).await?,
        Some(Part::Counts) => measure::counts(&mut interrupt).await?,
        Some(Part::Load) => return load::run(&mut interrupt).await,
    };
    println!("### What may not be exceeded\n\n{verdict}");
    match verdict.over()[..] {
        [] => Ok(()),
        ref over => bail!("over the limit: {}", over.join("; ")),
    }
}
