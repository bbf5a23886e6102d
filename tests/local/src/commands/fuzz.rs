//! `cargo local fuzz`.

use anyhow::Result;
use payment3_harness::workspace;
use payment3_stack::cargo_programs::CARGO_FUZZ;
use payment3_stack::interrupt::Interrupt;

use crate::cli::Fuzz;
use crate::fuzz::{self, Minutes};

/// Fuzzes one target, or all in turn, until it finds a failure or the time is over.
///
/// # Errors
/// There is no such target, the fuzzer cannot be installed or built, or it found a failure.
pub async fn run(arguments: Fuzz) -> Result<()> {
    let targets = fuzz::targets(arguments.target.as_deref())?;
    let mut interrupted = Interrupt::new()?;
    let work = async {
        let logs = workspace::local_dir().join("logs");
        CARGO_FUZZ.install(&logs).await?;
        for target in &targets {
            println!("\n== {target} ==");
            fuzz::search(target, Minutes(arguments.minutes)).await?;
            if arguments.keep {
                fuzz::keep(target).await?;
            }
        }
        Ok(())
    };
    interrupted.or(work).await
}
