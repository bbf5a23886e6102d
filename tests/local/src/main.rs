//! `cargo local up | test | pay | refund | executions | check | fuzz | bench | renew`.

use std::process::ExitCode;

use clap::Parser;
use payment3_local::cli::{Cli, Command};
use payment3_local::commands::{bench, check, executions, fuzz, pay, refund, renew, test, up};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Up(arguments) => up::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
        Command::Pay(arguments) => pay::run(arguments).await,
        Command::Refund(arguments) => refund::run(arguments).await,
        Command::Executions(arguments) => executions::run(arguments).await,
        Command::Check(arguments) => check::run(arguments).await,
        Command::Fuzz(arguments) => fuzz::run(arguments).await,
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Renew => renew::run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
