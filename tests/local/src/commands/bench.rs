//! `cargo local bench`.

use anyhow::Result;
use clap::ValueEnum;
use payment3_stack::process::Tool;

use crate::cli::{Bench, BenchPart};

/// Runs the benchmark, which is a separate package because of its release builds and its load.
///
/// # Errors
/// A count or a size is over its limit, something is lost, or nothing can be measured.
pub async fn run(arguments: Bench) -> Result<()> {
    part(arguments.part).await
}

/// Runs one part of the benchmark, or everything except the load.
///
/// # Errors
/// As [`run`].
pub async fn part(part: Option<BenchPart>) -> Result<()> {
    let name = part
        .and_then(|part| part.to_possible_value())
        .map(|value| value.get_name().to_owned());
    let profile = match part {
        // These measure no times, and in this profile everything is compiled already.
        Some(BenchPart::Counts | BenchPart::Sizes) => "dev",
        Some(BenchPart::Load | BenchPart::Due) | None => "measuring",
    };
    Tool::cargo()
        .args(["run", "--quiet", "--package", "payment3-bench"])
        .args(["--profile", profile, "--"])
        .args(name)
        .shown()
        .await
}
