//! `cargo local bench`.

use anyhow::Result;
use clap::ValueEnum;
use payment3_stack::process::Tool;

use crate::cli::{Bench, BenchPart};

/// Measures, in a package of its own: its release builds and its load are nobody else's business.
///
/// # Errors
/// A count or a size is over its limit, something is lost, or nothing can be measured.
pub async fn run(arguments: Bench) -> Result<()> {
    part(arguments.part).await
}

/// One part of it, or all but the load.
///
/// # Errors
/// As [`run`].
pub async fn part(part: Option<BenchPart>) -> Result<()> {
    let name = part
        .and_then(|part| part.to_possible_value())
        .map(|value| value.get_name().to_owned());
    let profile = match part {
        // They tell no times, and with this everything is compiled already.
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
