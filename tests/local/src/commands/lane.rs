//! Parts of the tests that run beside the others, each as a command of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use tokio::task::JoinHandle;

use super::test::name;
use super::verdicts::Verdict;
use crate::cli::Part;

/// Parts that run one after the other, beside whatever else runs. When it is dropped, the command that runs is ended; what that
/// had started finishes its step.
pub(super) struct Lane(JoinHandle<Vec<Done>>);

/// A part that is over.
struct Done {
    part: Part,
    result: Result<()>,
    log: PathBuf,
    took: Duration,
}

impl Lane {
    /// Starts the first of them. They give way to everything else that wants a processor, and log into files of their own.
    pub(super) fn start(parts: &[Part]) -> Self {
        let parts = parts.to_vec();
        Self(tokio::spawn(async move {
            let mut done = Vec::new();
            for part in parts {
                let log = workspace::local_dir().join(format!("logs/test-{}.log", name(part)));
                let begun = Instant::now();
                let result = run(part, &log).await;
                done.push(Done {
                    part,
                    result,
                    log,
                    took: begun.elapsed(),
                });
            }
            done
        }))
    }

    /// Waits for them, prints what each of them printed, and tells which passed and how long it took.
    ///
    /// # Errors
    /// They broke.
    pub(super) async fn end(mut self) -> Result<Vec<Verdict>> {
        let done = (&mut self.0)
            .await
            .context("the tests beside the others broke")?;
        let mut verdicts = Vec::new();
        for Done {
            part,
            result,
            log,
            took,
        } in done
        {
            println!("\n== {} ==", name(part));
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            print!("{printed}");
            if let (Err(error), true) = (&result, printed.is_empty()) {
                // It did not even begin.
                eprintln!("error: {error:#}");
            }
            verdicts.push(Verdict {
                part,
                passed: result.is_ok(),
                took,
            });
        }
        Ok(verdicts)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(part: Part, log: &Path) -> Result<()> {
    Tool::cargo()
        .args(["local", "test", &name(part)])
        .gently()
        .logged(log)
        .await
}
