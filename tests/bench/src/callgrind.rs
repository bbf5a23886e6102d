//! Counts instructions with valgrind. Unlike times, they are the same in every run.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use payment3_harness::workspace;

use crate::figures::Case;
use crate::recording_proxy::RecordingProxy;
use crate::sandbox::Sandbox;
use crate::testbed::logs;

/// How many later events are given, to compute what one of them takes.
const LATER: u32 = 10;

/// Millions of instructions.
#[derive(Debug, Clone)]
pub struct Instructions {
    /// The function's short name.
    pub function: String,
    /// Its start, with the connections that it opened before its first event.
    pub start: f64,
    /// Its first event.
    pub first: f64,
    /// A later event.
    pub later: f64,
}

/// Counts them for the function that does nothing and for each case. Returns nothing if valgrind is not installed: no
/// limit depends on them.
///
/// # Errors
/// A function does not run under valgrind.
pub async fn of(
    proxy: &RecordingProxy,
    noop: &Case,
    cases: &[Case],
) -> Result<Option<Vec<Instructions>>> {
    if std::process::Command::new("valgrind")
        .arg("--version")
        .output()
        .is_err()
    {
        return Ok(None);
    }
    let mut counted = Vec::new();
    for case in std::iter::once(noop).chain(cases) {
        proxy.replay(&case.calls);
        let start = count(proxy, case, 0).await;
        let first = count(proxy, case, 1).await;
        let later = count(proxy, case, 1 + LATER).await;
        proxy.stop_replay();
        let (start, first, later) = (start?, first?, later?);
        counted.push(Instructions {
            function: case.function.clone(),
            start,
            first: first - start,
            later: (later - first) / f64::from(LATER),
        });
    }
    Ok(Some(counted))
}

/// Millions of instructions of a process that gets this many events.
async fn count(proxy: &RecordingProxy, case: &Case, events: u32) -> Result<f64> {
    let directory = workspace::local_dir().join("bench/callgrind");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", workspace::shown(&directory)))?;
    let file = directory.join("counts");
    if file.exists() {
        std::fs::remove_file(&file)
            .with_context(|| format!("cannot remove {}", workspace::shown(&file)))?;
    }
    proxy.rewind();
    let output = format!("--callgrind-out-file={}", file.display());
    let wrapper = ["valgrind", "--quiet", "--tool=callgrind", &output];
    let mut program = case.program.clone();
    // Under valgrind everything takes fifty times as long. A call that times out and is repeated would be other work.
    program.wait_for_aws();
    proxy.take_unanswered();
    let mut sandbox = Sandbox::start_as(&program, &wrapper, &logs()).await?;
    for _ in 0..events {
        proxy.rewind();
        case.check(&sandbox.invoke(case.event.clone()).await?.0)?;
    }
    sandbox.terminate().await?;
    let unanswered = proxy.take_unanswered();
    ensure!(unanswered.is_empty(), "calls got no answer: {unanswered:?}");
    read(&file)
}

fn read(file: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("valgrind wrote no {}", workspace::shown(file)))?;
    let summary = text
        .lines()
        .find_map(|line| {
            line.strip_prefix("summary: ")
                .or(line.strip_prefix("totals: "))
        })
        .and_then(|line| line.split_whitespace().next())
        .context("valgrind wrote no count")?;
    let instructions: f64 = summary.parse().context("valgrind's count is a number")?;
    Ok(instructions / 1_000_000.0)
}
