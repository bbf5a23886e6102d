//! What one function costs by itself: its start, its first event and later events.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use payment3_harness::workspace;

use crate::recording_proxy::{CONNECT, Call, RecordingProxy};
use crate::runs::FunctionRun;
use crate::sandbox::{Cost, Outcome, Program, Sandbox};
use crate::stats::{median, percentile_99};

/// How many processes are started for a median.
const STARTS: usize = 15;
/// How many events one process gets for a percentile.
const EVENTS: usize = 500;

/// What is measured: a function, an event that it had in a payment, and the answers to its calls then.
#[derive(Debug, Clone)]
pub struct Case {
    /// The function's short name.
    pub function: String,
    /// How it is started.
    pub program: Program,
    /// The event.
    pub event: Bytes,
    /// Its calls on a first event, with their answers.
    pub calls: Vec<Call>,
}

impl Case {
    /// A run of a payment that was played with new processes.
    pub fn of(run: &FunctionRun, program: Program) -> Self {
        Self {
            function: run.function.clone(),
            program,
            event: run.invocation.event.clone(),
            calls: run.calls.clone(),
        }
    }

    /// The function that does nothing.
    pub fn noop(program: Program) -> Self {
        Self {
            function: "does nothing".to_owned(),
            program,
            event: Bytes::from_static(b"{}"),
            calls: Vec::new(),
        }
    }

    /// Checks that the function did its work. A refusal is quicker, and must not be measured.
    ///
    /// # Errors
    /// It failed, or refused.
    pub fn check(&self, outcome: &Outcome) -> Result<()> {
        let output = outcome.output()?;
        // Functions behind the API answer a status instead of an error.
        let refused = output["statusCode"]
            .as_u64()
            .filter(|status| *status >= 400);
        match refused {
            Some(status) => bail!("{} answered {status}", self.function),
            None => Ok(()),
        }
    }
}

/// The figures of one function. They are medians of several runs.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The function's short name.
    pub function: String,
    /// Its start, with the connections that it opened before its first event.
    pub start: Cost,
    /// Its start when connections to AWS are refused at once.
    pub start_alone: Cost,
    /// Its first event.
    pub first: Cost,
    /// How many TLS connections were opened before and during the first event.
    pub connections: usize,
    /// What it called before and during the first event, in order.
    pub first_calls: Vec<String>,
    /// What it called during a later event, in order.
    pub later_calls: Vec<String>,
    /// A later event.
    pub later: Cost,
    /// The time on the clock that one of a hundred later events exceeds.
    pub later_p99: Duration,
    /// The most memory that it had: until its first event was over, and until all were.
    pub peak_kib: (u64, u64),
}

/// Measures a function. Every service answers as it did in the payment.
///
/// # Errors
/// The function fails, or asks for something that it did not ask for in the payment.
pub async fn measure(proxy: &RecordingProxy, case: &Case, logs: &Path) -> Result<Figures> {
    proxy.take_unanswered();
    proxy.replay(&case.calls);
    let result = measure_replayed(proxy, case, logs)
        .await
        .and_then(|figures| {
            let unanswered = proxy.take_unanswered();
            ensure!(unanswered.is_empty(), "calls got no answer: {unanswered:?}");
            Ok(figures)
        });
    proxy.stop_replay();
    result.with_context(|| format!("{} cannot be measured", case.function))
}

async fn measure_replayed(proxy: &RecordingProxy, case: &Case, logs: &Path) -> Result<Figures> {
    let alone = without_aws(&case.program);
    let mut starts_alone = Vec::new();
    let mut starts = Vec::new();
    let mut firsts = Vec::new();
    let mut peaks = Vec::new();
    let mut first_calls = Vec::new();
    for _ in 0..STARTS {
        // One of each kind in turn, so that a machine that becomes slower affects both.
        let sandbox = Sandbox::start(&alone, logs).await?;
        starts_alone.push(sandbox.init);
        sandbox.stop().await?;
        proxy.rewind();
        proxy.take_calls();
        let mut sandbox = Sandbox::start(&case.program, logs).await?;
        let (outcome, cost) = sandbox.invoke(case.event.clone()).await?;
        case.check(&outcome)?;
        starts.push(sandbox.init);
        firsts.push(cost);
        peaks.push(sandbox.memory()?.peak_kib);
        first_calls = proxy.take_calls();
        sandbox.stop().await?;
    }
    proxy.rewind();
    let mut sandbox = Sandbox::start(&case.program, logs).await?;
    case.check(&sandbox.invoke(case.event.clone()).await?.0)?;
    let mut laters = Vec::new();
    let mut later_calls = Vec::new();
    for _ in 0..EVENTS {
        proxy.rewind();
        proxy.take_calls();
        let (outcome, cost) = sandbox.invoke(case.event.clone()).await?;
        case.check(&outcome)?;
        laters.push(cost);
        later_calls = proxy.take_calls();
    }
    let peak = sandbox.memory()?.peak_kib;
    sandbox.stop().await?;
    let mut connections: Vec<u64> = first_calls.iter().map(|call| call.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    Ok(Figures {
        function: case.function.clone(),
        start: median_cost(&starts)?,
        start_alone: median_cost(&starts_alone)?,
        first: median_cost(&firsts)?,
        connections: connections.len(),
        first_calls: names(&first_calls),
        later_calls: names(&later_calls),
        later: median_cost(&laters)?,
        later_p99: percentile_99(laters.iter().map(|cost| cost.wall))?,
        peak_kib: (median(peaks)?, peak),
    })
}

/// The function with addresses that refuse connections to AWS at once.
fn without_aws(program: &Program) -> Program {
    const NOBODY: &str = "http://127.0.0.1:1";
    let mut program = program.clone();
    for (name, value) in &mut program.settings {
        if name.starts_with("AWS_ENDPOINT_URL") {
            NOBODY.clone_into(value);
        }
    }
    program
}

impl Figures {
    /// The processor time of connecting before the first event, compared with connections that are refused.
    pub fn connecting(&self) -> Duration {
        if self.first_calls.iter().any(|call| call == CONNECT) {
            self.start.cpu.saturating_sub(self.start_alone.cpu)
        } else {
            Duration::ZERO
        }
    }
}

fn median_cost(costs: &[Cost]) -> Result<Cost> {
    Ok(Cost {
        wall: median(costs.iter().map(|cost| cost.wall))?,
        cpu: median(costs.iter().map(|cost| cost.cpu))?,
    })
}

/// The names of calls, in order.
fn names(calls: &[Call]) -> Vec<String> {
    let mut calls: Vec<&Call> = calls.iter().collect();
    calls.sort_by_key(|call| call.begun);
    calls.iter().map(|call| call.operation.clone()).collect()
}

/// The sizes of a program and of the archive that is uploaded, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The program.
    pub binary: u64,
    /// The archive: the deflated program and 200 bytes of headers.
    pub zip: u64,
}

impl Size {
    /// The sizes of a `bootstrap`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(bootstrap: &Path) -> Result<Self> {
        const HEADERS: u64 = 200;
        let binary = std::fs::read(bootstrap)
            .with_context(|| format!("cannot read {}", workspace::shown(bootstrap)))?;
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
        std::io::Write::write_all(&mut deflated, &binary)?;
        Ok(Self {
            binary: binary.len() as u64,
            zip: deflated.finish()?.len() as u64 + HEADERS,
        })
    }
}
