//! `cargo local bench`: measures and prints. It fails if a count or a size is over its limit.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use payment3_bench::{due, load, measure};
use payment3_stack::interrupt::Interrupt;

/// Measures what the functions cost.
#[derive(Debug, Parser)]
#[command(name = "cargo local bench", bin_name = "cargo local bench")]
struct Arguments {
    /// What to measure. Everything but load and due payments without it
    part: Option<Part>,
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
    let verdict = match arguments.part {
        None => measure::everything(&mut interrupt).await?,
        Some(Part::Counts) => measure::counts(&mut interrupt).await?,
        Some(Part::Sizes) => measure::sizes(&mut interrupt).await?,
        Some(Part::Load) => return load::run(&mut interrupt).await,
        Some(Part::Due) => return due::run(&mut interrupt).await,
    };
    println!("### What may not be exceeded\n\n{verdict}");
    match verdict.over()[..] {
        [] => Ok(()),
        ref over => bail!("over the limit: {}", over.join("; ")),
    }
}
